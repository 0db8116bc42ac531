# SPDX-License-Identifier: Apache-2.0
"""`mtperception benchmark`: a table for people, JSON for programs, one line for what is unavailable."""

import json
import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

import mtperception.cli.benchmark as command
from mtperception import __version__, cli
from mtperception.backends.selection import cuda_device_count
from mtperception.hardware import describe_hardware
from mtperception.synthetic import SyntheticRoom
from mtperception.tasks import TASKS, graph_outputs

TINY = ('--device', 'cpu', '--iterations', '2')
EVERYTHING = ('--precision', 'fp32', '--size', '64x48', '--size', '81x53', '--batch', '2', '--batch', '3')
KEYS = {
    *('backend', 'device', 'precision', 'width', 'height', 'batch', 'median_ms', 'p90_ms', 'p99_ms', 'forward_ms'),
    *('image_ms', 'baseline_ms', 'ratio', 'runs', 'images_per_second', 'prepare_s', 'memory_mib'),
    *('label_agreement', 'depth_difference', 'differences'),
}


def run(*arguments):
    return cli.main(['benchmark', *TINY, *map(str, arguments)])


@pytest.fixture(scope='module')
def done(every_task_model, tmp_path_factory):
    """One run of all backends at two sizes, one of them odd, and what it wrote and printed."""
    out = tmp_path_factory.mktemp('benchmark')
    arguments = ['--model', every_task_model, *EVERYTHING, '--json', out / 'made' / 'b.json', '--plot', out / 'b.svg']
    command = [sys.executable, '-m', 'mtperception', 'benchmark', *TINY, *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert finished.returncode == 0, finished.stderr
    return json.loads((out / 'made' / 'b.json').read_text(encoding='utf-8')), finished.stdout, out


def test_the_result_for_programs(done):
    content, _, _ = done
    assert (content['mtperception'], content['command'], content['model']) == (__version__, 'benchmark', 'every_task')
    assert content['hardware'] == describe_hardware()
    assert {'numpy', 'torch', 'openvino'} <= set(content['versions'])
    assert content['baseline']['median_ms'] == content['results'][0]['baseline_ms']
    assert content['complete']
    assert all(set(result) == KEYS for result in content['results'])
    shapes = [(64, 48, 2), (81, 53, 2), (64, 48, 3)]  # each size at the first batch, the first size at each batch
    measured = [tuple(result[key] for key in ('backend', 'width', 'height', 'batch')) for result in content['results']]
    assert sorted(measured) == sorted(
        (name, *shape) for name in ('torch', 'openvino', 'onnxruntime') for shape in shapes
    )


def test_figures_fit_each_other(done):
    for result in done[0]['results']:
        assert result['ratio'] == pytest.approx(result['baseline_ms'] / result['median_ms'])
        assert 0 < result['median_ms'] <= result['p90_ms'] <= result['p99_ms']
        # Two runs: their mean is their median.
        assert result['images_per_second'] == pytest.approx(result['batch'] * 1000 / result['median_ms'])
        assert result['image_ms'] == pytest.approx(1000 / result['images_per_second'])
        assert result['runs'] == 2
        assert min(result['forward_ms'], result['prepare_s']) > 0


def test_fast_graphs_give_what_pytorch_does(done):
    for result in done[0]['results']:
        assert result['label_agreement'] >= 0.999
        assert result['depth_difference'] <= 1e-4
        assert list(result['differences']) == [output.name for output in graph_outputs(TASKS)]
        assert result['differences']['confidence'] <= 1
        assert result['differences']['normals'] <= 0.1


def test_the_table_for_people(done):
    content, printed, _ = done
    texts = ('openvino cpu fp32', '2 x 81x53', 'ratio', 'agreement with PyTorch', 'depth_confidence', '0.00°')
    for text in (*texts, content['hardware'].split(',')[0]):
        assert text in printed
    for result in content['results']:
        assert f'{result["ratio"]:.2f}' in printed


def test_the_plot(done):
    drawn = (done[2] / 'b.svg').read_text(encoding='utf-8')
    assert drawn.lstrip().startswith('<?xml')


@pytest.mark.parametrize('option', [('--model', 'street'), ('--seconds', '3'), ('--size', '64x48')])
def test_the_fusion_of_a_map_takes_no_other_option(option, capsys):
    assert cli.main(['benchmark', '--mapping', *option]) == 2
    assert '--mapping: expected without other options than --json' in capsys.readouterr().err


def test_the_fusion_of_a_map(tmp_path, capsys):
    pytest.importorskip('mtperception.mapping.volume', reason='needs Open3D', exc_type=ImportError)
    assert cli.main(['benchmark', '--mapping', '--json', str(tmp_path / 'mapping.json')]) == 0
    content = json.loads((tmp_path / 'mapping.json').read_text(encoding='utf-8'))
    speed = content['mapping']
    assert content['command'] == 'benchmark'
    assert (speed['width'], speed['height'], speed['voxel_size'], speed['classes']) == (480, 360, 0.05, 40)
    assert 0 < speed['median_ms'] <= speed['p90_ms'] <= speed['max_ms']
    assert speed['cpu_ms'] > 1
    # About 150 m2 of surface, of which each square metre crosses 6 to 20 blocks of 0.4 m at 20 kB.
    assert 5 < speed['memory_mb'] < 200
    assert f'{speed["median_ms"]:.1f} ms median' in capsys.readouterr().out


def test_what_cannot_be_had_is_one_line_each(capsys, tmp_path):
    options = ('--backend', 'onnxruntime', '--size', '32x32', '--precision', 'bf16', '--precision', 'fp16')
    assert run(*options, '--json', tmp_path / 'b.json') == 1
    printed = capsys.readouterr()
    content = json.loads((tmp_path / 'b.json').read_text(encoding='utf-8'))
    assert content['results'] == []
    assert content['baseline'] is None
    assert [(entry['precision'], entry['reason']) for entry in content['unavailable']] == [
        (name, f'onnxruntime on cpu has no {name}: choose one of fp32') for name in ('fp16', 'bf16')
    ]
    assert printed.out.count('not measured') == 2
    assert 'nothing was measured' in printed.err


@pytest.mark.skipif(cuda_device_count() > 0, reason='there is a GPU')
def test_a_device_that_is_not_there(capsys):
    assert cli.main(['benchmark', '--device', 'cuda', '--precision', 'fp32', '--iterations', '1']) == 1
    printed = ' '.join(capsys.readouterr().out.split())
    for backend in ('torch', 'onnxruntime'):
        assert f'{backend} on cuda:0, fp32: not measured: {backend} on cuda:0: no NVIDIA GPU found' in printed


def test_what_was_measured_before_an_interruption_is_kept(tmp_path, capsys, monkeypatch):
    """The signal comes after the first of two sizes."""

    def interrupted(*arguments, on_step, **options):
        return measure(*arguments, on_step=lambda done: os.kill(os.getpid(), signal.SIGINT), **options)

    measure = command.run_benchmark
    monkeypatch.setattr(command, 'run_benchmark', interrupted)
    options = ('--backend', 'openvino', '--precision', 'fp32', '--size', '48x32', '--size', '64x48')
    assert run(*options, '--json', tmp_path / 'b.json') == 130
    content = json.loads((tmp_path / 'b.json').read_text(encoding='utf-8'))
    assert [(result['width'], result['height']) for result in content['results']] == [(48, 32)]
    assert not content['complete']
    assert 'openvino cpu fp32' in capsys.readouterr().out


def test_own_images(tmp_path, capsys):
    image = SyntheticRoom(96, 64).frame(1.0).image
    cv2.imwrite(str(tmp_path / 'mine.png'), np.ascontiguousarray(image[..., ::-1]))
    options = ('--backend', 'torch', '--precision', 'fp32', '--size', '48x32', '--image', tmp_path / 'mine.png')
    assert run(*options, '--json', tmp_path / 'b.json') == 0
    content = json.loads((tmp_path / 'b.json').read_text(encoding='utf-8'))
    assert content['images'] == '1 photograph'
    assert content['results'][0]['label_agreement'] >= 0.999


def test_without_torch_the_onnx_backends_are_still_measured(tmp_path):
    arguments = ['benchmark', *TINY, '--backend', 'openvino', '--precision', 'fp32', '--size', '64x48']
    arguments += ['--json', str(tmp_path / 'b.json')]
    code = f'import sys; sys.modules["torch"] = None; from mtperception import cli; sys.exit(cli.main({arguments}))'
    finished = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False, timeout=120)
    assert finished.returncode == 0, finished.stderr
    content = json.loads((tmp_path / 'b.json').read_text(encoding='utf-8'))
    assert content['baseline'] is None
    (result,) = content['results']
    assert result['median_ms'] > 0
    assert [result[key] for key in ('baseline_ms', 'ratio', 'forward_ms', 'label_agreement')] == [None] * 4
    assert 'they need PyTorch' in finished.stdout


@pytest.mark.parametrize(
    ('arguments', 'status', 'message'),
    [
        (('--size', '640'), 2, "'640': expected width and height, as in 640x480"),
        (('--backend', 'caffe'), 1, 'unknown backend'),
        (('--image', 'nowhere.png'), 1, 'nowhere.png: No such file or directory'),
        (('--size', '5000x5000', '--backend', 'openvino', '--precision', 'fp32'), 1, '4096x3072'),
    ],
)
def test_wrong_arguments(arguments, status, message, capsys):
    assert run(*arguments) == status
    assert message in ' '.join(capsys.readouterr().err.replace('│', ' ').split())
