"""The networks: one file per encoder, one per paper. Importing this package imports torch."""

from collections.abc import Callable, Sequence

from torch import nn

from mtperception.networks.joint_lw_refinenet import JointLWRefineNet

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    'joint_lw_refinenet': JointLWRefineNet,
}


def create_network(name: str, num_classes: int, tasks: Sequence[str] = ('segmentation', 'depth')) -> nn.Module:
    """Build a network with fresh weights.

    Its forward takes float32 N,3,H,W, ImageNet-normalised, and returns a dict of raw head outputs: `segmentation`
    (N,C,h,w logits), `depth` (N,1,h,w, signed, metres), `normals` (N,3,h,w, not normalised).

    Raises:
        ValueError: if `name` is not one of `NETWORKS`.
    """
    if name not in NETWORKS:
        raise ValueError(f'unknown network {name!r}: expected one of {", ".join(NETWORKS)}')
    return NETWORKS[name](num_classes, tasks)
