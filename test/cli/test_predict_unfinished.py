# SPDX-License-Identifier: Apache-2.0
"""`mtperception predict` with damaged inputs, and what a run leaves that does not come to its end."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import cycle, islice

import pytest
from full_disk import largest_file
from predict_runs import BACKEND, image, png, run, video, written
from videos import read_video

from mtperception.cli.predict import PredictionWriter
from mtperception.errors import SourceError
from mtperception.predictor import Predictor
from mtperception.sources import SourceOptions, open_source


@pytest.fixture(scope='module')
def predictor():
    return Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')


class TestDamage:
    """What is damaged is left out and told, and the others go on."""

    def test_in_a_folder(self, tmp_path, capsys):
        for index in range(3):
            png(tmp_path / 'in' / f'{index}.png', index)
        (tmp_path / 'in' / '1.png').write_bytes((tmp_path / 'in' / '1.png').read_bytes()[:200])
        assert run(tmp_path / 'in', '--out', tmp_path / 'out') == 0
        assert 'in: 1 of 3 images cannot be read, the first: ' in capsys.readouterr().err
        assert {name[0] for name in written(tmp_path / 'out')} == {'0', '2'}

    def test_among_several_images(self, tmp_path, capsys):
        files = [png(tmp_path / f'{index}.png', index) for index in range(3)]
        files[0].write_bytes(b'no image')
        assert run(*files, '--out', tmp_path / 'out') == 0
        assert 'note: ' in capsys.readouterr().err
        assert {name[0] for name in written(tmp_path / 'out')} == {'1', '2'}

    def test_in_a_bag(self, tmp_path, capsys):
        pytest.importorskip('rosbags', reason='bags need the extra `bags`')
        from bags import raw, write_bag

        broken = raw(image(1))
        broken.step = 5
        bag = write_bag(tmp_path / 'walk', [('/image', raw(image(0))), ('/image', broken), ('/image', raw(image(2)))])
        assert run(bag, '--out', tmp_path / 'out') == 0
        said = capsys.readouterr().err
        assert f'reading /image of the bag {bag}' in said
        assert f'note: {bag}: images: 1 refused, the first: found step 5' in said
        assert '2 images in' in said
        assert len(read_video(tmp_path / 'out' / 'walk_overlay_depth.mp4')[0]) == 2


def test_a_video_that_could_not_be_finished_leaves_the_old_one(tmp_path, predictor):
    class Failing:
        is_stream, rate, count, notes, description = True, 10.0, 9, (), 'a disk'

        def __iter__(self):
            yield from islice(open_source('synthetic', SourceOptions(width=64, height=48)), 1)
            raise SourceError('the disk is gone')

    (tmp_path / 'walk_overlay_depth.mp4').write_text('an hour of work')
    with pytest.raises(SourceError, match='the disk is gone'):
        list(PredictionWriter(predictor, tmp_path, maps=False).write({'walk.mp4': Failing()}))
    assert written(tmp_path) == ['walk_overlay_depth.mp4']
    assert (tmp_path / 'walk_overlay_depth.mp4').read_text() == 'an hour of work'


def test_a_stream_without_an_end_keeps_what_it_has(tmp_path, predictor):
    """Ctrl-C is its end, as that of a webcam."""

    class Camera:
        is_stream, rate, count, notes, description = True, 10.0, None, (), 'a camera'

        def __iter__(self):
            return cycle(open_source('synthetic', SourceOptions(width=64, height=48)))

    writing = PredictionWriter(predictor, tmp_path, maps=False).write({'webcam:0': Camera()})
    next(writing)
    next(writing)
    writing.close()
    assert len(read_video(tmp_path / 'webcam:0_overlay_depth.mp4')[0]) == 2


def test_a_camera_that_stops_leaves_a_video_as_long_as_it_ran(tmp_path, predictor):
    """It gave two images a second apart, a quarter of what the video plays."""

    class Camera:
        is_stream, rate, count, notes, description = True, 8.0, None, (), 'a camera'

        def __iter__(self):
            for number, frame in enumerate(islice(open_source('synthetic', SourceOptions(width=64, height=48)), 2)):
                yield replace(frame, stamp_ns=number * 10**9)
            raise SourceError('webcam:0: the camera stopped sending images: is it still connected?')

    with pytest.raises(SourceError, match='is it still connected'):
        list(PredictionWriter(predictor, tmp_path, maps=False).write({'webcam:0': Camera()}))
    assert len(read_video(tmp_path / 'webcam:0_overlay_depth.mp4')[0]) == 9


class TestWhatIsLeft:
    """Of a run that does not come to its end."""

    @pytest.fixture(scope='class')
    def film(self, tmp_path_factory):
        """Long enough for a signal to meet it."""
        return video(tmp_path_factory.mktemp('film') / 'walk.mp4', frames=600)

    @pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
    @pytest.mark.usefixtures('heeded_signals')
    def test_a_signal_leaves_nothing_half_written(self, film, tmp_path, number):
        out = tmp_path / 'out'
        command = [sys.executable, '-m', 'mtperception', 'predict', str(film), '--out', str(out), *BACKEND]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 60
        while not (out.is_dir() and written(out)) and time.monotonic() < until:
            time.sleep(0.05)
        assert written(out) == [f'.walk_overlay_depth.part{process.pid}.mp4']
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 128 + number
        assert 'Traceback' not in said
        assert written(out) == []

    def test_a_full_disk_names_path_and_option_and_leaves_no_video(self, tmp_path, capsys):
        film, out = video(tmp_path / 'walk.mp4', frames=30), tmp_path / 'out'
        with largest_file(2000):
            assert run(film, '--out', out) == 1
        assert capsys.readouterr().err.splitlines()[-1].startswith(f'error: --out {out}/walk_overlay_depth.mp4: ')
        assert written(out) == []

    def test_a_full_disk_leaves_no_half_picture(self, tmp_path, capsys):
        picture, out = png(tmp_path / 'room.png'), tmp_path / 'out'
        with largest_file(200):
            assert run(picture, '--out', out) == 1
        assert f'error: --out {out}/room_overlay.png: cannot be written: ' in capsys.readouterr().err
        assert written(out) == []
