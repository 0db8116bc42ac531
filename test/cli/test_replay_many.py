# SPDX-License-Identifier: Apache-2.0
"""`mtperception replay-many`: one table over all bags, done once, whoever does it."""

import json
import re
import shutil
from contextlib import closing

import numpy as np
import pytest

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from recordings import IMAGE, LABELS, image, room_messages, write_recording

from mtperception import cli, resources
from mtperception.card import CARD, ModelCard
from mtperception.cli import replay_many
from mtperception.predictor import Predictor
from mtperception.recording.recording import Recording
from mtperception.recording.recording_options import RecordingOptions
from mtperception.replay.replay import replay
from mtperception.scale.bag_scorer import BagPlan, BagScorer

BACKEND = ('--backend', 'onnxruntime', '--device', 'cpu')


@pytest.fixture(scope='module')
def fleet(tmp_path_factory):
    """Two robots: bags of three, two and one images; the last has neither depth nor labels nor poses."""
    folder = tmp_path_factory.mktemp('fleet')
    bags = [folder / name for name in ('robot_1_a', 'robot_1_b', 'robot_2_a')]
    write_recording(bags[0], room_messages(3))
    write_recording(bags[1], room_messages(2, period=1.0))
    write_recording(bags[2], [(t, m) for t, m in room_messages(2) if t == IMAGE])
    return bags


def run(bags, *arguments):
    return cli.main(['replay-many', *map(str, bags), *BACKEND, *map(str, arguments)])


def load(path):
    return json.loads(path.read_text(encoding='utf-8'))


@pytest.fixture(scope='module')
def replays(fleet):
    """Each bag by itself."""
    results = []
    for bag in fleet[:2]:
        with Recording(bag) as recording:
            results.append(replay(Predictor('nyuv2_indoor', 'onnxruntime', 'cpu'), recording))
    return results


def test_a_bag_that_changes_while_it_is_scored_is_not_kept(tmp_path):
    bag = tmp_path / 'growing'
    write_recording(bag, room_messages(2))
    plan = BagPlan('nyuv2_indoor', tmp_path / 'parts', RecordingOptions(), '', 'onnxruntime', 'cpu', 'auto')
    with closing(BagScorer(plan, lambda done, count: (bag / f'{done}.log').touch())) as scorer:
        [outcome] = scorer([str(bag)])
    assert 'changed while it was scored' in outcome.failed
    assert not plan.is_done(str(bag))


def test_one_table_by_bag_by_group_and_over_all(fleet, replays, tmp_path, capsys):
    options = ('--group', r'robot_(\d)', '--parts', tmp_path / 'parts', '--json', tmp_path / 'all.json')
    assert run(fleet, *options) == 0
    content = load(tmp_path / 'all.json')
    assert (content['command'], content['frames'], content['failed']) == ('replay-many', 7, {})
    by_bag = {bag['bag']: bag for bag in content['bags']}
    for bag, single in zip(fleet, replays, strict=False):
        assert by_bag[str(bag)]['metrics'] == json.loads(json.dumps(single.summary()).replace('NaN', 'null'))
    assert (content['groups']['1']['bags'], content['groups']['1']['frames']) == (2, 5)
    assert (content['groups']['2']['bags'], content['groups']['2']['frames']) == (1, 2)
    assert set(content['groups']['2']['metrics']) == {'label_flicker', 'depth_flicker'}
    pixels = [single.depth.pixels for single in replays]
    squares = [single.summary()['rmse'] ** 2 for single in replays]
    expected = np.sqrt(np.average(squares, weights=pixels))
    assert content['metrics']['rmse'] == content['groups']['1']['metrics']['rmse'] == pytest.approx(expected)
    # The change of scale from the last frame of a bag to the first of the next is none.
    changes = np.concatenate([np.abs(np.diff(single.column('scale'))) for single in replays])
    assert content['metrics']['scale_change'] == pytest.approx(changes.mean())
    rmse = [bag['metrics'].get('rmse', -1) for bag in content['bags']]
    assert rmse == sorted(rmse, reverse=True)
    assert content['bags'][-1]['bag'] == str(fleet[2])
    assert 'by group' in capsys.readouterr().out


def test_finished_bags_are_skipped_unless_something_changed(fleet, tmp_path, capsys):
    bags = [shutil.copytree(bag, tmp_path / bag.name) for bag in fleet[1:]]
    options = ('--parts', tmp_path / 'parts', '--json', tmp_path / 'all.json')
    assert run(bags[:1], *options) == 0
    assert run(bags, *options, '--dry-run') == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == ['2 bags: 1 are scored, 1 would be scored by this process', str(bags[1])]
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / 'parts').glob('robot*')}
    assert run(bags, *options) == 0
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert len(load(tmp_path / 'all.json')['bags']) == 2
    retrained = shutil.copytree(resources.find('model', 'nyuv2_indoor'), tmp_path / 'retrained')
    text = (retrained / CARD).read_text()
    (retrained / CARD).write_text(text + '# changed\n')
    assert ModelCard.read(retrained / CARD).name == 'nyuv2_indoor'
    capsys.readouterr()
    assert run(bags, '--model', retrained, *options, '--dry-run') == 0
    assert '0 are scored, 2 would be' in capsys.readouterr().out
    (bags[0] / 'metadata.yaml').touch()
    assert run(bags, *options, '--dry-run') == 0
    assert '1 are scored, 1 would be' in capsys.readouterr().out


def test_the_content_of_a_label_space_counts_not_its_name(fleet, tmp_path, capsys):
    space = shutil.copy(resources.find('labels', 'nyuv2_40'), tmp_path / 'mine.yaml')
    options = ('--label-space', space, '--label-topic', LABELS, '--parts', tmp_path / 'parts')
    assert run(fleet[:1], *options) == 0
    capsys.readouterr()
    assert run(fleet[:1], *options, '--dry-run') == 0
    assert '1 are scored, 0 would be' in capsys.readouterr().out
    text = space.read_text(encoding='utf-8')
    space.write_text(text + '# another order of the classes\n', encoding='utf-8')
    assert run(fleet[:1], *options, '--dry-run') == 0
    assert '0 are scored, 1 would be' in capsys.readouterr().out


def test_a_bag_that_is_gone_at_the_end_costs_itself_only(fleet, tmp_path, monkeypatch):
    """Scored, and removed while the others are."""
    bags = [shutil.copytree(bag, tmp_path / bag.name) for bag in fleet[:2]]
    score = replay_many._score

    def and_remove(*arguments):
        failed = score(*arguments)
        shutil.rmtree(bags[0])
        return failed

    monkeypatch.setattr(replay_many, '_score', and_remove)
    assert run(bags, '--parts', tmp_path / 'parts', '--json', tmp_path / 'all.json') == 1
    content = load(tmp_path / 'all.json')
    assert [bag['bag'] for bag in content['bags']] == [str(bags[1])]
    assert content['failed'] == {str(bags[0]): 'changed or removed after it was scored: run it again'}


def test_a_bad_bag_costs_itself_only(fleet, tmp_path, capsys):
    (tmp_path / 'no.mcap').write_bytes(b'no bag')
    unusable = write_recording(tmp_path / 'unusable', [(IMAGE, broken_image())])
    bags = [tmp_path / 'no.mcap', fleet[1], tmp_path / 'missing', unusable]
    options = ('--parts', tmp_path / 'parts', '--json', tmp_path / 'all.json', '--report', tmp_path / 'page')
    assert run(bags, *options) == 1
    content = load(tmp_path / 'all.json')
    assert [bag['bag'] for bag in content['bags']] == [str(fleet[1])]
    assert list(content['failed']) == [str(bag) for bag in (bags[0], *bags[2:])]
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == 'error: 3 bags failed: repair them or leave them out'
    assert said[-3].startswith(f'{tmp_path / "missing"}: ')
    assert said[-2].startswith(f'{unusable}: ')
    assert said[-2].count(str(unusable)) == 1
    assert 'expected 288 or more' in said[-2]
    page = (tmp_path / 'page' / 'index.html').read_text()
    assert str(bags[0]) in page


def broken_image():
    message = image(np.zeros((72, 96, 3), np.uint8), 1)
    message.step = 1
    return message


def test_the_page_has_the_worst_bags_first(fleet, tmp_path):
    pytest.importorskip('jinja2')
    options = ('--group', 'robot_1|robot_2', '--parts', tmp_path / 'parts', '--report', tmp_path / 'page')
    assert run(fleet, *options, '--json', tmp_path / 'all.json', '--label-topic', LABELS) == 1  # the third has none
    page = (tmp_path / 'page' / 'index.html').read_text()
    order = [bag['bag'] for bag in load(tmp_path / 'all.json')['bags']]
    assert re.findall(r'<tr><th>(/[^<]*)</th>|$', page)[:2] == order
    assert 'miou' in page
    assert '<th>robot_1</th>' in page


def test_workers_make_the_same_bytes(fleet, tmp_path):
    pytest.importorskip('ray', reason='pip install "mtperception[ray]"')
    for name, more in (('one', ()), ('many', ('--workers', 2))):
        assert run(fleet, '--parts', tmp_path / name, '--json', tmp_path / f'{name}.json', *more) == 0
    assert (tmp_path / 'one.json').read_bytes() == (tmp_path / 'many.json').read_bytes()


def test_wrong_usage(fleet, tmp_path, capsys):
    assert run([]) == 2
    assert run(fleet, '--group', '(') == 2
    assert 'not a regular expression' in capsys.readouterr().err
    assert run(fleet, '--address', 'auto') == 2
    assert run(fleet, '--label-offset', '3', '--parts', tmp_path / 'parts') == 2
    assert '--label-offset: expected together with --label-topic' in ' '.join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--backend', 'abacus'], "unknown backend 'abacus': expected auto, "),
        (['--device', 'tpu'], "unknown device 'tpu': expected auto, cpu, "),
        (['--precision', 'fp8'], "unknown precision 'fp8': expected auto, "),
        (['--device', 'cuda:99'], 'onnxruntime on cuda:99: '),
        (['--backend', 'abacus', '--workers', '2'], "unknown backend 'abacus': expected auto, "),
    ],
)
def test_what_no_bag_is_to_blame_for_is_one_error(fleet, tmp_path, arguments, message, capsys):
    """Nothing is scored and nothing made, and an earlier result stays."""
    result = tmp_path / 'all.json'
    assert run(fleet[2:], '--parts', tmp_path / 'parts', '--json', result) == 0
    before = result.read_bytes()
    capsys.readouterr()
    more = ('--parts', tmp_path / 'others', '--report', tmp_path / 'page', '--json', result)
    assert run(fleet, *arguments, *more) == 1
    printed = capsys.readouterr()
    (said,) = [line for line in printed.err.splitlines() if line.startswith('error: ')]
    assert said.startswith(f'error: {message}')
    assert not [bag for bag in fleet if str(bag) in printed.err]
    assert printed.out == ''
    assert result.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ['all.json', 'parts']


def test_a_pattern_that_matches_nothing_is_one_error_that_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(['x*.mcap']) == 1
    printed = capsys.readouterr()
    assert printed.out == ''
    assert printed.err == 'error: x*.mcap: found no such file, expected rosbag2 folders, or .mcap or .db3 files\n'
    assert list(tmp_path.iterdir()) == []
