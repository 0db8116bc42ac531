# SPDX-License-Identifier: Apache-2.0
"""From a recording and a model to files; every format keeps the same promises."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from perfect_network import Wall, perfect_predictor, pinhole
from spaces import small_space

from mtperception.errors import SourceError
from mtperception.predictor import Predictor
from mtperception.sequences import FORMATS, LABEL_FORMATS, SEQUENCE_FORMATS
from mtperception.sequences.export import export_sequence
from mtperception.sources import Frame
from mtperception.types import Intrinsics, Prediction


@pytest.fixture(scope='module')
def predictor():
    return Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')


CAMERA = Intrinsics(40.0, 41.0, 20.0, 15.0, 43, 31)


def recording(count, width=43, height=31):
    """Frames of an odd size."""
    for index in range(count):
        image = np.random.default_rng(index).integers(0, 256, (height, width, 3), np.uint8)
        yield Frame(image, index * 10**8, CAMERA if (width, height) == (43, 31) else None, f'{index}')


class Recorded:
    """A format that keeps its frames in a list, to see what a writer is given."""

    entries = ()
    size = None
    frames = ()

    def __init__(self, path, options):
        type(self).frames = []
        path.touch()

    def write(self, frame):
        self.frames.append(frame)

    def close(self):
        pass


def files(out):
    return {path.relative_to(out): path.read_bytes() for path in out.rglob('*') if path.is_file()} or out.read_bytes()


def test_a_frame_is_the_image_with_its_depth(tmp_path, predictor):
    done = []
    exported = export_sequence(recording(3), predictor, Recorded, tmp_path / 'x', on_frame=done.append)
    assert (exported.frames, exported.size, exported.intrinsics) == (3, (43, 31), CAMERA)
    assert done == [1, 2, 3]
    for frame, source in zip(Recorded.frames, recording(3), strict=True):
        np.testing.assert_array_equal(frame.image, source.image)
        np.testing.assert_array_equal(frame.depth, predictor(source.image, CAMERA).depth)
        assert (frame.stamp_ns, frame.intrinsics, frame.probabilities) == (source.stamp_ns, CAMERA, None)


@pytest.mark.parametrize('kind', SEQUENCE_FORMATS)
class TestEveryFormat:
    def test_takes_frames_of_an_odd_size(self, kind, tmp_path, predictor):
        exported = export_sequence(recording(2), predictor, SEQUENCE_FORMATS[kind], tmp_path / 'x')
        assert exported.frames == 2
        assert exported.size == (SEQUENCE_FORMATS[kind].size or (43, 31))
        expected = CAMERA.resized(*exported.size)
        assert exported.intrinsics == expected

    def test_the_second_time_replaces_the_first_completely(self, kind, tmp_path, predictor):
        for name, counts in {'again': (3, 2), 'once': (2,)}.items():
            for count in counts:
                export_sequence(recording(count), predictor, SEQUENCE_FORMATS[kind], tmp_path / name)
        assert files(tmp_path / 'again') == files(tmp_path / 'once')

    def test_a_recording_that_breaks_off_leaves_nothing(self, kind, tmp_path, predictor):
        def broken():
            yield from recording(1)
            raise SourceError('frame 1 is damaged')

        with pytest.raises(SourceError, match='damaged'):
            export_sequence(broken(), predictor, SEQUENCE_FORMATS[kind], tmp_path / 'x')
        assert list(tmp_path.iterdir()) == []

    def test_a_recording_without_frames(self, kind, tmp_path, predictor):
        with pytest.raises(ValueError, match='no frames to export'):
            export_sequence([], predictor, SEQUENCE_FORMATS[kind], tmp_path / 'x')
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('kind', LABEL_FORMATS)
def test_every_table_is_of_a_label_space_and_an_offset(kind, tmp_path):
    LABEL_FORMATS[kind](tmp_path / 'x', small_space(tmp_path), 1)
    assert (tmp_path / 'x').stat().st_size > 0


def test_no_name_is_a_recording_and_a_table():
    assert len(set(FORMATS)) == len(FORMATS) == len(SEQUENCE_FORMATS) + len(LABEL_FORMATS)


def test_frames_of_two_sizes(tmp_path, predictor):
    mixed = itertools.chain(recording(2), recording(1, 20, 10))
    with pytest.raises(ValueError, match=r'frame 2 is \(20, 10\) pixels, the first one \(43, 31\): expected one size'):
        export_sequence(mixed, predictor, SEQUENCE_FORMATS['tum'], tmp_path / 'x')
    mixed = itertools.chain(recording(2), recording(1, 20, 10))
    assert export_sequence(mixed, predictor, SEQUENCE_FORMATS['klg'], tmp_path / 'x').frames == 3


def test_a_model_without_depth(tmp_path, predictor):
    class Labels:
        card = replace(predictor.card, tasks=('segmentation',))

        def __call__(self, image, intrinsics):
            return Prediction(labels=np.zeros(image.shape[:2], np.uint8))

    with pytest.raises(ValueError, match='model nyuv2_indoor gives no depth'):
        export_sequence(recording(1), Labels(), SEQUENCE_FORMATS['tum'], tmp_path / 'x')


def test_probabilities_go_along(tmp_path, predictor):
    wanted = np.ones((2, 3, 4), np.float16)
    export_sequence(recording(1), predictor, Recorded, tmp_path / 'x', probabilities=lambda image: wanted)
    assert Recorded.frames[0].probabilities is wanted


def test_what_is_no_measurement_is_not_exported(tmp_path):
    """Out of the model's range, or of a class without depth."""
    camera = pinhole(50.0, 160, 120)
    image = np.zeros((120, 160, 3), np.uint8)
    for scene, options, valid in (
        (Wall(4.0), {}, True),
        (Wall(8.0), {}, False),  # 16 m for the model, whose range ends at 10
        (Wall(4.0), {'invalid_depth_classes': ('wall',)}, False),
    ):
        predictor = perfect_predictor(scene, camera, **options)
        export_sequence([Frame(image, 0, camera, 'wall')], predictor, Recorded, tmp_path / 'x')
        (frame,) = Recorded.frames
        assert frame.depth == pytest.approx(4.0 if valid else 0, rel=1e-5)
