# SPDX-License-Identifier: Apache-2.0
"""`mtperception doctor`: what this machine can run, and what is missing."""

import os
import re
from dataclasses import replace
from typing import Annotated, Any

import typer

from mtperception import __version__, resources
from mtperception.card import DEFAULT_MODEL, ModelDirectory
from mtperception.cli.folders import make_room_for_json, write_json
from mtperception.cli.options import JsonOption, ModelOption
from mtperception.cli.progress import progress
from mtperception.cli.usage import check_usage
from mtperception.doctor import NOTE, OK, PROBLEM, WARNING, Finding
from mtperception.doctor.limits import check_fast_dds_profile, check_limits
from mtperception.doctor.machine import INSTALL_ROS, check_cameras, check_message_packages, check_python
from mtperception.doctor.models import (
    SELF_TEST_PASSED,
    BackendCheck,
    backend_findings,
    check_backends,
    check_model,
    check_other_models,
)
from mtperception.doctor.stream import SECTION as TOPIC
from mtperception.hardware import describe_hardware

LISTENING_S = 3.0
TOPIC_NAME = r'/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*'
MARKS = {OK: 'ok  ', NOTE: 'note', WARNING: 'WARN', PROBLEM: 'FAIL'}


def doctor(
    model: ModelOption = DEFAULT_MODEL,
    json_file: JsonOption = None,
    topic: Annotated[
        str, typer.Option(help='Also check a live image topic, and say whether the node can use it.')
    ] = '',
    seconds: Annotated[float, typer.Option(min=0.5, max=60, help='How long to listen to --topic.')] = LISTENING_S,
) -> None:
    """Check what this machine can run, and what is missing.

    Checks Python, ROS and its middleware, models and their self-tests, backends and their time per frame, the system
    limits that make images get lost, and cameras. Exit status 1: the node cannot run here, or cannot use the topic.

    Example: mtperception doctor --topic /camera/image_raw
    """
    is_name = re.fullmatch(TOPIC_NAME, topic, re.ASCII)
    check_usage(
        (topic and not is_name, '--topic', f'found {topic!r}, expected a name as /camera/image_raw'),
        (seconds != LISTENING_S and not topic, '--seconds', 'expected together with --topic'),
    )
    if json_file:
        make_room_for_json(json_file)
    findings = [*check_python(), *_check_ros(), *check_limits()]
    chosen, directory = check_model(model, needed=True)
    tried = directory or check_model(DEFAULT_MODEL, needed=False)[1]
    backends = _check_backends(tried)
    works = next((check for check in backends if not check.reason), None)
    if directory and works:
        chosen = replace(chosen, found=f'{chosen.found}; {SELF_TEST_PASSED}')
    findings += [chosen, *check_other_models(model, works), *_backend_findings(backends, directory, tried)]
    findings += check_cameras()
    if topic and not any(finding.section == 'ROS' and finding.state == PROBLEM for finding in findings):
        findings += _check_topic(topic, seconds, directory, works)
    ready = not _problems(findings)
    if json_file:
        write_json(json_file, _as_json(model, findings, backends, ready), '--json')
    _print(findings, topic)
    if not ready:
        raise typer.Exit(1)


def _check_ros() -> list[Finding]:
    """The ROS installation: a node is made with it."""
    try:
        from mtperception.ros.topic_inspection import describe_ros

        described = describe_ros()
    except Exception as error:  # noqa: BLE001 - a broken installation raises what it likes
        reason = f'{type(error).__name__}: {error}'
        return [Finding('ROS', 'rclpy', PROBLEM, f'cannot create a node: {reason}', INSTALL_ROS)]
    distribution = os.environ.get('ROS_DISTRO', 'not sourced (using pip wheels)')
    found = [Finding('ROS', 'rclpy', OK, f'{distribution}; {described}'), *check_message_packages()]
    if 'fastrtps' in described:
        found.append(check_fast_dds_profile(os.environ, resources.find('config', 'fastdds.xml')))
    return found


def _check_backends(directory: ModelDirectory | None) -> list[BackendCheck]:
    if directory is None:
        return []
    from mtperception.backends import AUTO_ORDER

    with progress('trying the backends', len(AUTO_ORDER)) as move:
        return check_backends(directory, move)


def _backend_findings(
    backends: list[BackendCheck], directory: ModelDirectory | None, tried: ModelDirectory | None
) -> list[Finding]:
    """What was found of the backends; with which model, where the chosen one cannot be opened."""
    if directory is None and tried is not None:
        return [Finding('backends', 'model', NOTE, f'tried with {tried.card.name}'), *backend_findings(backends)]
    return backend_findings(backends) if directory else []


def _check_topic(
    topic: str, seconds: float, directory: ModelDirectory | None, works: BackendCheck | None
) -> list[Finding]:
    from mtperception.doctor.stream import judge
    from mtperception.ros.topic_inspection import observe

    if directory is None:
        return []
    with progress(f'listening to {topic}', None):
        seen = observe(topic, seconds)
    return judge(seen, directory.card, works.median_ms if works else None)


def _as_json(model: str, findings: list[Finding], backends: list[BackendCheck], ready: bool) -> dict[str, Any]:
    """What `--json` writes."""
    return {
        'mtperception': __version__,
        'command': 'doctor',
        'model': model,
        'hardware': describe_hardware(),
        'ready': ready,
        'backends': [vars(check) for check in backends],
        'findings': [vars(finding) for finding in findings],
    }


def _problems(findings: list[Finding], *, of_topic: bool | None = None) -> int:
    """How many findings are problems: all, or only those of the topic, or only the others."""
    problems = [finding.section == TOPIC for finding in findings if finding.state == PROBLEM]
    return len(problems) if of_topic is None else problems.count(of_topic)


def _print(findings: list[Finding], topic: str) -> None:
    typer.echo(f'mtperception {__version__} on {describe_hardware()}')
    section = ''
    for finding in findings:
        if finding.section != section:
            section = finding.section
            typer.echo(f'\n{section}')
        typer.echo(f'  {MARKS[finding.state]}  {finding.name}: {finding.found}')
        if finding.advice:
            typer.echo(f'          -> {finding.advice}')
    typer.echo(f'\n{_verdict(findings, topic)}')


def _verdict(findings: list[Finding], topic: str) -> str:
    """Whether the node can run here, and use the topic."""
    if failed := _problems(findings, of_topic=False):
        return f'The node cannot run here: {failed} FAIL above.'
    if _problems(findings, of_topic=True):
        return f'The node can run here, but cannot use {topic}.'
    return 'The node can run here.'
