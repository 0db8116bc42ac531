# SPDX-License-Identifier: Apache-2.0
"""`mtperception doctor`, as a user runs it."""

import json
import os
import shutil
import subprocess
import sys

from mtperception import resources
from mtperception.cli import main


def test_what_works_is_measured_and_listed(tmp_path, every_task_model, capsys):
    out = tmp_path / 'doctor.json'
    assert main(['doctor', '--model', str(every_task_model), '--json', str(out)]) == 0
    result = json.loads(out.read_text())
    assert (result['command'], result['ready']) == ('doctor', True)
    checks = {(check['backend'], check['device']): check for check in result['backends']}
    assert checks['onnxruntime', 'cpu']['median_ms'] > 0
    assert checks['onnxruntime', 'cpu']['reason'] == ''
    findings = {finding['name']: finding for finding in result['findings']}
    assert 'self-test passed' in findings['street']['found']
    assert 'self-test passed' in findings[str(every_task_model)]['found']
    printed = capsys.readouterr().out
    assert 'The node can run here.' in printed
    assert f'{checks["onnxruntime", "cpu"]["median_ms"]:.0f} ms per frame' in printed


def test_a_damaged_model_fails(tmp_path, capsys):
    model = tmp_path / 'damaged'
    shutil.copytree(resources.find('model', 'street'), model)
    with (model / 'model.onnx').open('ab') as graph:
        graph.write(b'more')
    assert main(['doctor', '--model', str(model)]) == 1
    printed = capsys.readouterr().out
    assert 'sha256 differs' in printed
    assert 'The node cannot run here: 1 FAIL' in printed


def test_without_ros_it_says_how_to_get_it(tmp_path, every_task_model):
    """rclpy is hidden by a module that fails as a missing one does."""
    (tmp_path / 'rclpy.py').write_text("raise ImportError('No module named rclpy')")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get('PYTHONPATH', '')])])
    command = [sys.executable, '-m', 'mtperception', 'doctor', '--model', str(every_task_model), '--topic', 'image']
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env={**os.environ, 'PYTHONPATH': path}
    )
    assert done.returncode == 1, done.stderr
    assert 'cannot create a node: ImportError' in done.stdout
    assert 'setup.bash' in done.stdout


def test_an_unknown_model_leaves_the_backends_to_be_tried_with_the_default(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('mtperception.doctor.models.AUTO_ORDER', (('onnxruntime', 'cpu'),))
    out = tmp_path / 'doctor.json'
    assert main(['doctor', '--model', 'nope', '--json', str(out)]) == 1
    result = json.loads(out.read_text())
    assert [(check['backend'], check['reason']) for check in result['backends']] == [('onnxruntime', '')]
    printed = capsys.readouterr().out
    assert 'tried with nyuv2_indoor' in printed
    assert 'The node cannot run here: 1 FAIL above.' in printed


def test_seconds_are_those_of_a_topic(capsys):
    assert main(['doctor', '--seconds', '5']) == 2
    assert '--seconds: expected together with --topic' in capsys.readouterr().err


def test_a_topic_without_publisher_is_not_a_fault_of_the_machine(tmp_path, every_task_model, monkeypatch, capsys):
    monkeypatch.setattr('mtperception.doctor.models.AUTO_ORDER', (('onnxruntime', 'cpu'),))
    arguments = ['doctor', '--model', str(every_task_model), '--topic', '/nope', '--seconds', '0.5']
    assert main(arguments) == 1
    assert capsys.readouterr().out.rstrip().endswith('The node can run here, but cannot use /nope.')
