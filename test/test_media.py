import cv2
import numpy as np
import pytest

from mtperception.media import VideoWriter, write_image


def read(path):
    capture = cv2.VideoCapture(str(path))
    images = []
    found, image = capture.read()
    while found:
        images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        found, image = capture.read()
    return images, capture.get(cv2.CAP_PROP_FPS)


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
    with pytest.raises(OSError, match=r'missing/a\.png: cannot be written'):
        write_image(tmp_path / 'missing' / 'a.png', np.zeros((4, 6), np.uint8))


def test_reads_back_with_colours_order_and_rate(tmp_path):
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    with VideoWriter(tmp_path / 'a.mp4', 12.5) as video:
        for colour in colours:
            video.write(np.full((48, 64, 3), colour, np.uint8))
        assert video.count == 3
    images, rate = read(tmp_path / 'a.mp4')
    assert rate == pytest.approx(12.5)
    assert [image.shape for image in images] == [(48, 64, 3)] * 3
    np.testing.assert_allclose([image.mean(axis=(0, 1)) for image in images], colours, atol=6)


def test_an_image_of_another_size_is_fitted_to_the_first(tmp_path):
    with VideoWriter(tmp_path / 'a.mp4', 10) as video:
        video.write(np.zeros((48, 64, 3), np.uint8))
        video.write(np.full((100, 90, 3), 255, np.uint8))
    images, _ = read(tmp_path / 'a.mp4')
    assert [image.shape for image in images] == [(48, 64, 3)] * 2
    assert images[1].min() > 240


def test_odd_sizes_are_written(tmp_path):
    with VideoWriter(tmp_path / 'a.mp4', 10) as video:
        video.write(np.zeros((375, 1241, 3), np.uint8))
    assert len(read(tmp_path / 'a.mp4')[0]) == 1


def test_readable_after_an_exception(tmp_path):
    with pytest.raises(IndexError), VideoWriter(tmp_path / 'a.mp4', 10) as video:  # noqa: PT012
        video.write(np.zeros((48, 64, 3), np.uint8))
        [].pop()
    assert len(read(tmp_path / 'a.mp4')[0]) == 1


def test_nothing_written_leaves_no_file(tmp_path):
    with VideoWriter(tmp_path / 'a.mp4', 10):
        pass
    assert not (tmp_path / 'a.mp4').exists()


def test_a_folder_that_is_not_there_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r'missing/a\.mp4: OpenCV cannot write'):
        VideoWriter(tmp_path / 'missing' / 'a.mp4', 10).write(np.zeros((48, 64, 3), np.uint8))
