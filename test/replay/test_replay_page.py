# SPDX-License-Identifier: Apache-2.0
"""The page about a replay: complete in itself, with what there is to show and nothing else."""

from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

pytest.importorskip('matplotlib')
pytest.importorskip('jinja2')
pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from recordings import IMAGE, LABELS, image, room_messages, write_recording

from mtperception.predictor import Predictor
from mtperception.recording.recording import Recording
from mtperception.recording.recording_options import DEFAULTS, RecordingOptions
from mtperception.recording.topics import TopicRequest
from mtperception.replay.replay import replay
from mtperception.replay.replay_page import write_report
from mtperception.synthetic import SyntheticRoom
from mtperception.visualization import colorize_labels


class Page(HTMLParser):
    """Pictures and text of a page."""

    def __init__(self, path):
        super().__init__()
        self.pictures, self.text = [], ''
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, tag, attributes):
        if tag == 'img':
            self.pictures.append(dict(attributes)['src'])

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope='module')
def predictor():
    with_network = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')
    yield with_network
    with_network.close()


def report(predictor, folder, messages, options=DEFAULTS):
    with Recording(write_recording(folder / 'bag', messages), options) as recording:
        result = replay(predictor, recording)
        write_report(result, vars(recording.topics), predictor, recording, folder / 'report')
    return result, Page(folder / 'report' / 'index.html')


def test_a_recording_with_everything(predictor, tmp_path):
    result, page = report(predictor, tmp_path, room_messages(3), RecordingOptions(TopicRequest(labels=LABELS)))
    for text in ('nyuv2_indoor on', 'scale_shift', '1-2 m', 'IoU by class', 'odometry of camera', LABELS):
        assert text in page.text
    assert f'{result.summary()["rmse"]:.4f} m' in page.text
    for path in page.pictures:
        assert cv2.imread(str(tmp_path / 'report' / path)) is not None, path
    names = {path for path in page.pictures if path.startswith('plots/')}
    shown = ('error', 'scale', 'error_by_distance', 'depth_errors', 'label_flicker', 'depth_flicker')
    assert names == {f'plots/{name}.png' for name in shown}
    assert len(page.pictures) == len(names) + 2 * 3 * 3  # three frames, by RMSE and by mIoU, three pictures each
    assert 'farther than the model can tell' in page.text.split('Notes')[1]


def test_without_anything_to_say_there_are_no_notes(predictor, tmp_path):
    result, page = report(predictor, tmp_path, room_messages(2, 480, 360))
    assert result.notes == ()
    assert 'Notes' not in page.text


def test_the_pictures_are_those_of_the_frame(predictor, tmp_path):
    result, _ = report(predictor, tmp_path, room_messages(2), RecordingOptions(TopicRequest(labels=LABELS)))
    worst = result.worst['miou'][0]
    path = tmp_path / 'report' / 'images' / f'miou_{worst.index}_truth.png'
    expected = colorize_labels(SyntheticRoom(96, 72).frame(0.1 * worst.index).labels, result.label_space)
    np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], expected)


def test_a_recording_without_truth_shows_flicker(predictor, tmp_path):
    room = SyntheticRoom(96, 72)
    broken = image(room.frame(0.0).image, 1)
    broken.step = 7
    messages = [(IMAGE, image(room.frame(0.2 * index).image, 10**9 * (1 + index))) for index in range(2)]
    _, page = report(predictor, tmp_path, [*messages, (IMAGE, broken)])
    assert {path for path in page.pictures if 'plots' in path} == {'plots/label_flicker.png', 'plots/depth_flicker.png'}
    assert 'images/label_flicker_1_before.png' in page.pictures
    assert 'Notes' in page.text
    assert 'images: 1 refused' in page.text
    assert 'by distance' not in page.text
