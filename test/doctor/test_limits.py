# SPDX-License-Identifier: Apache-2.0
"""Limits at which images are lost, on trees of files as the kernel shows them."""

import pytest

from mtperception.doctor.limits import SYSCTLS, check_fast_dds_profile, check_limits

DEFAULT_OF_UBUNTU = {'net/core/rmem_max': 212992, 'net/ipv4/ipfrag_high_thresh': 4194304}


def proc_sys(folder, values):
    for name, value in values.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f'{value}\n')
    return folder


def states(findings):
    return {finding.name: finding.state for finding in findings}


def test_the_defaults_of_ubuntu_are_warned_of_with_the_command_that_raises_them(tmp_path):
    found = check_limits(proc_sys(tmp_path / 'sys', DEFAULT_OF_UBUNTU), tmp_path)
    assert states(found)['net.core.rmem_max'] == states(found)['net.ipv4.ipfrag_high_thresh'] == 'warning'
    assert 'sudo sysctl -w net.core.rmem_max=8388608' in {finding.advice for finding in found}
    said = {finding.name: finding.found for finding in found}
    assert said['net.core.rmem_max'] == '208 KiB socket buffer (expected 8 MiB): large images over UDP are lost'
    assert said['net.ipv4.ipfrag_high_thresh'] == (
        '4 MiB buffer for incomplete UDP packets (expected 16 MiB): '
        'a few large images fill it, and later images are lost'
    )


def test_limits_that_suffice(tmp_path):
    enough = {name: least for name, (least, _, _) in SYSCTLS.items()}
    found = check_limits(proc_sys(tmp_path / 'sys', enough), tmp_path)
    assert {states(found)[name.replace('/', '.')] for name in enough} == {'ok'}


def test_what_the_system_does_not_tell_is_left_out(tmp_path):
    assert check_limits(tmp_path / 'none', tmp_path / 'none') == []


@pytest.mark.parametrize('variable', ['FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'])
def test_the_profile_of_fast_dds(tmp_path, variable):
    profile = tmp_path / 'profile.xml'
    assert check_fast_dds_profile({}, profile).state == 'warning'
    assert f'{variable}={profile}' in check_fast_dds_profile({}, profile).advice
    assert 'no such file' in check_fast_dds_profile({variable: str(profile)}, profile).found
    profile.write_text('<profiles/>')
    assert check_fast_dds_profile({variable: str(profile)}, profile).state == 'ok'


@pytest.mark.parametrize(
    ('distribution', 'heeded'), [('jazzy', 'FASTRTPS'), ('kilted', 'FASTDDS'), ('lyrical', 'FASTDDS')]
)
def test_the_variable_that_a_distribution_reads(tmp_path, distribution, heeded):
    profile = tmp_path / 'profile.xml'
    profile.write_text('<profiles/>')
    for prefix in ('FASTRTPS', 'FASTDDS'):
        environment = {'ROS_DISTRO': distribution, f'{prefix}_DEFAULT_PROFILES_FILE': str(profile)}
        state = check_fast_dds_profile(environment, profile).state
        assert state == ('ok' if prefix == heeded else 'warning')
