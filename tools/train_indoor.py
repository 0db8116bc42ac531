"""Train the first indoor model: NYUv2's 795 images, ImageNet encoder, a fixed time budget on a CPU.

    python tools/train_indoor.py --data NYUV2_FOLDER --encoder mobilenet_v2_imagenet.safetensors --out run \\
        --minutes 110 --model models/nyuv2_indoor

Writes run/state.pt after every epoch (resumable: start the same command again), and in the end the model directory, of
the averaged weights. It stands in until the package's own training module makes the model.
"""

import argparse
import copy
import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional

from mtperception.card import ModelCard, TrainingCamera
from mtperception.export import export_model
from mtperception.labels import load_label_space
from mtperception.networks import create_network

CROP = 320
BATCH = 8
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1) * 255
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1) * 255
IGNORE = 255


def held_back(index: int) -> bool:
    """One block of ten neighbouring images in every hundred: neighbours show the same room."""
    return (index // 10) % 10 == 5


def load(root: Path) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All images as (RGB uint8, labels uint8, depth uint8 index)."""
    samples = []
    for name in (root / 'train.txt').read_text().split():
        rgb = cv2.cvtColor(cv2.imread(str(root / f'rgb/{name}.jpg')), cv2.COLOR_BGR2RGB)
        labels = cv2.imread(str(root / f'label40/{name}.png'), cv2.IMREAD_UNCHANGED)
        depth = cv2.imread(str(root / f'depth_u8/{name}.png'), cv2.IMREAD_UNCHANGED)
        samples.append((rgb, labels, depth))
    return samples


def metres(index: np.ndarray, info: dict) -> np.ndarray:
    return index.astype(np.float32) * info['depth_scale'] + info['depth_offset']


def augment(sample, info: dict, rng: np.random.Generator):
    """Random scale (depth divided by it), crop, mirror and colour."""
    rgb, labels, depth = sample
    scale = float(np.exp(rng.uniform(np.log(0.67), np.log(1.35))))
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    depth = cv2.resize(metres(depth, info), size, interpolation=cv2.INTER_NEAREST) / scale
    y, x = (int(rng.integers(0, extent - CROP + 1)) for extent in rgb.shape[:2])
    window = np.s_[y : y + CROP, x : x + CROP]
    rgb, labels, depth = rgb[window].astype(np.float32), labels[window], depth[window]
    if rng.random() < 0.5:
        rgb, labels, depth = rgb[:, ::-1], labels[:, ::-1], depth[:, ::-1]
    gray = rgb.mean(axis=2, keepdims=True)
    rgb = gray + (rgb - gray) * rng.uniform(0.7, 1.3)
    rgb = rgb * rng.uniform(0.7, 1.3) * rng.uniform(0.92, 1.08, 3)
    rgb = rgb.mean() + (rgb - rgb.mean()) * rng.uniform(0.8, 1.2)
    return np.clip(rgb, 0, 255).astype(np.float32), labels.copy(), depth.copy()


def losses(outputs, labels, depth):
    """Cross-entropy, and berHu with c = 0.2 max|error|, at half the input size."""
    size = (CROP // 2, CROP // 2)
    logits = functional.interpolate(outputs['segmentation'].float(), size, mode='bilinear', align_corners=False)
    cross_entropy = functional.cross_entropy(logits, labels[:, ::2, ::2].long(), ignore_index=IGNORE)
    predicted = functional.interpolate(outputs['depth'].float(), size, mode='bilinear', align_corners=False)
    error = (predicted[:, 0] - depth[:, ::2, ::2]).abs()
    c = 0.2 * error.detach().max()
    return cross_entropy, torch.where(error <= c, error, (error**2 + c**2) / (2 * c)).mean()


@torch.inference_mode()
def evaluate(network, samples, info: dict) -> tuple[dict[str, float], float]:
    """IoU by class (of those that occur in prediction or truth) and RMSE in metres, over all pixels at 640x480."""
    names = load_label_space('nyuv2_40').names
    confusion, squared, count = np.zeros((40, 40), np.int64), 0.0, 0
    for rgb, labels, depth in samples:
        image = (torch.from_numpy(rgb).permute(2, 0, 1)[None].float() - MEAN) / STD
        outputs = network(image.contiguous(memory_format=torch.channels_last))
        size = labels.shape
        up = {k: functional.interpolate(v, size, mode='bilinear', align_corners=False)[0] for k, v in outputs.items()}
        predicted = up['segmentation'].argmax(0).numpy()
        valid = labels != IGNORE
        confusion += np.bincount(labels[valid].astype(int) * 40 + predicted[valid], minlength=1600).reshape(40, 40)
        squared += float(((up['depth'][0].abs().numpy() - metres(depth, info)) ** 2).sum())
        count += depth.size
    union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    iou = {name: float(confusion[i, i] / union[i]) for i, name in enumerate(names) if union[i]}
    return iou, (squared / count) ** 0.5


def export(network, iou: dict[str, float], rmse: float, info: dict, images, out: Path, procedure: str) -> None:
    """Write the model directory, with what it is and how good it is."""
    card = ModelCard(
        name=out.name,
        network='joint_lw_refinenet',
        num_classes=40,
        tasks=('segmentation', 'depth'),
        label_space='nyuv2_40',
        classes=(0, 40),
        depth_range=(0.3, 10.0),
        camera=TrainingCamera(info['fx'], info['width'], info['height']),
        training={
            'data': '715 of the 795 official training images of NYU Depth v2 (Silberman et al., ECCV 2012), encoder '
            'from ImageNet',
            'licence': 'weights: Apache-2.0; the data are for research',
            'procedure': procedure,
        },
        metrics={
            'miou': round(float(np.mean(list(iou.values()))), 4),
            'rmse': round(rmse, 4),
            'iou': {name: round(iou[name], 3) for name in ('wall', 'floor', 'bed', 'chair', 'table')},
            'protocol': '80 of the 795 training images, held back in blocks of ten neighbouring ids; 640x480, one '
            'scale; classes absent from prediction and truth left out; depth in metres over all pixels, in-painted, '
            '8 bits (steps of 39 mm)',
        },
    )
    print(out, export_model(network, card, out, images))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True)
    parser.add_argument('--encoder', type=Path, required=True)
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--minutes', type=float, default=110)
    parser.add_argument('--model', type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    info = json.loads((args.data / 'dataset.json').read_text())
    samples = load(args.data)
    train = [sample for i, sample in enumerate(samples) if not held_back(i)]
    test = [sample for i, sample in enumerate(samples) if held_back(i)]

    torch.manual_seed(0)
    network = create_network('joint_lw_refinenet', 40)
    network.encoder.load_torchvision(load_file(args.encoder))
    torch.nn.init.constant_(network.heads['depth'].predict.bias, 2.7)  # the mean depth of the data
    network.to(memory_format=torch.channels_last).train()
    average = copy.deepcopy(network).eval()
    encoder = list(network.encoder.parameters())
    others = [p for name, p in network.named_parameters() if not name.startswith('encoder.')]
    rates = (4e-4, 1e-3)
    groups = [{'params': p, 'lr': lr} for p, lr in zip((encoder, others), rates, strict=True)]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.02)
    epoch, step, elapsed = 0, 0, 0.0
    if (args.out / 'state.pt').exists():
        state = torch.load(args.out / 'state.pt', weights_only=True)
        network.load_state_dict(state['network'])
        average.load_state_dict(state['average'])
        optimizer.load_state_dict(state['optimizer'])
        epoch, step, elapsed = state['epoch'], state['step'], state['elapsed']

    while elapsed < args.minutes * 60:
        rng = np.random.default_rng(epoch)
        order = rng.permutation(len(train))[: len(train) // BATCH * BATCH].reshape(-1, BATCH)
        sums = np.zeros(2)
        for batch in order:
            start = time.monotonic()
            progress = min(1.0, elapsed / (args.minutes * 60))
            factor = min(1.0, (step + 1) / 200) * ((1 - progress) ** 0.9 + 1e-3)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group['lr'] = rate * factor
            rgb, labels, depth = (np.stack(x) for x in zip(*(augment(train[i], info, rng) for i in batch), strict=True))
            image = ((torch.from_numpy(rgb).permute(0, 3, 1, 2) - MEAN) / STD).contiguous(
                memory_format=torch.channels_last
            )
            with torch.autocast('cpu', torch.bfloat16):
                outputs = network(image)
            parts = losses(outputs, torch.from_numpy(labels), torch.from_numpy(depth))
            optimizer.zero_grad()
            (0.5 * parts[0] + 0.5 * parts[1]).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            step += 1
            decay = min(0.998, step / (step + 20))
            with torch.no_grad():
                for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
                    kept.lerp_(new, 1 - decay) if kept.is_floating_point() else kept.copy_(new)
            sums += [float(part.detach()) for part in parts]
            elapsed += time.monotonic() - start
        epoch += 1
        means = sums / len(order)
        line = f'epoch {epoch} step {step} {elapsed / 60:.1f} min ce {means[0]:.3f} berhu {means[1]:.3f}'
        if epoch % 5 == 0 or elapsed >= args.minutes * 60:
            iou, rmse = evaluate(average, test, info)
            line += f' held-back miou {np.mean(list(iou.values())):.4f} rmse {rmse:.4f}'
        print(line, flush=True)
        state = {'network': network.state_dict(), 'average': average.state_dict(), 'optimizer': optimizer.state_dict()}
        torch.save(state | {'epoch': epoch, 'step': step, 'elapsed': elapsed}, args.out / 'state.tmp')
        (args.out / 'state.tmp').replace(args.out / 'state.pt')

    iou, rmse = evaluate(average, test, info)
    procedure = (
        f'{epoch} epochs of AdamW (encoder {rates[0]:g}, decoder {rates[1]:g}, polynomial decay), batches of {BATCH} '
        f'crops of {CROP} pixels scaled by 0.67 to 1.35, batch norm trained, cross-entropy + berHu, averaged weights; '
        'tools/train_indoor.py'
    )
    export(average, iou, rmse, info, [rgb for rgb, _, _ in test[::20]], args.model, procedure)


if __name__ == '__main__':
    main()
