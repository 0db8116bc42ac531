# SPDX-License-Identifier: Apache-2.0
"""How a model was measured, for whoever reads the figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtperception.evaluation.comparison import Comparison
from mtperception.evaluation.paper_protocols import find_protocol
from mtperception.evaluation.scores import Scores
from mtperception.hardware import describe_hardware
from mtperception.labels import LabelSpace, load_label_space
from mtperception.predictor import BackendPredictor


@dataclass(frozen=True)
class Setting:
    """What an evaluation depends on besides the images, in words and numbers that JSON keeps."""

    model: str
    tasks: Sequence[str]
    """Tasks of the model that are measured."""
    label_space: str
    """Label space of the data set; empty if no labels can be compared."""
    furthest: float
    """Metres: end of the model's range of depth."""
    scales_depth: bool
    """Whether depth is scaled to the camera of a sample that has one."""
    facts: Mapping[str, Mapping[str, Any]]
    """For the protocol: by task, and those of all tasks under an empty name."""
    backend: str
    hardware: str
    paper: str
    """The protocol of a paper that was followed: a key of `PROTOCOLS`, or empty."""

    def no_scores(self) -> Scores:
        """Scores of no image."""
        return Scores(len(load_label_space(self.label_space)) if self.label_space else 0, self.furthest)


def setting_of(predictor: BackendPredictor, space: LabelSpace | None, comparison: Comparison, paper: str) -> Setting:
    """How a predictor is compared with a data set of this label space, by the protocol of a paper if one is named."""
    card, backend = predictor.card, predictor.backend
    protocol = find_protocol(paper)
    first, end = card.classes
    facts = {
        **{name: {name: truth} for name, truth in comparison.truths().items()},
        '': {
            # Cut by a protocol, images are seen in parts, whose size depends on the image.
            **({} if protocol and protocol.grid else {'network_size': list(predictor.network_size)}),
            'input': predictor.input_policy.description,
            'scales': 'one, not mirrored',
            **(protocol.description if protocol else {}),
        },
        'segmentation': {
            'labels': comparison.mapping.description if comparison.mapping else '',
            'classes': f'chosen among {first} to {end - 1} of {predictor.label_space.name}',
            'ignored': 'unlabelled pixels (255); classes absent from prediction and truth',
        },
    }
    if 'depth' in facts:
        facts['depth'] |= {
            'depth_range': list(card.depth_range),
            'depth_clamp': 'the prediction, to depth_range; not the truth',
        }
    return Setting(
        model=card.name,
        tasks=list(comparison.tasks),
        label_space=space.name if space else '',
        furthest=card.depth_range[1],
        scales_depth=predictor.depth_scale_mode != 'none',
        facts=facts,
        backend=backend.description,
        hardware=describe_hardware(),
        paper=paper,
    )


def protocol_of(setting: Setting, scores: Scores) -> dict[str, Any]:
    """How it was measured."""
    facts = {'resolution': [f'{width}x{height}' for width, height in sorted(scores.sizes)], **setting.facts['']}
    for task in scores.metrics():
        facts |= setting.facts.get(task, {})
        if task == 'depth':
            known, pixels = scores.depth_pixels.tolist()
            facts['depth'] += f', on {known / pixels:.1%} of pixels'
            facts['focal_scale'] = _focal_scale(setting, scores)
    return {**facts, 'backend': setting.backend}


def _focal_scale(setting: Setting, scores: Scores) -> str:
    if not setting.scales_depth or not scores.with_camera:
        return 'none'
    if scores.with_camera == len(scores.images):
        return "by the camera of the data set and the model's"
    return f"by the camera of the data set and the model's for {scores.with_camera} images, which have one"
