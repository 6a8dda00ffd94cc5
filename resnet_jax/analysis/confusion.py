"""Pictures of the confusion between classes: the matrix, and a sheet of mistakes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.analysis.figures import INCHES, save_figure, shorten, title
from resnet_jax.text import printable

CELLS = 30  # classes in a reduced matrix
COLUMNS = 6
SHARES = (0, 5, 10, 20, 40, 60, 80, 100)  # per cent, ticks of the colour bar


def draw_confusion(matrix: np.ndarray, classes: Sequence[str], out: str | Path, *, heading: str) -> list[Path]:
    """Draws counts by true class (rows) and predicted class, int [K, K], to OUT.png and OUT.svg.

    Colours show the share of the row. More than 30 classes are reduced to the 30 with the most mistakes and the rest.

    Raises:
      ValueError: matplotlib is not installed.
    """
    matrix, names = reduced(matrix, [printable(name) for name in classes])
    size = len(names)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    inches = min(8.0, max(4.2, 2.2 + 0.42 * size))
    font = 9 if size <= 12 else 7 if size <= 20 else 5.5
    labels = [shorten(name, 32 if size <= 12 else 18) for name in names]
    longest = max(map(len, labels))
    for_names = 0.05 * max(0, longest - 12)  # inches

    def draw(figure: Any) -> None:
        title(figure, heading)
        axes = figure.subplots()
        picture = axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)  # the root shows rare mistakes
        upright = 90 if size * longest > 60 else 0
        axes.set_xticks(range(size), labels, fontsize=font + 0.5, rotation=upright, parse_math=False)
        axes.set_yticks(range(size), labels, fontsize=font + 0.5, parse_math=False)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        for i, j in zip(*np.nonzero(matrix), strict=True):
            axes.text(
                j, i, f"{matrix[i, j]}", ha="center", va="center", fontsize=font if matrix[i, j] < 1000 else font - 1.5,
                color="white" if shares[i, j] > 0.35 else "black",
            )  # fmt: skip
        axes.spines[:].set_color("0.8")
        bar = figure.colorbar(picture, ax=axes, label="share of the true class (%)", shrink=0.7)
        bar.set_ticks([math.sqrt(x / 100) for x in SHARES], labels=map(str, SHARES))

    return save_figure(out, draw, width=inches + 1 + for_names, height=inches + for_names, kinds=("png", "svg"))


def reduced(matrix: np.ndarray, names: Sequence[str], most: int = CELLS) -> tuple[np.ndarray, list[str]]:
    """The matrix of the `most` classes with the most mistakes, the other classes merged: int [K, K] -> int [k, k].

    Mistakes count for the true and for the predicted class. Returns the names too. The sum of the counts is unchanged.
    """
    if len(names) <= most + 1:
        return matrix, list(names)
    wrong = matrix.sum(0) + matrix.sum(1) - 2 * matrix.diagonal()
    chosen = np.sort(np.argsort(-wrong, kind="stable")[:most])
    group = np.full(len(names), most)
    group[chosen] = np.arange(most)
    sums = np.zeros((most + 1, most + 1), matrix.dtype)
    np.add.at(sums, (group[:, None], group[None, :]), matrix)
    return sums, [*(names[k] for k in chosen), f"{len(names) - most:,} others"]


def draw_mistakes(
    images: Sequence[np.ndarray], captions: Sequence[tuple[str, str, float]], out: str | Path, *, heading: str
) -> list[Path]:
    """Draws images uint8 [H, W, 1 or 3] with true class, predicted class and its probability to OUT.png.

    Raises:
      ValueError: matplotlib is not installed.
    """
    aspect = images[0].shape[1] / images[0].shape[0]
    columns = COLUMNS if aspect < 1.4 else 4 if aspect < 2.5 else 3  # wide ones are of sequences
    rows = math.ceil(len(images) / columns)
    most = 17 * COLUMNS // columns  # letters of a name
    inches = 1.65 if columns == COLUMNS else 0.45 + INCHES / columns / aspect

    def draw(figure: Any) -> None:
        title(figure, heading)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, image, (label, predicted, share) in zip(grid, images, captions, strict=False):
            grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[-1] == 1 else {}
            blocky = max(image.shape[:2]) <= 64
            axes.imshow(
                image.squeeze(-1) if grey else image, interpolation="nearest" if blocky else "antialiased", **grey
            )
            text = f"{_caption(label, most)} →\n{_caption(predicted, most)}, {100 * share:.0f} %"
            axes.set_title(text, fontsize=7.5, pad=3, parse_math=False, loc="left")

    return save_figure(out, draw, height=0.5 + inches * rows, kinds=("png",))


def _caption(name: str, most: int) -> str:
    name = printable(name)
    return name if len(name) <= most else f"{name[: most - 3]}..."
