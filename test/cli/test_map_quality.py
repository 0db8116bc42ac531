# SPDX-License-Identifier: Apache-2.0
"""`mtperception map-quality`: tables for people, JSON for programs."""

import json

import pytest

pytest.importorskip('mtperception.mapping.volume', reason='needs Open3D', exc_type=ImportError)

from altered_models import model_of_tasks
from mapped_rooms import write_posed_rooms

from mtperception.cli import main

MODEL = ('--backend', 'onnxruntime', '--device', 'cpu')


def test_the_rendered_room(tmp_path, capsys):
    file = tmp_path / 'quality.json'
    options = ('--every', '8', '--fusion', 'average', '--voxel-size', '0.1', '--camera-height', '1.45')
    assert main(['map-quality', 'synthetic', *options, *MODEL, '--json', str(file)]) == 0
    said, content = capsys.readouterr().out, json.loads(file.read_text())
    assert (content['command'], content['model'], content['frames']) == ('map-quality', 'nyuv2_indoor', 9)
    single, fused = content['labels']
    assert single['fusion'] == 'single views'
    assert (fused['voxel_size'], fused['fusion'], fused['kept_classes']) == (0.1, 'average', 4)
    assert all(0 < row[name] < 1 for row in (single, fused) for name in ('accuracy', 'miou', 'ece'))
    assert [row['scale'] for row in content['depth']] == [
        *('as it is', 'as it is', 'median of the reference', 'median of the reference', 'camera height')
    ]
    assert '3D mIoU' in said
    assert f'{fused["accuracy"]:.1%}' in said


@pytest.mark.parametrize(('given', 'missing'), [('segmentation', 'depth'), ('depth', 'segmentation')])
def test_a_model_of_one_task_is_refused_before_it_predicts(tmp_path, capsys, given, missing):
    model = model_of_tasks(tmp_path, given)
    assert main(['map-quality', 'synthetic', '--model', str(model), *MODEL]) == 1
    assert f'model {given} gives {given}: expected {missing} too' in ' '.join(capsys.readouterr().err.split())


def test_what_cannot_be_scored(tmp_path, capsys):
    rooms = write_posed_rooms(tmp_path / 'rooms', [1.0, 2.0], pose=None)
    assert main(['map-quality', str(rooms), *MODEL]) == 1
    assert 'no image has pose, camera and depth' in capsys.readouterr().err
    assert main(['map-quality', 'synthetic', '--fusion', 'best']) == 1
    assert 'expected one of bayes, average' in capsys.readouterr().err
