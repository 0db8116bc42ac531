# SPDX-License-Identifier: Apache-2.0
"""The layout of the checkpoints that the authors of the network published."""

from itertools import product

import torch

from mtperception.networks.joint_lw_refinenet import read_published

FIELDS = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
BLOCKS = (1, 2, 3, 4, 3, 3, 1)


def published_keys(tasks):
    """All keys of the published layout, written down from its own naming."""
    layers = [f'layer1.{part}' for part in (0, 1)]
    for layer, blocks in enumerate(BLOCKS, start=2):
        layers += [f'layer{layer}.{b}.output.{i}.{j}' for b, i, j in product(range(blocks), range(3), (0, 1))]
    layers += [f'conv{i}' for i in range(3, 9)] + [f'conv_adapt{i}' for i in (2, 3, 4)]
    layers += [f'crp{i}.0.{j}_outvar_dimred' for i, j in product(range(1, 5), repeat=2)]
    layers += [f'{prefix}{task}' for prefix, task in product(('pre_', ''), tasks)]
    normed = [layer for layer in layers if layer.startswith('layer') and layer.endswith('.1')]
    keys = [f'{layer}.weight' for layer in layers] + [f'{layer}.{field}' for layer in normed for field in FIELDS[1:]]
    return keys + [f'{task}.bias' for task in tasks]


def in_published_layout(network, tasks):
    keys = published_keys(tasks)
    ours = read_published(dict.fromkeys(keys, torch.zeros(3))).state_dict
    assert set(ours) == set(network.state_dict())
    state = network.state_dict()
    published = {key: state[name] for key, name in zip(keys, ours, strict=True)}
    return {key: value[[0, 2, 1]] if key.startswith('normal.') else value for key, value in published.items()}
