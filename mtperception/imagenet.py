# SPDX-License-Identifier: Apache-2.0
"""How images are normalised for networks that were pretrained on ImageNet."""

MEAN = (0.485, 0.456, 0.406)
"""Of red, green and blue, from 0 to 1."""
STD = (0.229, 0.224, 0.225)
"""Their standard deviations."""
