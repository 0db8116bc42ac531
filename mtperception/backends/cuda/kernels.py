# SPDX-License-Identifier: Apache-2.0
"""Maps of full size straight from the raw outputs of a network, as Triton kernels. Importing this needs Triton.

A program makes a piece of one row of a map. What the maps mean is said in `mtperception.pipeline`; here the same is
done without a full-resolution map of each class ever being in memory.
"""

# Triton reads the annotations of a kernel's arguments as their types on the device.
# ruff: noqa: ANN001, ANN202

import torch
import triton
import triton.language as tl

BLOCK = 128
"""Pixels of a row that one program makes."""

PROBABILITY_BLOCK = 32
"""Pixels of the network's resolution for which one program finds the largest probability."""


def labels_and_confidence(
    logits: torch.Tensor, size: tuple[int, int], first_class: int, temperature: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """The class of the largest upsampled logit, and the largest probability, upsampled.

    Args:
        logits: N,C,h,w, of any floating type and memory layout; channels last is the fast one.
        size: height and width of the maps.
        first_class: the class of the first logit, added to the labels.
        temperature: of the softmax that probabilities are taken of.

    Returns:
        Labels and confidence (0..255, half a step is rounded up), uint8 N,H,W each. The first class wins a tie.
    """
    count, classes, *source = logits.shape
    largest = logits.new_empty((count, *source), dtype=torch.float32)
    _largest_probability[(triton.cdiv(largest.numel(), PROBABILITY_BLOCK),)](
        logits,
        largest,
        largest.numel(),
        *source,
        *logits.stride(),
        1.0 / temperature,
        classes=classes,
        padded_classes=triton.next_power_of_2(classes),
        block=PROBABILITY_BLOCK,
    )
    labels = logits.new_empty((count, *size), dtype=torch.uint8)
    confidence = torch.empty_like(labels)
    _labels_and_confidence[_grid(labels)](
        logits,
        largest,
        labels,
        confidence,
        first_class,
        *size,
        *source,
        *_scales(source, size),
        *logits.stride(),
        classes=classes,
        block=BLOCK,
    )
    return labels, confidence


def depth(raw: torch.Tensor, size: tuple[int, int], depth_range: tuple[float, float]) -> torch.Tensor:
    """The absolute value of the upsampled raw depth N,1,h,w, clamped to a range: float32 N,H,W."""
    count, _, *source = raw.shape
    metres = raw.new_empty((count, *size), dtype=torch.float32)
    image, _, row, column = raw.stride()
    _depth[_grid(metres)](
        raw, metres, *depth_range, *size, *source, *_scales(source, size), image, row, column, block=BLOCK
    )
    return metres


def _grid(map_: torch.Tensor) -> tuple[int]:
    """One program for each piece of each row of a map N,H,W. One axis: the others end at 65535."""
    count, height, width = map_.shape
    return (count * height * triton.cdiv(width, BLOCK),)


def _scales(source: list[int], size: tuple[int, int]) -> tuple[float, float]:
    return source[0] / size[0], source[1] / size[1]


@triton.jit
def _largest_probability(
    logits,
    largest,
    pixels,
    source_height,
    source_width,
    image_stride,
    class_stride,
    row_stride,
    column_stride,
    sharpness,
    classes: tl.constexpr,
    padded_classes: tl.constexpr,
    block: tl.constexpr,
):
    """Largest value of the softmax of logits x sharpness, for each pixel, into `largest`, float32, contiguous."""
    pixel = tl.program_id(0) * block + tl.arange(0, block)
    # Beyond the last pixel, that one again: a result that is not stored, of logits that are there.
    within = tl.minimum(pixel, pixels - 1)
    column = within % source_width
    row = within // source_width % source_height
    image = (within // source_width // source_height).to(tl.int64)
    index = tl.arange(0, padded_classes)
    place = image * image_stride + row * row_stride + column * column_stride
    values = tl.load(
        logits + place[:, None] + index[None, :] * class_stride, mask=(index < classes)[None, :], other=float('-inf')
    ).to(tl.float32)
    # The largest one's exponential is 1.
    total = tl.sum(tl.exp((values - tl.max(values, axis=1)[:, None]) * sharpness), axis=1)
    tl.store(largest + pixel, 1.0 / total, mask=pixel < pixels)


@triton.jit
def _labels_and_confidence(
    logits,
    largest,
    labels,
    confidence,
    first_class,
    height,
    width,
    source_height,
    source_width,
    row_scale,
    column_scale,
    image_stride,
    class_stride,
    row_stride,
    column_stride,
    classes: tl.constexpr,
    block: tl.constexpr,
):
    line, x = _piece(width, block)
    image = (line // height).to(tl.int64)
    above, below, down = _neighbours(line % height, row_scale, source_height)
    left, right, across = _neighbours(x, column_scale, source_width)

    upper = logits + image * image_stride + above * row_stride
    lower = logits + image * image_stride + below * row_stride
    best = tl.full((block,), float('-inf'), tl.float32)
    label = tl.zeros((block,), tl.int32)
    for index in range(classes):
        channel = index * class_stride
        logit = _sample(upper + channel, lower + channel, left * column_stride, right * column_stride, across, down)
        label = tl.where(logit > best, index, label)
        best = tl.where(logit > best, logit, best)

    image_of_largest = largest + image * source_height * source_width
    probability = _sample(
        image_of_largest + above * source_width, image_of_largest + below * source_width, left, right, across, down
    )
    place = line.to(tl.int64) * width + x
    tl.store(labels + place, (label + first_class).to(tl.uint8), mask=x < width)
    tl.store(confidence + place, (probability * 255 + 0.5).to(tl.int32).to(tl.uint8), mask=x < width)


@triton.jit
def _depth(
    raw,
    metres,
    nearest,
    farthest,
    height,
    width,
    source_height,
    source_width,
    row_scale,
    column_scale,
    image_stride,
    row_stride,
    column_stride,
    block: tl.constexpr,
):
    line, x = _piece(width, block)
    image = (line // height).to(tl.int64)
    above, below, down = _neighbours(line % height, row_scale, source_height)
    left, right, across = _neighbours(x, column_scale, source_width)
    first = raw + image * image_stride
    value = tl.abs(
        _sample(
            first + above * row_stride,
            first + below * row_stride,
            left * column_stride,
            right * column_stride,
            across,
            down,
        )
    )
    # Comparisons let NaN through, as torch.clamp does; tl.minimum would make it a depth.
    value = tl.where(value < nearest, nearest, tl.where(value > farthest, farthest, value))
    tl.store(metres + line.to(tl.int64) * width + x, value, mask=x < width)


@triton.jit
def _piece(width, block: tl.constexpr):
    """The line (of all images, one below the other) and the columns that this program makes."""
    pieces = tl.cdiv(width, block)
    program = tl.program_id(0)
    return program // pieces, program % pieces * block + tl.arange(0, block)


@triton.jit
def _neighbours(index, scale, size):
    """The two source positions around samples, and the weight of the second: half-pixel centres, edges repeated."""
    position = (index.to(tl.float32) + 0.5) * scale - 0.5
    position = tl.minimum(tl.maximum(position, 0.0), size - 1.0)
    first = position.to(tl.int32)
    return first, tl.minimum(first + 1, size - 1), position - first.to(tl.float32)


@triton.jit
def _sample(upper, lower, left, right, across, down):
    """Bilinear samples, float32, between two rows and, in each, between two offsets."""
    top = _between(tl.load(upper + left), tl.load(upper + right), across)
    bottom = _between(tl.load(lower + left), tl.load(lower + right), across)
    return _between(top, bottom, down)


@triton.jit
def _between(first, second, weight):
    first = first.to(tl.float32)
    return first + (second.to(tl.float32) - first) * weight
