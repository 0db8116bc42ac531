# SPDX-License-Identifier: Apache-2.0
"""A training process of two, and the batch norm statistics that it ends with. Importable: processes are spawned."""

import torch

from mtperception.training.trainer import Trainer


def one_of_two_trainers(number, port, config, out, found):
    """Trains, and leaves its buffers in `found`."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', f'tcp://127.0.0.1:{port}', rank=number, world_size=2)
    trainer = Trainer(config, out, torch.device('cpu'))
    trainer.fit()
    found[number] = {name: x.tolist() for name, x in trainer.network.named_buffers() if 'running' in name}
    torch.distributed.destroy_process_group()
