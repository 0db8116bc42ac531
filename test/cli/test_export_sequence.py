# SPDX-License-Identifier: Apache-2.0
"""`mtperception export-sequence`: recordings and tables for mapping systems, one clear line for what cannot be."""

import json
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest
from bags import camera_info, color, header, make, write_bag
from calibrations import write_calibration
from mapped_rooms import ROOM, write_posed_rooms
from scipy.spatial.transform import Rotation
from spaces import small_space

from mtperception import cli
from mtperception.media import write_image
from mtperception.predictor import Predictor
from mtperception.sequences import FORMATS, LABEL_FORMATS, SEQUENCE_FORMATS
from mtperception.synthetic import SyntheticRoom, pose
from mtperception.types import Intrinsics

BACKEND = ('--backend', 'onnxruntime', '--device', 'cpu')
CAMERA = Intrinsics(30.0, 31.0, 31.5, 23.5, 64, 48)


def image(seed):
    """Smooth noise, 64x48, RGB."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(noise, (64, 48), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def folder(tmp_path):
    """Three images with their camera."""
    path = tmp_path / 'images'
    path.mkdir()
    for index in range(3):
        write_image(path / f'{index}.png', image(index))
    (path / 'dataset.json').write_text(json.dumps(vars(CAMERA)))
    return path


def run(kind, out, *arguments):
    return cli.main(['export-sequence', *map(str, arguments), '--format', kind, '--out', str(out)])


def written(path):
    return sorted(entry.name for entry in path.iterdir())


def test_a_folder_becomes_a_tum_sequence(folder, tmp_path, capsys):
    out = tmp_path / 'made' / 'tum'
    assert run('tum', out, folder, '--rate', 4, *BACKEND) == 0
    expected = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')(image(1), CAMERA).depth
    depth = cv2.imread(str(out / 'depth' / '000001.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(depth / 5000, expected, atol=0.00011)
    assert (out / 'associations.txt').read_text().splitlines()[1] == '0.250000 rgb/000001.png 0.250000 depth/000001.png'
    said = capsys.readouterr()
    assert said.out == ''
    assert f'{out}: 3 frames in ' in said.err
    assert said.err.endswith('64x48, camera fx fy cx cy: 30 31 31.5 23.5\n')


def test_a_calibration_is_the_camera_of_what_tells_none(folder, tmp_path, capsys):
    (folder / 'dataset.json').unlink()
    camera = write_calibration(tmp_path / 'camera.yaml', CAMERA)
    assert run('tum', tmp_path / 'tum', folder, '--camera', camera, *BACKEND) == 0
    expected = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')(image(1), CAMERA).depth
    depth = cv2.imread(str(tmp_path / 'tum' / 'depth' / '000001.png'), cv2.IMREAD_UNCHANGED)
    np.testing.assert_allclose(depth / 5000, expected, atol=0.00011)
    assert capsys.readouterr().err.endswith('64x48, camera fx fy cx cy: 30 31 31.5 23.5\n')


def test_a_calibration_is_not_replaced(folder, tmp_path, capsys):
    camera = write_calibration(tmp_path / 'camera.yaml', CAMERA)
    before = camera.read_bytes()
    assert run('klg', camera, folder, '--camera', camera, *BACKEND) == 1
    assert 'could be overwritten: choose another place' in capsys.readouterr().err
    assert camera.read_bytes() == before


def test_a_bag_becomes_a_log(tmp_path, capsys):
    data = cv2.imencode('.png', image(0))[1].ravel()
    picture = make('sensor_msgs/msg/CompressedImage', header(1_500_000_000), 'png', data)
    small = make('sensor_msgs/msg/CompressedImage', header(7), 'png', cv2.imencode('.png', color(5))[1].ravel())
    messages = [('/a/compressed', small), ('/b/compressed', picture), ('/b/camera_info', camera_info())]
    bag = write_bag(tmp_path / 'bag', messages)
    out = tmp_path / 'x.klg'
    options = ('--image-topic', '/b/compressed', '--image-compression', 'none', '--depth-compression', 'none')
    assert run('klg', out, bag, *options, *BACKEND) == 0
    assert out.stat().st_size == 4 + 16 + 640 * 480 * 5
    assert struct.unpack_from('<iqii', out.read_bytes()) == (1, 1_500_000, 640 * 480 * 2, 640 * 480 * 3)
    assert 'camera fx fy cx cy: 8000 8800 319.5 239.5' in capsys.readouterr().err  # of 8x6, made 640x480


def test_probabilities_as_far_as_wanted(folder, tmp_path):
    """The network's output has a quarter of the size of its input."""
    out = tmp_path / 'out'
    assert run('semanticfusion', out, folder, '--frames', 2, '--probabilities', *BACKEND) == 0
    assert written(out / 'frames') == ['000000_depth.png', '000000_rgb.png', '000001_depth.png', '000001_rgb.png']
    with np.load(out / 'probabilities' / '000001.npz') as content:
        assert content['probabilities'].shape == (40, 12, 16)


@pytest.mark.parametrize('kind', LABEL_FORMATS)
def test_tables_need_no_source(kind, tmp_path, capsys):
    assert run(kind, tmp_path / 'made' / kind) == 0
    assert capsys.readouterr().err == f'{tmp_path}/made/{kind}: the 40 classes of nyuv2_40\n'
    assert written(tmp_path / 'made') == [kind]


def test_tables_of_a_coarser_space_with_ids_of_ones_own(tmp_path):
    assert run('hydra', tmp_path / 'x.csv', '--label-space', 'nyuv2_13', '--label-offset', 100) == 0
    rows = (tmp_path / 'x.csv').read_text().splitlines()
    assert (len(rows), rows[2]) == (15, 'bed,0,0,255,255,100')


def test_tables_of_a_space_of_ones_own(tmp_path):
    small_space(tmp_path)
    assert run('hydra', tmp_path / 'x.csv', '--label-space', tmp_path / 'small.yaml') == 0
    assert (tmp_path / 'x.csv').read_text().splitlines()[-1] == 'sky,70,130,180,255,3'


@pytest.mark.parametrize('kind', ['klg', 'hydra'])
def test_a_second_run_replaces_the_first(kind, folder, tmp_path):
    arguments = [folder, *BACKEND] if kind in SEQUENCE_FORMATS else []
    (tmp_path / 'out').write_text('from an earlier run')
    assert run(kind, tmp_path / 'out', *arguments) == 0
    assert written(tmp_path) == ['images', 'out']
    assert b'earlier' not in (tmp_path / 'out').read_bytes()


def test_the_help_names_every_format(capsys):
    assert cli.main(['export-sequence', '--help']) == 0
    said = capsys.readouterr().out
    assert [kind for kind in FORMATS if kind[:8] not in said] == []


@pytest.mark.parametrize(
    ('kind', 'arguments', 'message'),
    [
        ('tum', ['nonesuch.bag'], "no source 'nonesuch.bag'"),
        ('tum', ['images', '--model', 'nonesuch'], "no model 'nonesuch'"),
        ('hydra', ['--label-space', 'nonesuch'], "no label space 'nonesuch'"),
        ('hydra', ['--label-offset', '0'], 'Kimera-Semantics takes id 0 for unknown'),
        ('legend', ['--label-offset', '250'], 'need an offset of 215 at most'),
    ],
)
def test_what_cannot_be_is_one_clear_line(kind, arguments, message, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(kind, 'out', *arguments) == 1
    said = capsys.readouterr()
    assert said.err.startswith('error: ')
    assert message in said.err
    assert said.err.count('\n') == 1
    assert said.out == ''
    assert written(tmp_path) == ['images']


def test_a_damaged_image_costs_itself_only(folder, tmp_path, capsys):
    (folder / '1.png').write_bytes(b'no image')
    assert run('tum', tmp_path / 'out', folder, *BACKEND) == 0
    said = capsys.readouterr().err
    assert 'note: 1 of 3 images cannot be read, the first: ' in said
    assert '1.png: OpenCV cannot decode it' in said
    stamps = [line.split()[0] for line in (tmp_path / 'out' / 'associations.txt').read_text().splitlines()]
    assert stamps == ['0.000000', '0.200000']


def test_without_any_image_nothing_is_left_behind(folder, tmp_path, capsys):
    for index in range(3):
        (folder / f'{index}.png').write_bytes(b'no image')
    assert run('tum', tmp_path / 'out', folder, *BACKEND) == 1
    assert 'error: ' in capsys.readouterr().err
    assert written(tmp_path) == ['images']


def test_the_poses_of_a_bag_are_the_ground_truth_of_tum(tmp_path, capsys):
    """The camera is 0.5 m above a base that drives 1 m/s and turns by a quarter while it does."""
    from recordings import image as image_message
    from recordings import odometry, transforms, translation, write_recording

    turned = np.array([[0.0, -1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    messages = [
        ('/tf_static', transforms(('base', 'camera', translation(z=0.5), 0))),
        ('/odom', odometry(translation(), 1_000_000_000)),
        *(('/image', image_message(image(index), (10 + 5 * index) * 100_000_000)) for index in range(4)),
        ('/odom', odometry(turned, 2_000_000_000)),
    ]
    out = tmp_path / 'out'
    assert run('tum', out, write_recording(tmp_path / 'bag', messages), *BACKEND) == 0
    said = capsys.readouterr().err
    assert 'reading /image of the bag' in said
    assert 'note: groundtruth.txt has the poses of 3 of 4 frames' in said
    rows = [line for line in (out / 'groundtruth.txt').read_text().splitlines() if not line.startswith('#')]
    half = np.radians(22.5)
    expected = [
        [1.0, 0, 0, 0.5, 0, 0, 0, 1],
        [1.5, 0.5, 0, 0.5, 0, 0, np.sin(half), np.cos(half)],
        [2.0, 1, 0, 0.5, 0, 0, np.sqrt(0.5), np.sqrt(0.5)],
    ]
    np.testing.assert_allclose([list(map(float, row.split())) for row in rows], expected, atol=1e-8)


def test_the_pose_topic_that_is_asked_for_is_that_of_tum(tmp_path):
    from recordings import image as image_message
    from recordings import posestamped, translation, write_recording

    messages = [('/image', image_message(image(index), (10 + index) * 100_000_000)) for index in range(2)]
    for topic, metres in (('/a/pose', 1.0), ('/b/pose', 2.0)):
        messages += [(topic, posestamped(translation(metres), second * 10**9)) for second in (1, 2)]
    bag, out = write_recording(tmp_path / 'bag', messages), tmp_path / 'out'
    assert run('tum', out, bag, '--pose-topic', '/b/pose', *BACKEND) == 0
    assert poses_in(out)[0][:, 0].tolist() == [2.0, 2.0]


def poses_in(out):
    """float64 N,7 of groundtruth.txt, and the stamps, seconds."""
    rows = np.loadtxt(out / 'groundtruth.txt')
    return rows[:, 1:], rows[:, 0]


def matrices(rows):
    """float64 N,4,4 of x y z and quaternions."""
    made = np.tile(np.eye(4), (len(rows), 1, 1))
    made[:, :3, :3], made[:, :3, 3] = Rotation.from_quat(rows[:, 3:]).as_matrix(), rows[:, :3]
    return made


def depth_in(out, index):
    return cv2.imread(str(out / 'depth' / f'{index:06d}.png'), cv2.IMREAD_UNCHANGED) / 5000


def test_the_rendered_room_has_its_exact_poses_and_depth(tmp_path, capsys):
    out = tmp_path / 'out'
    options = ('--rate', 0.25, '--frames', 3, '--depth', 'sensor')
    assert run('tum', out, 'synthetic', *options, '--model', 'nonesuch') == 0  # no model is needed
    rows, stamps = poses_in(out)
    np.testing.assert_array_equal(stamps, [0, 4, 8])
    np.testing.assert_allclose(matrices(rows), [pose(seconds) for seconds in stamps], atol=1e-7)
    for index, seconds in enumerate(stamps):
        np.testing.assert_allclose(depth_in(out, index), SyntheticRoom().frame(seconds).depth, atol=0.00011)
    assert 'note: groundtruth.txt has the poses of 3 of 3 frames' in capsys.readouterr().err


def test_a_folder_has_the_poses_and_the_depth_that_its_dataset_json_names(tmp_path, capsys):
    folder, out, times = tmp_path / 'rooms', tmp_path / 'out', [1.0, 2.0, 4.0, 5.0]
    write_posed_rooms(folder, times)
    (folder / 'pose' / '1.txt').write_text('lost')
    (folder / 'depth' / '2.png').unlink()
    assert run('tum', out, folder, '--depth', 'sensor') == 0
    rows, stamps = poses_in(out)
    np.testing.assert_array_equal(stamps, [0, 0.3])  # of 10 images per second
    np.testing.assert_allclose(matrices(rows), [pose(1.0), pose(5.0)], atol=1e-7)
    for index, seconds in enumerate((1.0, 2.0, 5.0)):
        np.testing.assert_allclose(depth_in(out, index), ROOM.frame(seconds).depth, atol=0.00061)  # of millimetres
    said = capsys.readouterr().err
    assert 'note: 1 frames without depth are left out' in said
    assert 'note: groundtruth.txt has the poses of 2 of 3 frames' in said
    assert 'note: poses of 1 of 4 images cannot be read, the first: ' in said
    assert f'note: depth of 1 of 4 images cannot be read, the first: {folder}/depth/2.png: no such file' in said


def test_the_depth_of_a_bag_is_paired_as_asked_for(tmp_path, capsys):
    """Two depth topics, 5 mm apart, 50 ms late: the one that is named is taken, within the tolerance."""
    from recordings import depth_32f, image, write_recording

    stamps = [10**9, 2 * 10**9]
    near, far = (np.full((48, 64), metres, np.float32) for metres in (2.0, 2.005))
    messages = [('/cam/image', image(np.full((48, 64, 3), (9, 80, 200), np.uint8), stamp)) for stamp in stamps]
    for topic, depth in (('/cam/depth', near), ('/other/depth', far)):
        messages += [(topic, depth_32f(depth, stamp + 5 * 10**7)) for stamp in stamps]
    bag = write_recording(tmp_path / 'bag', messages)
    options = ('--depth', 'sensor', '--depth-topic', '/other/depth')
    assert run('tum', tmp_path / 'out', bag, *options) == 1
    assert 'none of 2 frames has depth of its own' in capsys.readouterr().err
    assert run('tum', tmp_path / 'out', bag, *options, '--tolerance', 0.1) == 0
    np.testing.assert_allclose([depth_in(tmp_path / 'out', index) for index in (0, 1)], [far, far], atol=0.00011)


@pytest.mark.parametrize(('stamps', 'count'), [((5, 6, 3, 4), 1), ((5, 5, 5, 5), 3)])
def test_stamps_that_do_not_rise_are_told(tmp_path, capsys, stamps, count):
    from recordings import image as image_message
    from recordings import write_recording

    messages = [('/image', image_message(image(0), stamp * 10**9)) for stamp in stamps]
    assert run('klg', tmp_path / 'x.klg', write_recording(tmp_path / 'bag', messages), *BACKEND) == 0
    assert f'note: {count} of 4 stamps are not later than the one before' in capsys.readouterr().err


@pytest.mark.parametrize('out', ['images', '.', 'images/0.png'])
def test_the_source_is_not_replaced(out, folder, tmp_path, capsys):
    source = folder / '0.png' if out.endswith('png') else folder
    assert run('klg', tmp_path / out, source, *BACKEND) == 1
    assert 'is or holds the input' in capsys.readouterr().err
    assert written(folder) == ['0.png', '1.png', '2.png', 'dataset.json']


def test_a_rate_for_what_has_times_of_its_own_is_refused(tmp_path, capsys):
    (tmp_path / 'bag').mkdir()  # a folder, but not of images
    (tmp_path / 'bag' / 'walk.mcap').touch()
    assert run('klg', tmp_path / 'out', tmp_path / 'bag', '--rate', 5) == 2
    said = capsys.readouterr().err.replace('\n', ' ').replace('│', '')
    assert 'has times of its own: expected a folder of images or' in ' '.join(said.split())


@pytest.mark.parametrize(
    ('kind', 'arguments', 'message'),
    [
        ('tum', [], 'tum is a recording: expected a SOURCE'),
        ('hydra', ['synthetic'], 'hydra is a table of classes'),
        ('tum', ['synthetic', '--depth-compression', 'none'], 'compressions are for klg'),
        ('legend', ['--image-compression', 'none'], 'compressions are for klg'),
        ('klg', ['synthetic', '--probabilities'], 'is for semanticfusion'),
        ('hydra', ['--camera', 'camera.yaml'], '--camera: only for recordings'),
        ('nav2', ['--frames', '3', '--rate', '5', '--pose-topic', '/odom'], '--rate, --frames, --pose-topic: only for'),
        ('klg', ['synthetic', '--label-offset', '3'], 'is for tables of classes'),
        ('klg', ['synthetic', '--label-space', 'nyuv2_13'], 'is for tables of classes'),
        ('klg', ['synthetic', '--frames', '0'], 'frames'),
        ('tum', ['synthetic', '--depth-topic', '/depth'], 'expected together with --depth sensor'),
        ('tum', ['walk.mcap', '--tolerance', '0.5'], '--tolerance: expected together with --depth sensor'),
        ('klg', ['walk.mcap', '--depth-registered'], '--depth-registered: expected together with --depth sensor'),
        ('klg', ['walk.mcap', '--pose-topic', '/odom'], '--pose-topic: is for tum'),
        ('semanticfusion', ['walk.mcap', '--pose-topic', '/odom'], '--pose-topic: is for tum'),
        ('hydra', ['--depth-topic', '/depth', '--tolerance', '0.5'], '--depth-topic, --tolerance: only for recordings'),
        ('klg', ['webcam:0'], 'does not end by itself: expected --frames'),
        ('ply', ['synthetic'], 'ply'),
    ],
)
def test_wrong_usage_exits_with_2(kind, arguments, message, tmp_path, capsys):
    assert run(kind, tmp_path / 'out', *arguments) == 2
    assert message in capsys.readouterr().err.replace('\n', ' ')
    assert written(tmp_path) == []


def test_it_works_without_torch(folder, tmp_path):
    """As it must where only the ONNX backends are installed; what needs torch says what to install."""
    arguments = ['export-sequence', str(folder), '--format', 'semanticfusion', '--out', str(tmp_path / 'out'), *BACKEND]
    start = 'import sys; sys.modules["torch"] = None; from mtperception import cli; '
    for extra, status, said in (([], 0, '3 frames'), (['--probabilities'], 1, 'pip install "mtperception[torch]"')):
        code = f'{start}sys.exit(cli.main({arguments + extra}))'
        done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == status, done.stderr
        assert said in done.stderr
