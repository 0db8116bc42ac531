# SPDX-License-Identifier: Apache-2.0
"""An ONNX graph whose constants are kept in float16 where that loses nothing, and cast to float32 in the graph.

Every runtime folds such casts when it loads a graph: it computes what it did, at the same speed.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALLEST = 64
"""Constants of fewer values stay: a cast takes as much room as they would save."""


def halve_constants(path: Path) -> None:
    """Rewrite a graph's file with its float32 constants in float16, those that float16 holds exactly."""
    model = onnx.load(path)
    casts = []
    for constant in model.graph.initializer:
        if constant.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(constant)
        with np.errstate(over='ignore'):
            half = values.astype(np.float16)
        if values.size < SMALLEST or not np.array_equal(half.astype(np.float32), values):
            continue
        name = constant.name
        constant.CopyFrom(numpy_helper.from_array(half, f'{name}_float16'))
        casts.append(helper.make_node('Cast', [constant.name], [name], name=f'{name}_cast', to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)
