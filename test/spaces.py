# SPDX-License-Identifier: Apache-2.0
"""A small label space of one's own."""

from mtperception.labels import load_label_space

SMALL = """\
classes:
  - {name: wall, color: [1, 2, 3]}
  - {name: floor mat, color: [4, 5, 6]}
  - {name: sky, color: [70, 130, 180]}
navigation:
  traversable: [floor mat]
  overhead: [sky]
"""


def small_space(folder, content=SMALL):
    path = folder / 'small.yaml'
    path.write_text(content, encoding='utf-8')
    return load_label_space(str(path))
