# SPDX-License-Identifier: Apache-2.0
"""Writes a network for LiteRT by hand: one ArgMax over the channels. Its labels are the brightest channel's index."""

import flatbuffers
import numpy as np

# From schema.fbs of TensorFlow Lite 3: types of tensors, the operator, and its member of the union of options.
TYPES = {'float32': 0, 'int32': 2, 'uint8': 3, 'int64': 4}
ARG_MAX, ARG_MAX_OPTIONS = 56, 40


def write_argmax(path, side=8, channels=3, kind='uint8'):
    """A file with `kind` 1,side,side,channels in and int64 1,side,side out: the first channel of the largest value."""
    builder = flatbuffers.Builder(1024)
    buffers = [_table(builder), _table(builder, (0, 'vector', builder.CreateByteVector(np.int32(3).tobytes())))]
    tensors = [
        _tensor(builder, 'image', (1, side, side, channels), kind, 0),
        _tensor(builder, 'axis', (), 'int32', 1),
        _tensor(builder, 'labels', (1, side, side), 'int64', 0),
    ]
    options = _table(builder, (0, 'Int8', TYPES['int64']))
    operator = _table(
        builder,
        (0, 'Uint32', 0),
        (1, 'vector', _integers(builder, [0, 1])),
        (2, 'vector', _integers(builder, [2])),
        (3, 'Uint8', ARG_MAX_OPTIONS),
        (4, 'vector', options),
    )
    graph = _table(
        builder,
        (0, 'vector', _offsets(builder, tensors)),
        (1, 'vector', _integers(builder, [0])),
        (2, 'vector', _integers(builder, [2])),
        (3, 'vector', _offsets(builder, [operator])),
    )
    code = _table(builder, (0, 'Int8', ARG_MAX), (2, 'Int32', 1), (3, 'Int32', ARG_MAX))
    model = _table(
        builder,
        (0, 'Uint32', 3),
        (1, 'vector', _offsets(builder, [code])),
        (2, 'vector', _offsets(builder, [graph])),
        (4, 'vector', _offsets(builder, buffers)),
    )
    builder.Finish(model, b'TFL3')
    path.write_bytes(builder.Output())
    return path


def _tensor(builder, name, shape, kind, buffer):
    text, sizes = builder.CreateString(name), _integers(builder, shape)
    return _table(builder, (0, 'vector', sizes), (1, 'Int8', TYPES[kind]), (2, 'Uint32', buffer), (3, 'vector', text))


def _table(builder, *fields):
    """A table of (number, type, value); 'vector' stands for anything that is stored elsewhere."""
    builder.StartObject(5)
    for number, kind, value in fields:
        if kind == 'vector':
            builder.PrependUOffsetTRelativeSlot(number, value, 0)
        else:
            getattr(builder, f'Prepend{kind}Slot')(number, value, None)
    return builder.EndObject()


def _integers(builder, values):
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependInt32(value)
    return builder.EndVector()


def _offsets(builder, values):
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependUOffsetTRelative(value)
    return builder.EndVector()
