# SPDX-License-Identifier: Apache-2.0
"""Each system, small: its paper's configuration, on a few images of the synthetic room, by the commands."""

from pathlib import Path

import yaml

from mtperception import cli

THIN = {'network': {'options': {'width': 0.125}}}
SYSTEMS = {
    'joint_lw_refinenet': (
        'nyuv2_paper',
        {'network': {'options': {'channels': 16}}, 'batch_norm': 'trained'}
        | {'optimizer': {'learning_rate': {'encoder': 0.1, 'decoder': 0.1}, 'clip_norm': 5.0}},
    ),
    'multitasknet': ('papers/multitasknet', THIN | {'input': {'policy': 'stretch', 'width': 64, 'height': 64}}),
    'hybridnet': (
        'papers/hybridnet',
        THIN
        | {'input': {'policy': 'tiles', 'width': 64, 'height': 48}}
        | {'start': {}, 'optimizer': {'learning_rate': {'default': 1e-5}}},
    ),
    'mtl_spp': ('papers/mtl_spp', THIN),
    'mtl_ssw': ('papers/mtl_ssw', THIN),
    'mt_unet': ('papers/mt_unet_nyuv2', THIN | {'input': {'policy': 'stretch', 'width': 64, 'height': 32}}),
}
"""By network: the configuration that it extends, and what makes it small. Losses, weighting, optimizer and input policy
stay the paper's."""
TINY = {
    'encoder': '',
    'label_space': 'nyuv2_40',
    'camera': {'fx': 80.0, 'fy': 80.0, 'width': 96, 'height': 72},
    'depth_range': [0.3, 10.0],
    'validation': [],
    'view': {'scale': [1.0, 1.0], 'crop': [48, 64]},
    'epochs': 2,
    'optimizer': {'learning_rate': {'default': 0.01}},
    'batch_size': 2,
    'precision': 'fp32',
    'device': 'cpu',
    'workers': 0,
    'average_decay': 0.0,
}


def make_system(name: str, data: Path, folder: Path) -> Path:
    """Trains a system on a data set of the kind `folder`, split `test`, and exports it; the model directory."""
    base, changes = SYSTEMS[name]
    content = {'extends': base, **TINY, **changes, 'data': [{'dataset': 'folder', 'root': str(data), 'split': 'test'}]}
    config = folder / f'{name}.yaml'
    config.write_text(yaml.safe_dump(content), encoding='utf-8')
    run, model = folder / 'runs' / name, folder / 'models' / name
    assert cli.main(['train', str(config), '--out', str(run)]) == 0
    assert cli.main(['export', str(run / 'last.safetensors'), '--out', str(model)]) == 0
    return model
