# SPDX-License-Identifier: Apache-2.0
"""A replay that several processes divide: each scores a run of frames of the recording, the last one merges them."""

from collections.abc import Callable

from mtperception.card import ModelDirectory
from mtperception.labels import LabelSpace
from mtperception.predictor import BackendPredictor
from mtperception.recording.recording import Recording
from mtperception.replay.replay import ScoredPart, new_scorer, score
from mtperception.scale.part_folder import PartFolder
from mtperception.scale.shard import WHOLE, Shard


def score_shares(
    folder: PartFolder,
    open_predictor: Callable[[], BackendPredictor],
    recording: Recording,
    shard: Shard = WHOLE,
    truth_space: LabelSpace | None = None,
    on_frame: Callable[[int], None] = lambda done: None,
) -> None:
    """Score the frames of a share, a part of the folder, that are not scored yet; without a shard all parts.

    Args:
        folder: has as many parts as there are shards.
        open_predictor: gives the model; called for every part, not if there is nothing to do.
        recording: the bag.
        shard: the share.
        truth_space: label space of its label topic; None for the model's own.
        on_frame: called with the number of frames done in this part, after each one.
    """
    for part in folder.unfinished([shard.number - 1] if shard != WHOLE else range(folder.count)):
        positions = Shard(part + 1, folder.count).positions(recording.count)
        scored = score(open_predictor(), recording, positions, truth_space=truth_space, on_frame=on_frame)
        folder.write(part, scored.state())


def merge_shares(
    folder: PartFolder, model: ModelDirectory, recording: Recording, truth_space: LabelSpace | None = None
) -> ScoredPart:
    """What one process would have scored.

    Args:
        folder: with all its parts.
        model: whose predictions were scored.
        recording: the bag.
        truth_space: as it was scored.
    """
    first, *rest = (
        ScoredPart.restored(content, new_scorer(model, recording, truth_space)) for content in folder.contents()
    )
    for part in rest:
        first.merge(part)
    return first
