# SPDX-License-Identifier: Apache-2.0
"""A task is added by one record in TASKS, here with a metric of its own in METRICS: nothing else knows of it."""

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from rooms import Samples, rooms, write_rooms
from shallow_network import ShallowNet
from tiny_runs import data_of, history, tiny_config
from videos import read_video

from mtperception.card import open_model
from mtperception.cli.predict import PredictionWriter
from mtperception.evaluation.evaluate import evaluate
from mtperception.evaluation.metrics import METRICS
from mtperception.evaluation.report import write_report
from mtperception.evaluation.running_sum import ExactSum, RunningSum, quotient
from mtperception.input_policy import depth_ratio
from mtperception.media import VideoWriter, write_image
from mtperception.messages.outputs import outputs_for
from mtperception.messages.parameters import PARAMETERS
from mtperception.messages.presentation import Presentation
from mtperception.messages.products import Products
from mtperception.metric import METRE, SMALLER, Metric
from mtperception.networks import NETWORKS
from mtperception.predictor import Predictor
from mtperception.sources import open_source
from mtperception.tasks import METRES, TASKS, GraphOutput, Measure, Target, Task
from mtperception.training.checkpoint_export import export_checkpoint
from mtperception.training.config import ChoiceConfig, OptimizerConfig
from mtperception.training.trainer import LAST, Trainer
from mtperception.types import Intrinsics, Prediction
from mtperception.visualization import colorize_depth


def distance(sample, zoom, window):
    """Metres along the axis to the nearest thing that a pixel or its neighbours show, as the training camera has it."""
    return cv2.erode(sample.depth, np.ones((3, 3), np.uint8)) / np.float32(depth_ratio(*zoom))


DISTANCE = Task(
    name='distance',
    outputs=(GraphOutput('distance', 'float32', 1, METRES),),
    finish='metres',
    target=Target(('depth',), distance, 0, 'float32', 1, description='metres to the nearest neighbour'),
    measures=(Measure('distances', ('distance',), {'distance_error': Metric(SMALLER, METRE, 'distance off')}),),
    loss='l1',
    raw_channels=1,
)


class DistanceError(RunningSum):
    def __init__(self):
        super().__init__(error=ExactSum(), pixels=np.zeros((), np.int64))

    def update(self, found, truth):
        known = truth > 0
        self._sums['error'] += np.abs(found[known].astype(float) - truth[known]).sum()
        self._sums['pixels'] += np.count_nonzero(known)

    def compute(self):
        return {'distance_error': quotient(self._sums['error'].value, self._sums['pixels'])}


class DistanceNet(ShallowNet):
    TASKS = ('depth', 'distance')
    TOGETHER = ()


@pytest.fixture(scope='module', autouse=True)
def added():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, 'distance', DISTANCE)
        patch.setitem(METRICS, 'distances', lambda num_classes: DistanceError())
        patch.setitem(NETWORKS, 'distances', DistanceNet)
        yield


@pytest.fixture(scope='module')
def trained(added, tmp_path_factory):
    """Two steps, validated."""
    folder = tmp_path_factory.mktemp('new_task')
    data = write_rooms(folder / 'data', rooms(4))
    config = tiny_config(
        data,
        ('depth', 'distance'),
        network=ChoiceConfig('distances'),
        label_space='',
        optimizer=OptimizerConfig(),
        validation=[data_of(data)],
        select_by='distance_error',
        epochs=1,
    )
    trainer = Trainer(config, folder / 'run', torch.device('cpu'))
    trainer.fit()
    return trainer


@pytest.fixture(scope='module')
def predictor(trained, tmp_path_factory):
    model = tmp_path_factory.mktemp('models') / 'distances'
    export_checkpoint(trained.out / LAST, model)
    opened = Predictor(model, 'onnxruntime', 'cpu')
    yield opened
    opened.close()


def test_it_is_learnt_and_validated(trained):
    assert trained.steps == 2
    (line,) = history(trained.out)
    assert set(line['losses']) == {'depth', 'distance'}
    assert {'rmse', 'distance_error'} <= set(line['metrics'])


def test_it_is_exported_and_predicted_at_the_size_of_any_image(trained, predictor):
    assert open_model(predictor.model.path).card.tasks == ('depth', 'distance')
    for width, height in ((96, 72), (200, 150)):  # the second is reduced, and its maps enlarged
        prediction = predictor(rooms(1, width, height)[0].image)
        assert prediction.map('distance').shape == (height, width)
        assert prediction.map('distance').dtype == np.float32
        assert prediction.map('depth') is prediction.depth
        assert prediction.map('labels') is None
    network = trained.average.module.eval()
    assert set(network(torch.zeros(1, 3, 64, 64))) == {'depth', 'distance'}


def test_its_metres_are_those_of_the_camera(predictor):
    """A lens twice as long shows the same pixels of a room that is twice as far, in both tasks."""
    image = rooms(1)[0].image
    camera = predictor.card.camera
    found, longer = (predictor(image, centred(factor * camera.fx, image)) for factor in (1, 2))
    for name in ('depth', 'distance'):
        np.testing.assert_allclose(longer.map(name), 2 * found.map(name), rtol=1e-6)


def centred(fx, image):
    height, width = image.shape[:2]
    return Intrinsics(fx, fx, (width - 1) / 2, (height - 1) / 2, width, height)


def test_it_is_evaluated_and_has_its_gallery(predictor, tmp_path):
    dataset = Samples(rooms(2), '')
    evaluation = evaluate(predictor, dataset)
    sample = rooms(1)[0]
    truth = distance(sample, (1.0, 1.0), 0)
    found = predictor(sample.image, sample.intrinsics).map('distance')
    assert evaluation.images[0].metrics['distance_error'] == pytest.approx(np.abs(found - truth).mean(), rel=1e-5)
    write_report(evaluation, predictor, dataset, tmp_path / 'report')
    page = (tmp_path / 'report' / 'index.html').read_text(encoding='utf-8')
    assert 'Worst images by distance off' in page
    assert f'distance_error<b>{evaluation.summary()["distance_error"]:.4f} m</b>' in page
    shown = [float(value) for value in re.findall(r'distance_error (\S+) m</figcaption>', page)]
    assert len(shown) == 2
    assert shown == sorted(shown, reverse=True), 'smaller is better: the largest come first'
    assert '<tr><th>distance</th><td>metres to the nearest neighbour</td></tr>' in page
    assert 'images/0_distance_truth.png' in page
    assert 'plots/images_distance_error.png' in page


def test_it_is_scored_on_a_recording(predictor, tmp_path):
    """The measured depth is what its truth is made of, there too."""
    pytest.importorskip('rosbags', reason='bags need the extra `bags`')
    from recordings import room_messages, write_recording

    from mtperception.recording.recording import Recording
    from mtperception.replay.replay import replay
    from mtperception.replay.replay_page import write_report

    with Recording(write_recording(tmp_path / 'bag', room_messages(2))) as recording:
        result = replay(predictor, recording)
        write_report(result, {}, predictor, recording, tmp_path / 'report')
        frames = list(recording.frames())
    errors = []
    for frame in frames:
        truth = distance(frame, (1.0, 1.0), 0)
        errors.append(np.abs(predictor(frame.image, frame.intrinsics).map('distance') - truth).mean())
    assert [frame['distance_error'] for frame in result.series] == pytest.approx(errors, rel=1e-4)
    assert [worst.value for worst in result.worst['distance_error']] == pytest.approx(sorted(errors)[::-1], rel=1e-4)
    assert result.protocol['distance'] == 'metres to the nearest neighbour'
    page = (tmp_path / 'report' / 'index.html').read_text(encoding='utf-8')
    assert f'distance_error<b>{np.mean(errors):.4f} m</b>' in page
    assert 'Worst frames by distance off' in page
    assert len(list((tmp_path / 'report' / 'images').glob('distance_error_*_distance.png'))) == 2


def test_it_has_a_file(predictor, tmp_path):
    """Of millimetres in 16 bits, as all distances have."""
    write_image(tmp_path / 'room.png', rooms(1)[0].image)
    source = open_source(str(tmp_path / 'room.png'))
    assert [*PredictionWriter(predictor, tmp_path, maps=False).write({'room.png': source})] == [None]
    stored = cv2.imread(str(tmp_path / 'room_distance.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(stored / 1000, predictor(rooms(1)[0].image).map('distance'), atol=0.0006)


class OfDistanceAlone:
    """The model without its other task."""

    def __init__(self, predictor):
        self.card, self.label_space = replace(predictor.card, tasks=('distance',)), predictor.label_space
        self._predictor = predictor

    def __call__(self, image, intrinsics=None):
        return Prediction(others=self._predictor(image, intrinsics).others)


def test_a_video_shows_it_where_it_is_alone(predictor, tmp_path):
    images = [room.image for room in rooms(2)]
    with VideoWriter(tmp_path / 'rooms.mp4', 10.0) as video:
        for image in images:
            video.write(image)
    model = OfDistanceAlone(predictor)
    source = open_source(str(tmp_path / 'rooms.mp4'))
    assert len([*PredictionWriter(model, tmp_path, maps=False).write({'rooms.mp4': source})]) == 2
    shown, _ = read_video(tmp_path / 'rooms_overlay_depth.mp4')
    near_far = predictor.card.depth_range
    for image, picture in zip(images, shown, strict=True):
        expected = colorize_depth(model(image).map('distance'), *near_far)
        assert np.abs(picture.astype(int) - expected).mean() < 12, 'more than the video loses'


def test_it_is_published(predictor):
    output = next(output for output in outputs_for(('depth', 'distance')) if 'distance' in output.tasks)
    image = rooms(1)[0].image
    prediction = predictor(image)
    presentation = Presentation.build(PARAMETERS.defaults(), predictor.card, predictor.label_space)
    message = output.make(Products(image, prediction, None, presentation))
    assert output.topic == 'distance/image'
    assert message.fields['encoding'] == '32FC1'
    pixels = np.frombuffer(bytes(message.fields['data']), np.float32).reshape(72, 96)
    np.testing.assert_array_equal(pixels, prediction.map('distance'))
