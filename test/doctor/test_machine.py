# SPDX-License-Identifier: Apache-2.0
"""Packages and cameras."""

from mtperception.doctor.machine import check_cameras, check_message_packages


def test_a_package_that_is_missing_or_broken_is_a_problem(tmp_path, monkeypatch):
    (tmp_path / 'broken_msgs').mkdir()
    (tmp_path / 'broken_msgs' / '__init__.py').write_text('raise RuntimeError("built for another Python")')
    monkeypatch.syspath_prepend(tmp_path)
    found = check_message_packages(['nonesuch_msgs', 'broken_msgs'])
    problems = {finding.name: finding for finding in found if finding.state == 'problem'}
    assert set(problems) == {'nonesuch_msgs', 'broken_msgs'}
    assert 'built for another Python' in problems['broken_msgs'].found
    assert 'setup.bash' in problems['nonesuch_msgs'].advice


def test_cameras_have_the_names_that_the_kernel_gives(tmp_path):
    devices, nodes = tmp_path / 'video4linux', tmp_path / 'dev'
    (devices / 'video0').mkdir(parents=True)
    (devices / 'video0' / 'name').write_text('A webcam\n')
    (devices / 'video2').mkdir()
    nodes.mkdir()
    (nodes / 'video0').touch()
    first, second = check_cameras(devices, nodes)
    assert (first.state, first.name, first.found) == ('ok', str(nodes / 'video0'), 'A webcam')
    assert (second.state, 'usermod' in second.advice) == ('note', True)


def test_no_camera_is_no_problem(tmp_path):
    (finding,) = check_cameras(tmp_path / 'none')
    assert finding.state == 'note'
