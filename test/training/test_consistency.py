# SPDX-License-Identifier: Apache-2.0
"""A second look, moved, zoomed and relit, teaches what does not change: by geometry worked by hand, and in training."""

import copy
from dataclasses import replace

import pytest
import torch
from tiny_runs import CPU, data_of, tiny_config
from torch import nn
from torch.nn import functional

from mtperception.data.transforms import collate
from mtperception.pipeline import normalize
from mtperception.training.config import ConfigError, ConsistencyConfig
from mtperception.training.consistency import Consistency, Motion
from mtperception.training.trainer import LAST, Trainer

STILL = ConsistencyConfig({'depth': 1.0}, shift=0.0, zoom=0.0, light=0.0, noise=0.0)


def ramp(height=8, width=12):
    """float 1,2,H,W: the column and the row of each pixel."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    return torch.stack([columns, rows])[None].float()


def motion_of(zoom, shift):
    return Motion(torch.tensor([zoom]), torch.tensor([shift]))


def test_an_image_is_moved_by_whole_pixels():
    # A sixth of 12 columns to the right is two; on this axis an image is 2 wide.
    moved = motion_of(1.0, (2 * 2 / 12, 0.0)).move(ramp())
    torch.testing.assert_close(moved[0, 0, 0, 2:], torch.arange(10.0))
    assert moved[0, 0, 0, :2].tolist() == pytest.approx([1, 0], abs=1e-5)  # mirrored at the border


def test_a_zoomed_image_shows_its_middle():
    zoomed = motion_of(2.0, (0.0, 0.0)).move(ramp())
    # Twice as large: steps of half a pixel; the middle, between columns 5 and 6, stays where it is.
    torch.testing.assert_close(zoomed[0, 0, 0, 4:8], torch.tensor([4.75, 5.25, 5.75, 6.25]))


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize(('zoom', 'shift'), [(1.0, (0.0, 0.0)), (1.1, (0.1, -0.05)), (0.9, (-0.2, 0.1))])
def test_what_was_moved_is_found_where_it_was(zoom, shift, stride):
    motion, image = motion_of(zoom, shift), ramp(40, 60)
    found, seen = motion.look_up(motion.move(image), (40, 60), stride)
    expected = image[..., stride // 2 :: stride, stride // 2 :: stride]
    assert found.shape == expected.shape
    # At the borders of both, neighbours to interpolate are missing.
    inside = -functional.max_pool2d(-functional.pad(seen.float(), (2, 2, 2, 2)), 5, stride=1)[0] > 0
    assert inside.float().mean() > 0.5
    torch.testing.assert_close(found[..., inside], expected[..., inside], atol=1e-3, rtol=0)


def test_only_what_the_moved_image_shows_is_compared():
    _, seen = motion_of(1.0, (0.5, 0.0)).look_up(ramp(), (8, 12), 1)
    assert seen.sum() == 8 * 9  # a quarter of the columns has left on the right
    assert seen[0, :, :9].all()


def test_each_image_has_its_own_motion():
    both = Motion(torch.tensor([2.0, 1.0]), torch.tensor([[0.0, 0.0], [2 * 2 / 12, 0.0]]))
    moved = both.move(ramp().expand(2, -1, -1, -1))
    torch.testing.assert_close(moved[:1], motion_of(2.0, (0.0, 0.0)).move(ramp()))
    torch.testing.assert_close(moved[1:], motion_of(1.0, (2 * 2 / 12, 0.0)).move(ramp()))
    _, seen = both.look_up(moved, (8, 12), 1)
    assert seen.sum(dim=(1, 2)).tolist() == [4 * 6, 8 * 10]


class Distance(nn.Module):
    """Depth, in metres, that is the same everywhere; and how bright it finds its images."""

    def __init__(self, metres=2.0):
        super().__init__()
        self.metres = metres
        self.seen = None

    def forward(self, images):
        self.seen = images
        return {'depth': torch.full_like(images[:, :1], self.metres)}


def test_depth_of_a_second_look_is_that_of_the_image_itself(room_data):
    """What is enlarged looks nearer: 2 m in an image enlarged by z are 2 z m in the image as it is."""
    config = tiny_config(room_data, consistency=replace(STILL, zoom=0.5))
    consistency, images = Consistency(config), torch.full((2, 3, 32, 32), 128, dtype=torch.uint8)
    again = consistency.look_again(images, Distance(), Distance(), 0)
    zoom = again.motion.zoom[:, None, None, None]
    assert 1 / 1.5 <= zoom.min() < zoom.max() <= 1.5
    torch.testing.assert_close(again.outputs['depth'], (2 * zoom).expand(2, 1, 32, 32))
    outputs = {'depth': (2 * zoom + 0.25).expand(2, 1, 8, 8)}
    loss = consistency.losses(outputs, again, (32, 32))['depth_consistency']
    assert loss.item() == pytest.approx(0.25, rel=1e-4)  # over the pixels that both show, however many


def test_each_image_gets_its_own_light_and_noise(room_data):
    images = torch.full((2, 3, 32, 32), 100, dtype=torch.uint8)
    bright, noisy = Distance(), Distance()
    Consistency(tiny_config(room_data, consistency=replace(STILL, light=0.5))).look_again(images, bright, bright, 0)
    assert bright.seen.std(dim=(2, 3)).max() < 1e-5
    assert bright.seen[0, 0, 0, 0] != bright.seen[1, 0, 0, 0]
    Consistency(tiny_config(room_data, consistency=replace(STILL, noise=5.0))).look_again(images, noisy, noisy, 0)
    red = 255 * 0.229  # grey levels of one unit of a normalised red
    assert float(noisy.seen[:, 0].std()) * red == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize(
    ('batch_norm', 'frozen'), [('trained', []), ('trained', ['encoder.stem', 'encoder.stages.0']), ('frozen', [])]
)
def test_a_network_that_sees_the_same_image_again_has_nothing_to_learn(batch_norm, frozen, room_data, tmp_path):
    """With trained batch norms too: answers with the statistics of the run would be off by a bias, forever."""
    settings = {'batch_norm': batch_norm, 'frozen': frozen, 'data': [data_of(room_data, [])]}
    config = tiny_config(room_data, consistency=STILL, average_decay=0.0, **settings)
    trainer = Trainer(config, tmp_path, CPU)
    before = {name: x.clone() for name, x in trainer.average.module.named_buffers() if 'running' in name}
    batch = collate([trainer.examples[0, 0], trainer.examples[0, 1]], trainer.examples.tasks)
    assert trainer.step(*batch) == {'depth_consistency': pytest.approx(0, abs=1e-5)}
    gathered = {name: x for name, x in trainer.network.named_buffers() if 'running' in name}
    assert any(not torch.equal(before[name], x) for name, x in gathered.items()) == (batch_norm == 'trained')
    assert not any(module.training for module in trainer.average.modules())


def test_a_second_look_leaves_the_averaged_statistics_alone(room_data, tmp_path):
    trainer = Trainer(tiny_config(room_data, consistency=STILL), tmp_path, CPU)
    average = trainer.average.module
    before = {name: x.clone() for name, x in average.named_buffers()}
    images = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8)
    trainer.objective.consistency.look_again(images, trainer.network, average, 0)
    assert all(torch.equal(before[name], x) for name, x in average.named_buffers())
    norms = [module for module in average.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(norm.track_running_stats and not norm.training for norm in norms)


def test_normals_of_a_second_look_are_those_of_the_image_itself(room_data):
    """Depth that is divided tilts planes: in an image enlarged by z, x and y of normals have to be multiplied by it."""
    seen = torch.tensor([0.6, 0.0, -0.8])

    class Tilted(nn.Module):
        def forward(self, images):
            return {'normals': seen[None, :, None, None].expand(len(images), -1, 8, 8)}

    tasks = ('depth', 'normals')
    config = tiny_config(room_data, tasks, consistency=ConsistencyConfig({'normals': 1.0}, 0.0, 0.5, 0.0, 0.0))
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    again = Consistency(config).look_again(images, Tilted(), Tilted(), 3)
    zoom = again.motion.zoom.item()
    assert zoom != 1
    expected = seen * torch.tensor([zoom, zoom, 1])
    torch.testing.assert_close(again.outputs['normals'][0, :, 4, 4], expected)


def test_the_step_decides_the_second_look(room_data):
    """Not the state of a generator, which processes share or not, and devices have of their own."""
    config = tiny_config(room_data, consistency=ConsistencyConfig({'depth': 1.0}))
    images, looks, seen = torch.randint(0, 255, (2, 3, 32, 32), dtype=torch.uint8), [], []
    for step in (5, 5, 6):
        torch.rand(step)
        network = Distance()
        looks.append(Consistency(config).look_again(images, network, network, step).motion.zoom.tolist())
        seen.append(network.seen)
    assert looks[0] == looks[1] != looks[2]
    assert torch.equal(seen[0], seen[1])


def test_processes_see_other_motions_in_another_light(room_data, monkeypatch):
    config = tiny_config(room_data, consistency=ConsistencyConfig({'depth': 1.0}))
    images, looks, seen = torch.full((2, 3, 32, 32), 128, dtype=torch.uint8), [], []
    for process in (0, 1):
        monkeypatch.setattr('mtperception.training.consistency.rank', lambda process=process: process)
        network = Distance()
        looks.append(Consistency(config).look_again(images, network, network, 5).motion.zoom.tolist())
        seen.append(network.seen)
    assert not set(looks[0]) & set(looks[1])
    assert not torch.equal(seen[0], seen[1])


def test_it_becomes_steadier_than_without(room_data, tmp_path):
    """From one start, the same images: what changes when images are relit, after a few steps with and without."""
    first = Trainer(tiny_config(room_data, epochs=20), tmp_path / 'start', CPU)
    batch = collate([first.examples[0, 0], first.examples[0, 1]], first.examples.tasks)
    for _ in range(10):
        first.step(*batch)
    first.save(LAST)
    start = {'all': [str(tmp_path / 'start' / LAST)]}
    changes = {}
    for name, weights in (('plain', {}), ('steady', {'depth': 4.0})):
        consistency = ConsistencyConfig(weights, shift=0.0, zoom=0.0, light=0.4, noise=0.0)
        config = tiny_config(room_data, epochs=20, start=start, consistency=consistency)
        trainer = Trainer(config, tmp_path / name, CPU)
        for _ in range(25):
            trainer.step(*batch)
        network = copy.deepcopy(trainer.network).eval()
        with torch.no_grad():
            dark, bright = (
                network(normalize((batch[0] * factor).to(torch.uint8).permute(0, 2, 3, 1)))['depth']
                for factor in (0.7, 1.0)
            )
        changes[name] = float((dark - bright).abs().mean())
    assert changes['steady'] < 0.8 * changes['plain']


def test_a_run_that_resumes_sees_the_same_second_looks(room_data, tmp_path):
    config = tiny_config(room_data, epochs=2, consistency=ConsistencyConfig({'segmentation': 1.0, 'depth': 1.0}))
    trainer = Trainer(config, tmp_path, CPU)
    batch = collate([trainer.examples[0, 0], trainer.examples[0, 1]], trainer.examples.tasks)
    trainer.step(*batch)
    trainer.save(LAST)
    expected = trainer.step(*batch)
    assert set(expected) == {'segmentation', 'depth', 'segmentation_consistency', 'depth_consistency'}
    assert Trainer(config, tmp_path, CPU).step(*batch) == expected


@pytest.mark.parametrize(
    ('weights', 'message'),
    [
        ({'normals': 1.0}, r'normals: expected tasks of the run'),
        ({'depth_confidence': 1.0}, r'depth_confidence: expected'),
    ],
)
def test_tasks_that_cannot_be_compared(weights, message, room_data):
    with pytest.raises(ConfigError, match=message):
        Consistency(tiny_config(room_data, consistency=ConsistencyConfig(weights)))
