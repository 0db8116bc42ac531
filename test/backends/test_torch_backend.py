# SPDX-License-Identifier: Apache-2.0
"""What the torch backend says where it cannot run."""

import pytest
import torch

from mtperception.backends import BackendUnavailableError
from mtperception.backends.torch_backend import NetworkBackend
from mtperception.card import open_model


@pytest.mark.skipif(torch.cuda.is_available(), reason='for machines without a GPU')
@pytest.mark.parametrize(
    ('cuda', 'advice'), [(None, 'install its CUDA build'), ('13.2', r'with a driver for CUDA 13\.2; update the driver')]
)
def test_what_pytorch_lacks_is_said(every_task_network, monkeypatch, cuda, advice):
    """A driver that is too old is not mended by the build that is there already."""
    monkeypatch.setattr(torch.version, 'cuda', cuda)
    with pytest.raises(BackendUnavailableError, match=f'sees no CUDA device.*{advice}'):
        NetworkBackend(every_task_network, open_model('nyuv2_indoor').card, 'cuda:0')
