# SPDX-License-Identifier: Apache-2.0
"""All maps share one buffer: where they lie in it, and that the arrays of a caller are views of it."""

import numpy as np
import torch

from mtperception.backends.cuda.layout import MapLayout

MAPS = {
    'labels': torch.arange(30, dtype=torch.uint8).reshape(2, 3, 5),
    'confidence': torch.full((2, 3, 5), 7, dtype=torch.uint8),
    'depth': torch.linspace(1, 2, 30).reshape(2, 3, 5),
    'normals': torch.linspace(-1, 1, 90).reshape(2, 3, 5, 3).permute(0, 2, 1, 3),
}


def test_places():
    """30 bytes, 30 bytes, 30 and 90 numbers of 4 bytes, each from the next multiple of 256 on."""
    layout = MapLayout.of(MAPS)
    places = {name: (slot.start, slot.end) for name, slot in layout.slots.items()}
    assert places == {'labels': (0, 30), 'confidence': (256, 286), 'depth': (512, 632), 'normals': (768, 1128)}
    assert layout.size == 1128


def test_what_is_put_into_the_views_is_read_from_a_copy_of_the_buffer():
    layout = MapLayout.of(MAPS)
    buffer = torch.zeros(layout.size, dtype=torch.uint8)
    for name, view in layout.views(buffer).items():
        view.copy_(MAPS[name])
    for name, view in layout.views(buffer.clone()).items():
        assert view.dtype == MAPS[name].dtype
        assert torch.equal(view, MAPS[name])


def test_arrays_keep_their_memory_and_may_be_written():
    """Made as a run makes them: the buffer in inference mode, the arrays outside of it."""
    layout = MapLayout.of(MAPS)
    with torch.inference_mode():
        buffer = torch.zeros(layout.size, dtype=torch.uint8)
    address = buffer.data_ptr()
    arrays = {name: view.numpy() for name, view in layout.views(buffer).items()}
    del buffer
    assert arrays['depth'].ctypes.data == address + 512
    arrays['depth'][:] = 3.0
    assert arrays['normals'].max() == 0
    assert all(array.flags.writeable and isinstance(array, np.ndarray) for array in arrays.values())
