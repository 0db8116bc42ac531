# SPDX-License-Identifier: Apache-2.0
import json

import cv2
import numpy as np
import pytest
from mapped_rooms import ROOM, write_posed_rooms

from mtperception.errors import SourceError
from mtperception.sources import SourceOptions, open_source
from mtperception.synthetic import pose
from mtperception.types import Intrinsics


def write_image(path, value=(10, 20, 30), size=(8, 6)):
    """An image file of one RGB colour; lossless as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((size[1], size[0], 3), value, np.uint8)
    assert cv2.imwrite(str(path), image[..., ::-1])
    return image


CAMERA = {'fx': 100.0, 'fy': 110.0, 'cx': 4.5, 'cy': 2.5, 'width': 8, 'height': 6}


class TestImageFile:
    def test_is_one_rgb_frame(self, tmp_path):
        expected = write_image(tmp_path / 'kitchen.png')
        source = open_source(str(tmp_path / 'kitchen.png'))
        (frame,) = source
        np.testing.assert_array_equal(frame.image, expected)
        assert (frame.name, frame.intrinsics) == ('kitchen', None)
        assert (source.count, source.is_stream) == (1, False)
        assert 'kitchen.png' in source.description

    def test_grey_and_16_bit_images_become_rgb(self, tmp_path):
        cv2.imwrite(str(tmp_path / 'grey.png'), np.full((6, 8), 77, np.uint8))
        cv2.imwrite(str(tmp_path / 'deep.png'), np.full((6, 8, 3), 77 * 256, np.uint16))
        for frame in open_source(str(tmp_path)):
            np.testing.assert_array_equal(frame.image, np.full((6, 8, 3), 77, np.uint8))

    def test_a_jpeg_that_is_cut_off_is_refused(self, tmp_path):
        """OpenCV makes a whole image of it, the rest gray."""
        path = tmp_path / 'kitchen.jpg'
        write_image(path, size=(640, 480))
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(SourceError, match=r'kitchen\.jpg: cut off: .* expected a complete JPEG'):
            list(open_source(str(path)))

    def test_a_damaged_file_is_named(self, tmp_path):
        (tmp_path / 'broken.jpg').write_bytes(b'no jpeg')
        with pytest.raises(SourceError, match=r'broken\.jpg: OpenCV cannot decode it'):
            list(open_source(str(tmp_path / 'broken.jpg')))

    def test_an_empty_file_is_said_to_be_empty(self, tmp_path):
        (tmp_path / 'a.png').touch()
        with pytest.raises(SourceError, match=r'a\.png: the file is empty: expected a complete image file'):
            list(open_source(str(tmp_path / 'a.png')))

    def test_an_empty_path_is_not_the_current_folder(self, tmp_path, monkeypatch):
        """As of a variable of the shell that is not set."""
        write_image(tmp_path / 'a.png', size=(8, 6))
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SourceError, match=r"no source '': expected"):
            open_source('')

    @pytest.mark.parametrize('suffix', ['.jfif', '.jpe', '.JPG', '.pgm', '.pnm', '.webp', '.jp2', '.dib', '.dat', ''])
    def test_of_every_format(self, tmp_path, suffix):
        """The last two are called like no image: what is in them says it."""
        kind = {'.jfif': '.jpg', '.jpe': '.jpg', '.dib': '.bmp', '.dat': '.png', '': '.jpg', '.pnm': '.ppm'}
        pixels = np.full((48, 64) if suffix == '.pgm' else (48, 64, 3), 90, np.uint8)
        path = tmp_path / f'photo_0001{suffix}'
        path.write_bytes(cv2.imencode(kind.get(suffix, suffix.lower()), pixels)[1].tobytes())
        source = open_source(str(path))
        (frame,) = source
        assert not source.is_stream
        assert frame.name == 'photo_0001'
        np.testing.assert_allclose(frame.image.astype(int), np.full((48, 64, 3), 90), atol=3)

    @pytest.mark.skipif(not cv2.haveImageWriter('.gif'), reason='OpenCV reads and writes GIF images from 4.11 on')
    def test_a_gif_is_an_image_if_it_does_not_move(self, tmp_path):
        frames = [np.full((48, 64, 3), value, np.uint8) for value in (0, 120, 240)]
        assert cv2.imwrite(str(tmp_path / 'still.gif'), frames[1])
        assert cv2.imwritemulti(str(tmp_path / 'moving.gif'), frames)
        assert not open_source(str(tmp_path / 'still.gif')).is_stream
        assert open_source(str(tmp_path / 'moving.gif')).is_stream

    def test_the_limit_of_pixels_is_that_of_messages(self, tmp_path):
        """A bitmap of one bit per pixel."""
        (tmp_path / 'large.pbm').write_bytes(b'P4 8200 8200 ' + bytes(8200 // 8 * 8200))
        (tmp_path / 'fits.pbm').write_bytes(b'P4 8192 8192 ' + bytes(8192 // 8 * 8192))
        (frame,) = open_source(str(tmp_path / 'fits.pbm'))
        assert frame.image.shape == (8192, 8192, 3)
        with pytest.raises(SourceError, match=r'large\.pbm: found 8200x8200 pixels, expected 1 to 67108864 pixels'):
            list(open_source(str(tmp_path / 'large.pbm')))

    def test_a_jpeg_without_its_end_marker_is_read(self, tmp_path):
        path = tmp_path / 'kitchen.jpg'
        write_image(path, size=(640, 480))
        (expected,) = open_source(str(path))
        path.write_bytes(path.read_bytes()[:-2])
        (frame,) = open_source(str(path))
        np.testing.assert_array_equal(frame.image, expected.image)


class TestImageFolder:
    def test_hidden_files_are_not_part_of_it(self, tmp_path):
        """macOS puts a ._NAME.jpg, which is no image, beside each file; programs for pictures keep .thumbnails."""
        write_image(tmp_path / 'IMG_1.jpg')
        write_image(tmp_path / '.thumbnails' / 'IMG_1.jpg')
        (tmp_path / '._IMG_1.jpg').write_bytes(b'\x00\x05\x16\x07')
        for layout in (None, {'rgb': '{id}.jpg'}):
            if layout:
                (tmp_path / 'dataset.json').write_text(json.dumps(layout))
            assert [frame.name for frame in open_source(str(tmp_path))] == ['IMG_1']
        (tmp_path / 'dataset.json').write_text(json.dumps({'rgb': '{id}/IMG_1.jpg'}))
        with pytest.raises(SourceError, match='no images'):
            open_source(str(tmp_path))
        (tmp_path / 'dataset.json').write_text(json.dumps({'rgb': '.thumbnails/{id}.jpg'}))  # which is asked for
        assert [frame.name for frame in open_source(str(tmp_path))] == ['IMG_1']

    @pytest.mark.parametrize('folder', ['rgb [left]', 'a*b', 'what?', 'run #3', '[!x]', 'x.bag'])
    def test_only_the_id_is_a_wildcard(self, tmp_path, folder):
        root = tmp_path / folder
        for name in ('2', '10'):
            write_image(root / folder / f'{name}.png')
        write_image(root / 'rgb l' / '7.png')
        (root / 'dataset.json').write_text(json.dumps({'rgb': folder + '/{id}.png'}))
        assert [frame.name for frame in open_source(str(root))] == ['2', '10']

    def test_portable_grey_maps_are_images(self, tmp_path):
        """As the data sets of TUM-mono and ETH have them."""
        for number in (1, 2):
            cv2.imwrite(str(tmp_path / f'{number}.pgm'), np.full((6, 8), number, np.uint8))
        assert [frame.image.max() for frame in open_source(str(tmp_path))] == [1, 2]

    def test_a_camera_of_nearly_the_same_shape_fits_and_another_is_told_once(self, tmp_path):
        """1226x370 is 1242x375 resized but for rounding: the rule of camera_info messages, and of data sets."""
        for name, size in (('1', (1226, 370)), ('2', (1200, 370)), ('3', (1200, 370))):
            write_image(tmp_path / f'{name}.png', size=size)
        camera = {'fx': 720.0, 'fy': 720.0, 'cx': 600.0, 'cy': 180.0, 'width': 1242, 'height': 375}
        (tmp_path / 'dataset.json').write_text(json.dumps(camera))
        source = open_source(str(tmp_path))
        found = [frame.intrinsics for frame in source]
        assert found == [Intrinsics(**camera).resized(1226, 370), None, None]
        (note,) = source.notes
        assert note == '2 is 1200x370, dataset.json has a camera for 1242x375: unknown for such images'

    def test_in_the_order_of_the_numbers_in_the_names(self, tmp_path):
        for name in ('10.png', '9.png', '1a.jpg', '100.PNG'):
            write_image(tmp_path / name)
        (tmp_path / 'notes.txt').write_text('not an image')
        source = open_source(str(tmp_path))
        assert [frame.name for frame in source] == ['1a', '9', '10', '100']
        assert source.count == 4

    def test_each_iteration_starts_again(self, tmp_path):
        write_image(tmp_path / 'a.png')
        source = open_source(str(tmp_path))
        assert len(list(source)) == len(list(source)) == 1

    @pytest.mark.parametrize(('rate', 'gap'), [(0, 100_000_000), (4, 250_000_000)])
    def test_stamps_follow_the_rate(self, tmp_path, rate, gap):
        for name in 'abc':
            write_image(tmp_path / f'{name}.png')
        source = open_source(str(tmp_path), SourceOptions(rate=rate))
        frames = list(source)
        assert source.rate == 1e9 / gap
        assert [frame.stamp_ns for frame in frames] == [0, gap, 2 * gap]

    def test_dataset_json_gives_paths_and_camera(self, tmp_path):
        expected = write_image(tmp_path / 'rgb' / '7.png')
        write_image(tmp_path / 'labels' / '7.png')
        (tmp_path / 'dataset.json').write_text(json.dumps({'rgb': 'rgb/{id}.png', **CAMERA}))
        (frame,) = open_source(str(tmp_path))
        np.testing.assert_array_equal(frame.image, expected)
        assert frame.intrinsics == Intrinsics(**CAMERA)

    def test_dataset_json_gives_depth_labels_and_poses(self, tmp_path):
        times = [1.0, 2.0, 3.0]
        write_posed_rooms(tmp_path, times)
        source = open_source(str(tmp_path), SourceOptions(every=2))
        assert (source.poses, source.label_space.name) == ('matrices in pose/{id}.txt', 'nyuv2_40')
        for frame, seconds in zip(source, times[::2], strict=True):
            exact = ROOM.frame(seconds)
            np.testing.assert_allclose(frame.depth, exact.depth, atol=0.00051)  # of millimetres
            np.testing.assert_array_equal(frame.labels, exact.labels)
            np.testing.assert_allclose(frame.T_world_camera, pose(seconds))

    def test_a_pattern_that_leaves_the_suffix_to_the_id(self, tmp_path):
        """As `label` writes it for images of several suffixes: annotations have it in their names, too."""
        write_posed_rooms(tmp_path, [1.0], rgb='rgb/{id}')
        for kind in ('labels', 'depth'):
            (tmp_path / kind / '0.png').rename(tmp_path / kind / '0.png.png')
        (tmp_path / 'pose' / '0.txt').rename(tmp_path / 'pose' / '0.png.txt')
        source = open_source(str(tmp_path))
        (frame,) = source
        assert (frame.name, source.notes) == ('0.png', ())
        np.testing.assert_array_equal(frame.labels, ROOM.frame(1.0).labels)
        assert frame.depth is not None

    def test_maps_that_are_not_asked_for_may_be_damaged(self, tmp_path):
        write_posed_rooms(tmp_path, [1.0], label_space='nonesuch')
        (tmp_path / 'depth' / '0.png').unlink()
        source = open_source(str(tmp_path), SourceOptions(maps=()))
        (frame,) = source
        assert (frame.depth, frame.labels, source.notes) == (None, None, ())
        np.testing.assert_allclose(frame.T_world_camera, pose(1.0))
        with pytest.raises(SourceError, match=r'label_space: .*nonesuch'):
            open_source(str(tmp_path))

    def test_a_map_of_another_size_is_none_of_the_image(self, tmp_path):
        write_posed_rooms(tmp_path, [1.0, 2.0])
        cv2.imwrite(str(tmp_path / 'depth' / '0.png'), np.ones((7, 9), np.uint16))
        source = open_source(str(tmp_path))
        assert [frame.depth is None for frame in source] == [True, False]
        (note,) = source.notes
        assert 'the depth are 9x7' in note

    @pytest.mark.parametrize(
        ('pattern', 'folder'),
        [('{id}/color.png', ''), ('../{id}/color.png', 'list'), ('ABSOLUTE/{id}/color.png', 'list')],
    )
    def test_ids_that_are_folders_name_and_order_the_frames(self, tmp_path, pattern, folder):
        for number in (10, 9, 100):
            write_image(tmp_path / f'{number}' / 'color.png', (number, 0, 0))
            write_image(tmp_path / f'{number}' / 'depth.png')
        (tmp_path / folder).mkdir(exist_ok=True)
        layout = {'rgb': pattern.replace('ABSOLUTE', str(tmp_path))}
        (tmp_path / folder / 'dataset.json').write_text(json.dumps(layout))
        frames = list(open_source(str(tmp_path / folder)))
        assert [(frame.name, frame.image[0, 0, 0]) for frame in frames] == [('9', 9), ('10', 10), ('100', 100)]

    def test_an_id_is_a_part_of_a_file_name(self, tmp_path):
        for name in ('left_2.5.jpg', 'left_7.jpg', 'right_7.jpg'):
            write_image(tmp_path / name)
        (tmp_path / 'dataset.json').write_text(json.dumps({'rgb': 'left_{id}.jpg'}))
        assert [frame.name for frame in open_source(str(tmp_path))] == ['2.5', '7']

    def test_camera_is_scaled_to_the_image_and_unknown_for_another_shape(self, tmp_path):
        write_image(tmp_path / '1.png', size=(16, 12))
        write_image(tmp_path / '2.png', size=(8, 8))
        (tmp_path / 'dataset.json').write_text(json.dumps(CAMERA))
        scaled, cropped = open_source(str(tmp_path))
        assert scaled.intrinsics == Intrinsics(**CAMERA).resized(16, 12)
        assert cropped.intrinsics is None

    def test_dataset_json_without_focal_length_means_unknown_camera(self, tmp_path):
        write_image(tmp_path / '1.png')
        (tmp_path / 'dataset.json').write_text(json.dumps({'width': 8, 'height': 6}))
        assert next(iter(open_source(str(tmp_path)))).intrinsics is None

    @pytest.mark.parametrize(
        ('content', 'message'),
        [
            ('{', 'not readable as JSON'),
            ('[1]', 'found list'),
            (json.dumps({**CAMERA, 'fx': 'long'}), 'fx, fy, cx, cy'),
        ],
    )
    def test_a_malformed_dataset_json_is_an_error(self, tmp_path, content, message):
        write_image(tmp_path / '1.png')
        (tmp_path / 'dataset.json').write_text(content)
        with pytest.raises(SourceError, match=message):
            open_source(str(tmp_path))

    def test_a_damaged_image_is_left_out_and_told(self, tmp_path):
        for name in 'abc':
            write_image(tmp_path / f'{name}.png')
        (tmp_path / 'b.png').write_bytes(b'no image')
        source = open_source(str(tmp_path))
        for _ in range(2):
            frames = list(source)
            assert [(frame.name, frame.stamp_ns) for frame in frames] == [('a', 0), ('c', 200_000_000)]
            (note,) = source.notes
            assert note.startswith(f'1 of 3 images cannot be read, the first: {tmp_path}/b.png: ')

    def test_if_none_can_be_read_that_is_an_error(self, tmp_path):
        (tmp_path / 'b.png').write_bytes(b'no image')
        with pytest.raises(SourceError, match=r'none of 1 images can be read, the first: .*b\.png'):
            list(open_source(str(tmp_path)))

    def test_an_empty_folder_is_an_error_that_says_what_was_looked_for(self, tmp_path):
        with pytest.raises(SourceError, match=r'no images \(\*\): expected files that end in \.bmp'):
            open_source(str(tmp_path))
