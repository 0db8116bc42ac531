# SPDX-License-Identifier: Apache-2.0
"""Which transforms concern the images, where several robots publish theirs."""

from collections.abc import Collection, Mapping, Sequence

from mtperception.recording.namespaces import distance, is_above, namespace, owner
from mtperception.recording.transform_tree import TransformTree

_NAMED = 5
"""Frames that a note names at most."""


def nearest_tree(
    trees: Mapping[str, TransformTree], image_topic: str, others: Collection[str] = ()
) -> tuple[TransformTree, list[str]]:
    """The frames that concern the images of a topic, and what a user should know about the choice.

    Robots use the same names of frames, each in its own namespace. The namespace that is nearest to the images goes
    first, then those above it; what is known of a frame there hides what others say of it.

    Args:
        trees: by topic of transforms.
        image_topic: where the images are.
        others: topics of other cameras: what is nearer to one of them belongs to that.
    """
    spaces: dict[tuple[str, ...], TransformTree] = {}
    for topic, tree in trees.items():
        spaces.setdefault(namespace(topic), TransformTree()).extend(tree)
    by_space = {namespace(topic): topic for topic in reversed(trees)}
    ordered = sorted(spaces, key=lambda space: (distance(by_space[space], image_topic), space))
    own = [space for space in ordered if not owner(by_space[space], image_topic, others)]
    if not own or _is_tie([by_space[space] for space in own], image_topic):
        named = ', '.join(by_space[space] for space in ordered)
        return TransformTree(), [f'transforms: none of {named} belongs to {image_topic}: none is used'] if named else []
    first, chosen = own[0], TransformTree()
    for space in own:
        if space == first or is_above(by_space[space], image_topic):
            chosen.take(spaces[space])
    hidden = {by_space[space]: spaces[space].frames & spaces[first].frames for space in ordered if space != first}
    return chosen, [
        f'transforms: {_named(frames)} on {by_space[first]} and on {topic}: the first, nearer to the images, is used'
        for topic, frames in hidden.items()
        if frames
    ]


def _is_tie(topics: Sequence[str], image_topic: str) -> bool:
    """Whether the first two topics, ordered by their distance, are not above the images and equally far from them."""
    first, *rest = topics
    near = distance(first, image_topic)
    return not is_above(first, image_topic) and any(distance(topic, image_topic) == near for topic in rest)


def _named(frames: Collection[str]) -> str:
    return ', '.join(sorted(frames)[:_NAMED]) + (' and others' if len(frames) > _NAMED else '')
