# SPDX-License-Identifier: Apache-2.0
"""Plots of an evaluation, drawn without a screen."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mtperception.evaluation.depth_profile import DepthProfile
from mtperception.labels import LabelSpace

_BLUE, _GRAY = '#2f6f9f', '#c8d3dc'
_LINES = (_BLUE, '#c0562b', '#4d8b4a', '#7a5195')
_NAMES_FIT = 64
"""A confusion matrix of more classes has no names on its axes."""


def plot_confusion(confusion: np.ndarray, label_space: LabelSpace) -> Figure:
    """Confusion matrix with each row in shares of the true class; classes that do not occur at all are left out.

    Args:
        confusion: int64 C,C: pixels by true class (row) and predicted class (column).
        label_space: its classes.
    """
    present = np.flatnonzero(confusion.sum(axis=1) + confusion.sum(axis=0))
    counts = confusion[np.ix_(present, present)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 3 + 0.2 * len(present)
    figure = Figure(figsize=(size + 0.8, size), layout='constrained')
    axes = figure.add_subplot(xlabel='predicted', ylabel='true')
    image = axes.imshow(shares, cmap='Blues', vmin=0, vmax=1)
    if len(present) <= _NAMES_FIT:
        names = [label_space.names[index] for index in present]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), names, fontsize=8)
    figure.colorbar(image, label='share of the true class', shrink=0.7)
    return figure


def plot_error_by_distance(profile: DepthProfile) -> Figure:
    """RMSE and bias over the true distance, above the number of pixels at that distance."""
    centres = (profile.distances[:-1] + profile.distances[1:]) / 2
    width = profile.distances[1] - profile.distances[0]
    figure = Figure(figsize=(7, 4.5), layout='constrained')
    error, count = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    error.axhline(0, color='black', linewidth=0.5)
    error.plot(centres, profile.rmse, 'o-', color=_BLUE, label='RMSE')
    error.plot(centres, profile.bias, 's--', color='#c0562b', label='bias (prediction less truth)')
    error.set_ylabel('metres')
    error.grid(alpha=0.3)
    error.legend()
    count.bar(centres, profile.pixels / max(profile.pixels.sum(), 1) * 100, 0.9 * width, color=_GRAY)
    count.set(xlabel='true distance, metres', ylabel='% of pixels', xlim=(0, profile.distances[-1]))
    return figure


def plot_depth_errors(profile: DepthProfile) -> Figure:
    """Histogram of the signed error of depth over all pixels."""
    figure = Figure(figsize=(7, 3.2), layout='constrained')
    axes = figure.add_subplot(xlabel='prediction less truth, metres', ylabel='% of pixels')
    axes.stairs(profile.error_pixels / max(profile.error_pixels.sum(), 1) * 100, profile.errors, fill=True, color=_BLUE)
    axes.axvline(0, color='black', linewidth=0.5)
    axes.grid(alpha=0.3)
    return figure


def plot_image_scores(values: Sequence[float], label: str) -> Figure:
    """Histogram of a metric over the images, with its median."""
    figure = Figure(figsize=(7, 3.2), layout='constrained')
    axes = figure.add_subplot(xlabel=f'{label} of an image', ylabel='images')
    axes.hist(values, bins=30, color=_BLUE)
    median = float(np.median(values))
    axes.axvline(median, color='black', linestyle='--', label=f'median {median:.3g}')
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_axisbelow(True)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def plot_over_time(seconds: np.ndarray, lines: Mapping[str, np.ndarray], label: str) -> Figure:
    """Figures of each frame over the time of a recording.

    Args:
        seconds: float64 N.
        lines: by what they are, float64 N; NaN where a frame has none, which leaves a gap.
        label: of the vertical axis.
    """
    figure = Figure(figsize=(9, 3.2), layout='constrained')
    axes = figure.add_subplot(xlabel='seconds', ylabel=label)
    for (name, values), color in zip(lines.items(), _LINES, strict=False):
        axes.plot(seconds, values, '.-', color=color, label=name, markersize=4, linewidth=1)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def save_plot(out: Path, name: str, title: str, figure: Figure) -> dict[str, str]:
    """Write a plot into the folder `plots` of a report; returns what a page needs to show it."""
    path = f'plots/{name}.png'
    figure.savefig(out / path, dpi=110)
    return {'title': title, 'path': path}
