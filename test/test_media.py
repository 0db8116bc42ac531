# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest
from full_disk import largest_file
from videos import read_video

from mtperception.errors import InputError, WriteError
from mtperception.media import FASTEST, LONGEST_STILL, SLOWEST, RealTimeVideo, VideoWriter, write_image


@pytest.mark.parametrize(
    'image',
    [
        np.arange(72, dtype=np.uint8).reshape(4, 6, 3),
        np.arange(24, dtype=np.uint8).reshape(4, 6),
        np.arange(24, dtype=np.uint16).reshape(4, 6) * 2000,
    ],
)
def test_a_png_reads_back_exactly(tmp_path, image):
    write_image(tmp_path / 'a.png', image)
    found = cv2.imread(str(tmp_path / 'a.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found[..., ::-1] if image.ndim == 3 else found, image)


def test_an_image_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / 'note.txt').write_text('in the way')
    with pytest.raises(WriteError, match=r'note\.txt/a\.png: cannot be written: '):
        write_image(tmp_path / 'note.txt' / 'a.png', np.zeros((4, 6), np.uint8))
    with pytest.raises(InputError, match=r'a\.xyz: not a name of an image'):
        write_image(tmp_path / 'a.xyz', np.zeros((4, 6), np.uint8))


class Interrupted:
    """OpenCV's writer, with a signal at the second image, before or after it is in the file."""

    def __init__(self, writer, is_in_the_file):
        self._writer, self._is_in_the_file, self._images = writer, is_in_the_file, 0

    def __getattr__(self, name):
        return getattr(self._writer, name)

    def write(self, image):
        self._images += 1
        if self._images < 2 or self._is_in_the_file:
            self._writer.write(image)
        if self._images == 2:
            raise SystemExit(143)


@pytest.mark.parametrize('is_in_the_file', [False, True])
def test_a_signal_while_an_image_is_written_is_no_fault_of_the_disk(tmp_path, monkeypatch, is_in_the_file):
    opened = cv2.VideoWriter
    monkeypatch.setattr(cv2, 'VideoWriter', lambda *arguments: Interrupted(opened(*arguments), is_in_the_file))
    image = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(SystemExit), VideoWriter(tmp_path / 'a.mp4', 10) as video:  # noqa: PT012
        video.write(image)
        video.write(image)
    assert len(read_video(tmp_path / 'a.mp4')[0]) == 1 + is_in_the_file


class TestFullDisk:
    """OpenCV itself says nothing of it."""

    def noise(self, seed=0):
        return np.random.default_rng(seed).integers(0, 256, (240, 320, 3), np.uint8)

    def write_video(self, path):
        """One of 358,150 bytes."""
        with VideoWriter(path, 10) as video:
            for seed in range(5):
                video.write(self.noise(seed))

    @pytest.mark.parametrize('size', [0, 2000, 90_000, 357_000])
    def test_a_video_that_is_not_complete_is_an_error(self, size, tmp_path):
        with largest_file(size), pytest.raises(WriteError, match=r'a\.mp4: .*space left'):
            self.write_video(tmp_path / 'a.mp4')

    def test_the_error_that_ended_the_work_is_told(self, tmp_path):
        with largest_file(2000), pytest.raises(IndexError), VideoWriter(tmp_path / 'a.mp4', 10) as video:  # noqa: PT012
            video.write(self.noise())
            [].pop()

    def test_an_image_leaves_nothing_behind(self, tmp_path):
        (tmp_path / 'a.png').write_text('old')
        with largest_file(2000), pytest.raises(WriteError, match=r'/a\.png: cannot be written: File too large: '):
            write_image(tmp_path / 'a.png', self.noise())
        assert [path.name for path in tmp_path.iterdir()] == ['a.png']
        assert (tmp_path / 'a.png').read_text() == 'old'


def test_reads_back_with_colours_order_and_rate(tmp_path):
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    with VideoWriter(tmp_path / 'a.mp4', 12.5) as video:
        for colour in colours:
            video.write(np.full((48, 64, 3), colour, np.uint8))
        assert video.count == 3
    images, rate = read_video(tmp_path / 'a.mp4')
    assert rate == pytest.approx(12.5)
    assert [image.shape for image in images] == [(48, 64, 3)] * 3
    np.testing.assert_allclose([image.mean(axis=(0, 1)) for image in images], colours, atol=6)


@pytest.mark.parametrize(
    ('rate', 'expected'), [(10 / (9 / 60), 66.67), (29.97, 29.97), (1e9, FASTEST), (0.001, SLOWEST)]
)
def test_rates_that_a_video_cannot_have_become_near_ones(tmp_path, rate, expected):
    with VideoWriter(tmp_path / 'a.mp4', rate) as video:
        video.write(np.zeros((48, 64, 3), np.uint8))
        assert video.rate == expected
    assert read_video(tmp_path / 'a.mp4')[1] == pytest.approx(expected)


def test_an_image_of_another_size_is_fitted_to_the_first(tmp_path):
    with VideoWriter(tmp_path / 'a.mp4', 10) as video:
        video.write(np.zeros((48, 64, 3), np.uint8))
        video.write(np.full((100, 90, 3), 255, np.uint8))
    images, _ = read_video(tmp_path / 'a.mp4')
    assert [image.shape for image in images] == [(48, 64, 3)] * 2
    assert images[1].min() > 240


def test_wider_than_a_video_can_be(tmp_path):
    """Two pictures of 4096 pixels side by side."""
    with VideoWriter(tmp_path / 'a.mp4', 10) as video:
        video.write(np.full((64, 8192, 3), 200, np.uint8))
    [image], _ = read_video(tmp_path / 'a.mp4')
    assert image.shape == (64, 8190, 3)


def test_odd_sizes_are_written(tmp_path):
    with VideoWriter(tmp_path / 'a.mp4', 10) as video:
        video.write(np.zeros((375, 1241, 3), np.uint8))
    assert len(read_video(tmp_path / 'a.mp4')[0]) == 1


def test_readable_after_an_exception(tmp_path):
    with pytest.raises(IndexError), VideoWriter(tmp_path / 'a.mp4', 10) as video:  # noqa: PT012
        video.write(np.zeros((48, 64, 3), np.uint8))
        [].pop()
    assert len(read_video(tmp_path / 'a.mp4')[0]) == 1


def test_nothing_written_leaves_no_file(tmp_path):
    with VideoWriter(tmp_path / 'a.mp4', 10):
        pass
    assert not (tmp_path / 'a.mp4').exists()


def test_a_folder_that_is_not_there_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r'missing/a\.mp4: OpenCV cannot write'):
        VideoWriter(tmp_path / 'missing' / 'a.mp4', 10).write(np.zeros((48, 64, 3), np.uint8))


class TestRealTime:
    @pytest.fixture
    def shown(self, tmp_path):
        """What a video of ten frames per second shows of grey images that came at the given seconds: their numbers."""

        def show(*seconds):
            step = 240 // len(seconds)
            with VideoWriter(tmp_path / 'a.mp4', 10) as video:
                stream = RealTimeVideo(video)
                for number, second in enumerate(seconds):
                    image = np.full((48, 64, 3), step * number, np.uint8)
                    stream.write(image, 1_700_000_000_000_000_000 + round(second * 1e9))
            return [round(image.mean() / step) for image in read_video(tmp_path / 'a.mp4')[0]]

        return show

    def test_an_image_stays_until_the_next_one(self, shown):
        assert shown(0.0, 0.1, 0.5, 0.6, 0.8) == [0, 1, 1, 1, 1, 2, 3, 3, 4]

    def test_images_that_come_too_fast_are_left_out(self, shown):
        assert len(shown(*np.arange(0, 1, 0.02))) == pytest.approx(10, abs=1)

    @pytest.mark.parametrize('late', [0.0, 0.03, 0.05, 0.08])
    def test_every_image_of_a_steady_stream_is_shown_once(self, shown, late):
        """Whether the first one was late or not, and though all others jitter."""
        jitter = np.random.default_rng(0).uniform(-0.02, 0.02, 11)
        found = shown(late, *(0.1 * np.arange(1, 12) + jitter))
        assert sorted(set(found)) == list(range(12))
        assert len(found) <= 13

    @pytest.mark.parametrize('jump', [-100.0, LONGEST_STILL + 1])
    def test_goes_on_after_a_jump_of_the_clock(self, shown, jump):
        assert shown(0.0, 0.1, 0.2 + jump, 0.4 + jump) == [0, 1, 2, 2, 3]
