# SPDX-License-Identifier: Apache-2.0
"""What Hydra wants to know of the published ids: semantic_inference_msgs/Labelspace, by its fields."""

import json
from typing import Any

from mtperception.labels import OVERHEAD, TRAVERSABLE
from mtperception.messages.presentation import UNLABELED_ID, Presentation

STRUCTURE = ('wall', 'window', 'door', 'building', 'floor', 'ceiling', 'road', 'sidewalk', 'pavement', 'vegetation')
"""Classes that are no objects in a scene graph: what a place is made of."""


def labelspace_fields(presentation: Presentation) -> dict[str, Any]:
    """Fields of the message.

    Returns:
        names: by id, '' where an id has none; invalid: ids to ignore; metadata: JSON with `dynamic_labels` (of
        `mask_classes`), `object_labels` and `surface_places_labels` (what a robot can drive on), as far as the label
        space says what its classes are.
    """
    named = presentation.id_names()
    space, ids = presentation.space, presentation.id_table
    dynamic = [name for name in presentation.settings.mask_classes if name in space.names]
    drivable = space.navigation.get(TRAVERSABLE, ())
    left_out = {*dynamic, *drivable, *space.navigation.get(OVERHEAD, ()), *STRUCTURE}
    roles = {'dynamic_labels': dynamic}
    if space.navigation:
        roles |= {
            'object_labels': [name for name in space.names if name not in left_out],
            'surface_places_labels': drivable,
        }
    of = dict(zip(space.names, ids.tolist(), strict=False))
    return {
        'names': [named.get(id_, '') for id_ in range(max(of.values()) + 1)],
        'invalid': sorted({presentation.unknown_id, UNLABELED_ID}),
        'metadata': json.dumps({role: sorted(of[name] for name in names) for role, names in roles.items()}),
    }
