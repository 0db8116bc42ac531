# SPDX-License-Identifier: Apache-2.0
"""Configurations: those of the package are right, and what is wrong in one is said with its key."""

from pathlib import Path

import pytest
import yaml
from tiny_runs import tiny_config

from mtperception.networks import NETWORKS
from mtperception.resources import ResourceNotFoundError
from mtperception.tasks import TASKS
from mtperception.training.config import ChoiceConfig, ConfigError
from mtperception.training.config_file import config_from_dict, config_to_dict, load_config
from mtperception.training.losses import LOSSES
from mtperception.training.meaning import draft_card
from mtperception.training.optimization import OPTIMIZERS, SCHEDULES
from mtperception.training.regimes import REGIMES
from mtperception.training.weighting import WEIGHTINGS

FILES = sorted((Path(__file__).resolve().parents[2] / 'config' / 'train').glob('*.yaml'))


@pytest.mark.parametrize('name', [path.stem for path in FILES])
def test_every_experiment_names_what_there_is(name):
    config = load_config(name)
    for task in config.tasks:
        choice = config.losses[task]
        LOSSES[choice.name](**choice.options)
    WEIGHTINGS[config.weighting.name]({task: task for task in config.tasks}, **config.weighting.options)
    assert config.network.name in NETWORKS
    REGIMES[config.regime.name](config.tasks, **config.regime.options)
    assert config.optimizer.name in OPTIMIZERS
    assert SCHEDULES[config.optimizer.schedule.name](0.0, **config.optimizer.schedule.options) == 1
    card = draft_card(config, name)
    assert set(card.tasks) <= set(TASKS)
    assert config.description
    assert config.licence


@pytest.fixture
def file(tmp_path):
    """A complete configuration as a file."""
    path = tmp_path / 'mine.yaml'
    path.write_text(yaml.safe_dump(config_to_dict(tiny_config('/data'))), encoding='utf-8')
    return path


def test_it_goes_to_plain_values_and_back(file):
    config = tiny_config('/data')
    assert load_config(file) == config
    assert config_from_dict(config_to_dict(config)) == config


def test_changes_reach_everything(file):
    config = load_config(
        file,
        [
            'epochs=7',
            'data.0.root=/elsewhere',
            'data.0.tasks=[depth]',
            'view.scale=[0.5, 1.5]',
            'optimizer.learning_rate.depth=1e-2',
            'optimizer.options.weight_decay=1e-4',
            'losses.depth.name=l1',
            'label_space=nyuv2_13',
            'encoder=',
            'description=a = b',
            'epochs=8',
        ],
    )
    assert (config.epochs, config.label_space, config.encoder, config.description) == (8, 'nyuv2_13', '', 'a = b')
    assert (config.data[0].root, config.data[0].tasks) == ('/elsewhere', ['depth'])
    assert config.view.scale == [0.5, 1.5]
    assert config.optimizer.learning_rate == {'encoder': 1e-3, 'decoder': 1e-3, 'depth': 1e-2}
    assert config.optimizer.options == {'weight_decay': 1e-4}  # a number, not the word that YAML takes it for
    assert config.losses['depth'].name == 'l1'
    assert len(config.space) == 13


def test_a_file_states_what_differs_from_another(file):
    later = file.with_name('later.yaml')
    later.write_text('extends: mine\nepochs: 9\noptimizer: {warm_up_steps: 4}\ndata: []\n', encoding='utf-8')
    last = file.with_name('last.yaml')
    last.write_text('extends: later\nseed: 3\ndata: [{dataset: folder, root: b}]\n', encoding='utf-8')
    config = load_config(last)
    assert (config.epochs, config.seed, config.optimizer.warm_up_steps, config.batch_size) == (9, 3, 4, 2)
    assert [data.root for data in config.data] == ['b']  # lists are replaced


@pytest.mark.parametrize(
    ('below', 'above', 'changes', 'expected'),
    [
        ('network: a', '', [], ('a', {})),
        ('network: {name: a, options: {width: 3}}', '', [], ('a', {'width': 3})),
        # A plain name is a network without options, whatever another one had.
        ('network: {name: a, options: {width: 3}}', 'network: b', [], ('b', {})),
        ('network: {name: a, options: {width: 3}}', '', ['network=b'], ('b', {})),
        # An ablation changes one option of the same network.
        ('network: {name: a, options: {w: 3}}', 'network: {options: {skip: no}}', [], ('a', {'w': 3, 'skip': False})),
        ('network: {name: a, options: {width: 3}}', '', ['network.options.width=4'], ('a', {'width': 4})),
    ],
)
def test_a_network_by_name_or_with_options(below, above, changes, expected, file):
    file.with_name('below.yaml').write_text(f'extends: mine\n{below}\n', encoding='utf-8')
    last = file.with_name('last.yaml')
    last.write_text(f'extends: below\n{above}\n', encoding='utf-8')
    assert load_config(last, changes).network == ChoiceConfig(*expected)


@pytest.mark.parametrize(
    ('below', 'above', 'changes', 'expected'),
    [
        ('start: [x, y]', '', [], {'all': ['x', 'y']}),
        ('start: x', '', [], {'all': ['x']}),
        ('start: [x]', 'start: []', [], {}),
        ('start: {encoder: imagenet, decoder: [a, b]}', '', [], {'encoder': ['imagenet'], 'decoder': ['a', 'b']}),
        ('start: {encoder: a}', 'start: {decoder: b}', [], {'decoder': ['b']}),
        ('start: {encoder: a}', 'start: [b]', [], {'all': ['b']}),
        ('start: [a]', 'start: {encoder: b}', [], {'encoder': ['b']}),
        ('start: [a]', '', ['start=[c,d]'], {'all': ['c', 'd']}),
        ('start: [a]', '', ['start=c'], {'all': ['c']}),
        ('start: [a]', '', ['start={encoder: c}'], {'encoder': ['c']}),
        ('start: {encoder: a}', '', ['start.decoder=c', 'start.depth=[d,e]'],
         {'encoder': ['a'], 'decoder': ['c'], 'depth': ['d', 'e']}),
        ('paths: {runs: r}', "start: ['${paths.runs}/x']", [], {'all': ['r/x']}),
    ],
)  # fmt: skip
def test_a_start_as_a_whole_or_by_parts(below, above, changes, expected, file):
    file.with_name('below.yaml').write_text(f'extends: mine\n{below}\n', encoding='utf-8')
    last = file.with_name('last.yaml')
    last.write_text(f'extends: below\n{above}\n', encoding='utf-8')
    assert load_config(last, changes).start == expected


def test_a_task_without_a_loss_has_its_usual_one(file):
    config = load_config(file, ['tasks=[depth, normals]'])
    assert config.losses['normals'] == ChoiceConfig('dot_product')
    assert config.losses['depth'] == load_config(file).losses['depth']


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('epoch=3', 'epoch=3: found the unknown key epoch, did you mean epochs?'),
        ('learning_rate=1', 'found the unknown key learning_rate, did you mean optimizer.learning_rate?'),
        ('optimizer.clipnorm=1', 'found the unknown key optimizer.clipnorm, did you mean optimizer.clip_norm?'),
        ('view.size=2', 'view.size=2: found the unknown key view.size, expected one of view.scale, view.crop, '),
        ('epochs=many', "epochs=many: epochs: found 'many', expected a whole number"),
        ('epochs={a: 1}', "epochs: found {'a': 1}, expected a whole number"),
        ('view=3', 'view: found 3, expected keys with values'),
        ('data=3', 'data: found 3, expected a list'),
        ('optimizer=[1]', 'optimizer'),
        ('data.0.tasks=depth', 'data'),
        ('data.3.root=x', 'data'),
        ('view.mirror=2.5', 'view.mirror: found 2.5, expected true or false'),
        ('optimizer.learning_rate.encoder=fast', "optimizer.learning_rate.encoder: found 'fast', expected a number"),
        ('epochs', "'epochs': expected key=value"),
        ('epochs=[', ''),
        ('epochs=0', 'epochs: found 0, expected 1 or more'),
        ('loss_stride=0', 'loss_stride: found 0, expected 1 or more'),
        ('loss_stride=1000', 'loss_stride: found 1000, expected less than twice the sides'),
        ('tasks=[depth, colour]', 'tasks: colour: expected any of segmentation, depth, normals'),
        ('tasks=[]', 'tasks: expected one or more'),
        ('tasks=[depth, depth]', 'tasks: expected one or more, without duplicates'),
        ('precision=fp8', 'precision: fp8: expected any of fp32, bf16, fp16'),
        ('batch_norm=off', 'batch_norm: '),
        ('data.0.part=half', 'data.part: half: expected any of all, kept, held_back'),
        ('start={all: [a], encoder: b}', 'start: expected either all or parts of the network'),
        ('start=1', 'start'),
        ('label_space=', 'label_space: segmentation needs one'),
        ('data=[]', 'data: expected at least one data set'),
        ('data.0.tasks=[labels]', 'data.tasks: labels: expected any of segmentation, depth, normals'),
        ('data.0.folds=[5]', 'data: expected folds together with part: kept or held_back'),
        ('data.0.part=kept', 'data: expected folds together with part: kept or held_back'),
        ('optimizer.clip_norm=-1', 'optimizer.clip_norm: expected 0 (off) or more'),
        ('optimizer.warm_up_steps=-2', 'optimizer.warm_up_steps: expected 0 or more'),
        ('seed=-1', 'seed: expected 0 or more'),
        ('workers=-1', 'workers: expected 0 or more'),
        ('view.normals_window=8', 'view.normals_window: expected an odd number from 3 on'),
        ('view.pitch=50', 'view.pitch: expected 0 to 45 degrees'),
        ('view.roll=-1', 'view.roll: expected 0 to 45 degrees'),
        ('view.scale=[1.5, 0.5]', 'view.scale: expected two factors, the smaller first'),
        ('view.scale=[1.5]', 'view.scale: expected two factors'),
        ('view.crop=[16, 320]', 'view.crop: expected height and width from 32 on'),
        ('depth_range=[1]', 'depth_range: expected two numbers'),
        ('consistency.weights.depth=-1', 'consistency.weights: expected 0 or more'),
        ('consistency.shift=0.5', 'consistency.shift: expected 0 to below 0.5'),
        ('consistency.zoom=-1', 'consistency.zoom: expected 0 or more'),
        ('consistency.light=1', 'consistency.light: expected 0 to below 1'),
        ('consistency.noise=-1', 'consistency.noise: expected 0 or more'),
        ('average_decay=1', 'average_decay: expected 0 to below 1'),
        ('batch_size=0', 'batch_size: found 0, expected 1 or more'),
        ('validate_every=0', 'validate_every: found 0, expected 1 or more'),
        ('data.0.weight=0', 'data.weight: expected more than 0'),
        (
            'validation=[{dataset: folder, root: x, weight: 2}]',
            'validation.weight: expected 1',
        ),
        ('view.class_balance=1.5', 'view.class_balance: expected a share, 0 to 1'),
        ('view.copy_paste=-1', 'view.copy_paste: expected a share, 0 to 1'),
        ('distillation.temperature=0', 'distillation.temperature: expected more than 0'),
        ('distillation.weights.depth=-1', 'distillation.weights: expected 0 or more'),
    ],
)
def test_what_is_wrong_is_said_with_its_key(change, message, file):
    with pytest.raises(ConfigError) as error:
        load_config(file, [change])
    assert message in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'change',
    [
        'data.0.weight=.nan',
        'view.scale=[1, .inf]',
        'seed=99999999999999999999',
        'optimizer.learning_rate.decoder=-1',
        'optimizer.clip_norm=.nan',
        'view.brightness=2',
        'depth_range=[10, 0.3]',
        'camera.fx=0',
    ],
)
def test_numbers_that_make_no_sense_are_refused(change, file):
    with pytest.raises(ConfigError, match='expected'):
        load_config(file, [change])


def test_a_text_stays_as_it_is_written(file):
    config = load_config(file, ['data.0.split=0012', 'paths.x=no', 'encoder=off', 'description=a: b #c'])
    assert (config.data[0].split, config.paths['x']) == ('0012', 'no')
    assert (config.encoder, config.description) == ('off', 'a: b #c')


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        ('losses.depth.name=l1', ChoiceConfig('l1')),
        ('losses.depth={name: l1}', ChoiceConfig('l1')),
        ('losses.segmentation.options.balance=0.5', ChoiceConfig('cross_entropy', {'balance': 0.5})),
        ('losses.edges.name=l1', ChoiceConfig('l1')),
    ],
)
def test_a_loss_that_the_file_does_not_name_can_be_changed(change, expected, tmp_path):
    content = config_to_dict(tiny_config('/data'))
    del content['losses']
    file = tmp_path / 'mine.yaml'
    file.write_text(yaml.safe_dump(content), encoding='utf-8')
    assert load_config(file, [change]).losses[change.split('.')[1].partition('=')[0]] == expected


def test_what_a_file_extends_is_looked_for_beside_it(file, tmp_path, monkeypatch):
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'elsewhere' / 'mine.yaml').write_text('seed: 5', encoding='utf-8')
    child = tmp_path / 'child.yaml'
    for name in ('mine', 'mine.yaml', str(file)):
        child.write_text(f'extends: {name}\nepochs: 9\n', encoding='utf-8')
        monkeypatch.chdir(tmp_path / 'elsewhere')
        assert (load_config(child).epochs, load_config(child).seed) == (9, 0)


@pytest.mark.parametrize(
    ('content', 'problem'),
    [
        ('epochs: 1\nepochs: 2\n', 'line 2: found duplicate key epochs'),
        ('view:\n\tscale: 1\n', 'line 2: found character that cannot start any token'),
        ('regime: ubernet\n', "regime: found 'ubernet', expected keys with values"),
        ('data: {dataset: folder}\n', "data: found {'dataset': 'folder'}, expected a list"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_place(content, problem, tmp_path):
    file = tmp_path / 'mine.yaml'
    file.write_text(content, encoding='utf-8')
    with pytest.raises(ConfigError) as error:
        load_config(file)
    assert str(error.value).startswith(f'{file}: {problem}')


def test_choices_that_do_not_go_together(file):
    with pytest.raises(ConfigError, match='the ubernet regime accumulates gradients: use bf16 or fp32'):
        load_config(file, ['precision=fp16', 'regime.name=ubernet'])
    validated = ['validation=[{dataset: folder, root: x}]', 'tasks=[depth]']
    assert load_config(file, [*validated, 'select_by=rmse']).select_by == 'rmse'
    with pytest.raises(ConfigError, match='select_by: miou is not a measured metric: expected one of rmse, '):
        load_config(file, validated)


@pytest.mark.parametrize('content', ['- a\n- b\n', 'epochs: [\n', 'extends: mine\n', 'a word', ''])
def test_a_file_that_is_no_configuration(content, tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text(content, encoding='utf-8')
    with pytest.raises(ConfigError, match=r'mine\.yaml: '):
        load_config(path)


def test_the_key_that_is_missing(file):
    content = yaml.safe_load(file.read_text(encoding='utf-8'))
    del content['camera']['fx']
    file.write_text(yaml.safe_dump(content), encoding='utf-8')
    with pytest.raises(ConfigError, match=r'camera\.fx: found no value, expected one'):
        load_config(file)


def test_there_is_no_such_file(tmp_path):
    with pytest.raises(ResourceNotFoundError, match='nonesuch'):
        load_config('nonesuch')


def test_a_wrong_key_of_a_file_is_said_with_the_file_and_one_of_a_change_with_the_change(file):
    with pytest.raises(ConfigError) as of_change:
        load_config(file, ['foo=1'])
    assert str(of_change.value).startswith('foo=1: found the unknown key foo, expected one of paths, network, ')
    file.write_text(f'{file.read_text(encoding="utf-8")}\nfoo: 1\n', encoding='utf-8')
    with pytest.raises(ConfigError) as of_file:
        load_config(file)
    assert str(of_file.value).startswith(f'{file}: found the unknown key foo, expected one of paths, network, ')


def test_another_name_does_not_keep_the_options_of_the_former(tmp_path):
    below = 'losses: {depth: {name: sum, options: {terms: [{name: berhu}]}}}\n'
    (tmp_path / 'below.yaml').write_text(f'extends: nyuv2\n{below}', encoding='utf-8')
    file = tmp_path / 'above.yaml'
    for content, expected in (
        ('losses: {depth: {name: berhu}}', ChoiceConfig('berhu')),
        ('losses: {depth: {name: silog, options: {invariance: 0.7}}}', ChoiceConfig('silog', {'invariance': 0.7})),
        ('losses: {depth: {name: sum}}', ChoiceConfig('sum', {'terms': [{'name': 'berhu'}]})),
    ):
        file.write_text(f'extends: below\n{content}\n', encoding='utf-8')
        assert load_config(file).losses['depth'] == expected
    for change in ('losses.depth.name=berhu', 'losses.depth={name: berhu}'):
        assert load_config(tmp_path / 'below.yaml', [change]).losses['depth'] == ChoiceConfig('berhu')
    sgd = load_config('nyuv2', ['optimizer.name=sgd', 'optimizer.options.momentum=0.9'])
    assert (sgd.optimizer.name, sgd.optimizer.options) == ('sgd', {'momentum': 0.9})
    assert sgd.optimizer.schedule == load_config('nyuv2').optimizer.schedule
