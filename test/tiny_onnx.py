# SPDX-License-Identifier: Apache-2.0
"""Writes an ONNX network by hand."""

import onnx
from onnx import TensorProto, helper


def write_mean(
    path, shape=(1, 3, 6, 8), kind=TensorProto.FLOAT, axes=(1,), outputs=1, negative=False, operator='ReduceMean'
):
    """An ONNX network whose map is the mean of the channels, its negative, or what else an operator reduces them to."""
    nodes = [
        helper.make_node('Cast', ['image'], ['cast'], to=TensorProto.FLOAT),
        helper.make_node('Neg' if negative else 'Identity', ['cast'], ['numbers']),
    ]
    names = [f'map{number}' for number in range(outputs)]
    nodes += [helper.make_node(operator, ['numbers'], [name], axes=axes, keepdims=0) for name in names]
    maps = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    graph = helper.make_graph(nodes, 'mean', [helper.make_tensor_value_info('image', kind, shape)], maps)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)
    onnx.save(model, path)
    return path
