# SPDX-License-Identifier: Apache-2.0
"""Runs the Triton kernels on the CPU: `TRITON_INTERPRET=1 python interpreted_kernels.py IN.npz OUT.npz`.

A process of its own, because Triton decides whether to interpret when it is imported.
"""

import sys

import numpy as np
import torch

from mtperception.backends.cuda import kernels
from mtperception.backends.cuda.pipelines import FusedPipeline, fastest_pipeline
from mtperception.networks import load_network

given = np.load(sys.argv[1])
results = {}
for name in {key.partition('.')[0] for key in given if key.endswith('.logits')}:
    logits = torch.tensor(given[f'{name}.logits']).contiguous(memory_format=torch.channels_last)
    first, end = given[f'{name}.classes'].tolist()
    size = tuple(given[f'{name}.size'].tolist())
    labels, confidence = kernels.labels_and_confidence(logits[:, first:end], size, first)
    _, softer = kernels.labels_and_confidence(logits[:, first:end], size, first, 2.5)
    metres = kernels.depth(torch.tensor(given[f'{name}.raw']), size, (0.5, 2.0))
    results[f'{name}.softer'] = softer
    results |= {f'{name}.labels': labels, f'{name}.confidence': confidence, f'{name}.depth': metres}

with torch.inference_mode():
    pipeline = fastest_pipeline(load_network('nyuv2_indoor'), (0.3, 10.0), (6, 40), 1.5)
    assert isinstance(pipeline, FusedPipeline)
    results |= {f'pipeline.{name}': map_ for name, map_ in pipeline(torch.tensor(given['image'])).items()}
np.savez(sys.argv[2], **{name: result.numpy() for name, result in results.items()})
