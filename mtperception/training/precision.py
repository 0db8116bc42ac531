# SPDX-License-Identifier: Apache-2.0
"""The types that a network computes in while it learns."""

import platform

import torch

DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}
"""By the `precision` of a configuration."""
X86 = ('x86_64', 'AMD64')
WITHOUT_AVX512 = ('AVX2', 'NO AVX', 'DEFAULT')
"""What PyTorch calls x86 processors that have no fast way to compute in bf16."""


def keep_precision(precision: str) -> None:
    """For the whole process: fp32 is not TF32, in which GPUs convolve by default, with a mantissa of 10 bits."""
    if precision == 'fp32':
        torch.backends.cudnn.allow_tf32 = False


def precision_advice(precision: str, device: torch.device) -> str:
    """What to do about a precision that is slower on this machine than fp32; empty if there is nothing to say."""
    capability = torch.backends.cpu.get_cpu_capability()
    is_slow = platform.machine() in X86 and capability in WITHOUT_AVX512
    if precision == 'bf16' and device.type == 'cpu' and is_slow:
        return 'this CPU has no AVX-512: bf16 takes several times longer than precision=fp32'
    return ''
