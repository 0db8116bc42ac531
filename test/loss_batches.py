# SPDX-License-Identifier: Apache-2.0
"""Every loss, with a batch that it can be called with."""

import torch

from mtperception.training.losses import LOSSES

OPTIONS = {'sum': {'terms': [{'name': 'l2', 'weight': 0.5}, {'name': 'scale_invariant', 'options': {'invariance': 1}}]}}
"""Of losses that need some."""


def loss_of(name):
    """A loss by its name."""
    return LOSSES[name](**OPTIONS.get(name, {}))


def batch(name):
    """Raw output, truth and truth without a valid pixel, for a loss; of 2 images, whose left halves are invalid."""
    generator = torch.Generator().manual_seed(1)
    size = (2, 6, 8)
    if name in ('cross_entropy', 'lovasz_softmax'):
        output, truth, invalid = torch.randn(2, 3, 6, 8, generator=generator), torch.ones(size), torch.full(size, 255)
        truth, invalid = truth.to(torch.uint8), invalid.to(torch.uint8)
    elif name == 'dot_product':
        output = torch.randn(2, 3, 6, 8, generator=generator)
        truth = torch.nn.functional.normalize(torch.randn(2, 3, 6, 8, generator=generator), dim=1)
        invalid = torch.zeros_like(truth)
    else:
        channels = 2 if name == 'laplace' else 1
        output = torch.rand(2, channels, 6, 8, generator=generator) * 5 + 0.5
        truth, invalid = torch.rand(size, generator=generator) * 5 + 0.5, torch.zeros(size)
    truth[..., :4] = invalid[..., :4]
    return output, truth, invalid


def one_of_two(number, port, found):
    """A process that sees one of two images: the losses, and their gradients as they are averaged."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=number, world_size=2)
    for name in LOSSES:
        output, truth = (x[number : number + 1] for x in uneven_batch(name))
        found[name, number] = loss_and_gradient(name, output, truth, 2)
    torch.distributed.destroy_process_group()


def uneven_batch(name):
    """Two images, of which one has few valid pixels."""
    output, truth, invalid = batch(name)
    truth[1, ..., :7], truth[1, ..., :4, :] = invalid[1, ..., :7], invalid[1, ..., :4, :]
    return output, truth


def loss_and_gradient(name, output, truth, processes):
    output = output.clone().requires_grad_()
    loss = loss_of(name)(output, truth)
    loss.backward()
    return loss.item(), (output.grad / processes).tolist()
