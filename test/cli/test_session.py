# SPDX-License-Identifier: Apache-2.0
"""What a command waits for when it has started the node."""

import pytest

pytest.importorskip('rclpy', reason='sessions need the extra `ros`')

from mtperception.cli import session
from mtperception.cli.error_report import explain
from mtperception.cli.node_processes import Processes
from mtperception.errors import LateError
from mtperception.ros.graph_monitor import graph_monitor


def check():
    """All is well."""


def test_a_first_image_that_is_never_answered_is_an_error_with_the_last_words_of_the_node(tmp_path, monkeypatch):
    monkeypatch.setattr(session, 'PREPARED_WITHIN_S', 0.3)
    (tmp_path / 'perception_node.log').write_text('configured\nbuilding an engine\n')
    with (
        graph_monitor(check) as monitor,
        pytest.raises(LateError, match=r'nothing in 0\.3 s: building an engine \(more') as error,
    ):
        session.Session(Processes(tmp_path), monitor, check).try_out(lambda: False)
    assert explain(error.value, []) == str(error.value)  # no fault of the package
