# SPDX-License-Identifier: Apache-2.0
"""The checkpoints that the authors of the network published, where they are and what they may be used for."""

from dataclasses import dataclass

from mtperception.download import RemoteFile

REPOSITORY = 'DrSleep/multi-task-refinenet'
COMMIT = '1986999759dfac7d38ed9ccddda5d4f5ba488e82'
SITE = f'https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/weights'
LICENCE = '2-clause BSD for academic usage; for commercial usage, contact the authors'
"""As the README of the repository says."""


@dataclass(frozen=True)
class PublishedWeights:
    """A published checkpoint.

    Attributes:
        git_blob: the id that git gives its content.
        label_space: of its segmentation head.
        what: its tasks and what it was trained on.
    """

    git_blob: str
    label_space: str
    what: str

    @property
    def training(self) -> dict[str, str]:
        """Data and licence, for the card of the imported model."""
        source = f'github.com/{REPOSITORY} at {COMMIT[:12]} (Nekrasov et al., ICRA 2019)'
        return {'data': self.what, 'source': source, 'licence': LICENCE}


PUBLISHED = {
    'ExpNYUD_joint': PublishedWeights(
        '56f5f5a6bc08a64f36e83547140add41baa4216d', 'nyuv2_40', 'labels and depth, NYUv2 with raw frames'
    ),
    'ExpNYUD_three': PublishedWeights(
        '6f412c152600827cabff5e1b66efad50090c16a7', 'nyuv2_40', 'labels, depth and normals, NYUv2 with raw frames'
    ),
    'ExpKITTI_joint': PublishedWeights(
        'd9386a96f748001406c622100ce944333d1967ff', 'kitti_6', 'labels and depth, KITTI'
    ),
    'ExpNYUDKITTI_joint': PublishedWeights(
        '54f57cc2bd15e5cdfa9f3f1eaba9760951218bfa', 'nyuv2_kitti_46', 'labels and depth, NYUv2 and KITTI'
    ),
}
"""By the name of the file."""


def remote_checkpoint(name: str) -> RemoteFile:
    """Where a checkpoint of `PUBLISHED` is, at a fixed commit, with the id that verifies it."""
    return RemoteFile(f'{SITE}/{name}.ckpt', git_blob=PUBLISHED[name].git_blob)
