# SPDX-License-Identifier: Apache-2.0
"""Models that say something else of themselves than they are."""

import shutil

import yaml

from mtperception.card import CARD, open_model


def model_of_tasks(folder, *tasks):
    """A copy of the default model, in the folder, that says that it knows these tasks only; its path."""
    model = shutil.copytree(open_model('nyuv2_indoor').path, folder / '_and_'.join(tasks))
    card = yaml.safe_load((model / CARD).read_text(encoding='utf-8'))
    card |= {'name': model.name, 'tasks': list(tasks)}
    (model / CARD).write_text(yaml.safe_dump(card), encoding='utf-8')
    return model
