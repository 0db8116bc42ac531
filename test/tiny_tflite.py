# SPDX-License-Identifier: Apache-2.0
"""Writes networks for LiteRT by hand: one ArgMax over the channels, whose labels are the brightest channel's index, and
one that gives the red channel as a quantised map."""

import flatbuffers
import numpy as np

# From schema.fbs of TensorFlow Lite 3: types of tensors, the operator, and its member of the union of options.
TYPES = {'float32': 0, 'int32': 2, 'uint8': 3, 'int64': 4}
ARG_MAX, ARG_MAX_OPTIONS = 56, 40
GATHER, GATHER_OPTIONS = 36, 23


def write_argmax(path, side=8, channels=3, kind='uint8'):
    """A file with `kind` 1,side,side,channels in and int64 1,side,side out: the first channel of the largest value."""
    builder = flatbuffers.Builder(1024)
    tensors = [
        _tensor(builder, 'image', (1, side, side, channels), kind, 0),
        _tensor(builder, 'axis', (), 'int32', 1),
        _tensor(builder, 'labels', (1, side, side), 'int64', 0),
    ]
    options = _table(builder, (0, 'Int8', TYPES['int64']))
    return _write(path, builder, tensors, 3, ARG_MAX, (ARG_MAX_OPTIONS, options))


def write_red(path, width=8, height=6, scale=0.05, zero=10):
    """A file with uint8 1,height,width,3 in and uint8 1,height,width,1 out: red, meaning (red - zero) scale."""
    builder = flatbuffers.Builder(1024)
    tensors = [
        _tensor(builder, 'image', (1, height, width, 3), 'uint8', 0),
        _tensor(builder, 'channel', (1,), 'int32', 1),
        _tensor(builder, 'depth', (1, height, width, 1), 'uint8', 0, _quantization(builder, scale, zero)),
    ]
    return _write(path, builder, tensors, 0, GATHER, (GATHER_OPTIONS, _table(builder, (0, 'Int32', 3))))


def _write(path, builder, tensors, constant, code, options):
    """A network of one operator with three tensors: what goes in, an int32 constant, and what comes out."""
    buffers = [_table(builder), _table(builder, (0, 'vector', builder.CreateByteVector(np.int32(constant).tobytes())))]
    operator = _table(
        builder,
        (0, 'Uint32', 0),
        (1, 'vector', _integers(builder, [0, 1])),
        (2, 'vector', _integers(builder, [2])),
        (3, 'Uint8', options[0]),
        (4, 'vector', options[1]),
    )
    graph = _table(
        builder,
        (0, 'vector', _offsets(builder, tensors)),
        (1, 'vector', _integers(builder, [0])),
        (2, 'vector', _integers(builder, [2])),
        (3, 'vector', _offsets(builder, [operator])),
    )
    codes = _offsets(builder, [_table(builder, (0, 'Int8', code), (2, 'Int32', 1), (3, 'Int32', code))])
    model = _table(
        builder,
        (0, 'Uint32', 3),
        (1, 'vector', codes),
        (2, 'vector', _offsets(builder, [graph])),
        (4, 'vector', _offsets(builder, buffers)),
    )
    builder.Finish(model, b'TFL3')
    path.write_bytes(builder.Output())
    return path


def _tensor(builder, name, shape, kind, buffer, *quantization):
    text, sizes = builder.CreateString(name), _integers(builder, shape)
    fields = [(0, 'vector', sizes), (1, 'Int8', TYPES[kind]), (2, 'Uint32', buffer), (3, 'vector', text)]
    return _table(builder, *fields, *((4, 'vector', table) for table in quantization))


def _quantization(builder, scale, zero):
    scales, zeros = builder.CreateNumpyVector(np.float32([scale])), builder.CreateNumpyVector(np.int64([zero]))
    return _table(builder, (2, 'vector', scales), (3, 'vector', zeros))


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
