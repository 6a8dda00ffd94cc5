"""Draws the loss, metrics and errors of runs: training dashed, tests solid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.analysis.comparison import (
    Progress,
    common_chance,
    common_metric,
    common_progress,
    mean_error,
    needs_log_axis,
    points,
    title_and_labels,
)
from resnet_jax.analysis.curves import Curve
from resnet_jax.analysis.figures import (
    COLORS,
    WIDER,
    against_progress,
    hidden_under,
    mark_chance,
    save_figure,
    shorten,
    title,
)
from resnet_jax.text import printable

TRAIN: dict[str, Any] = {"linestyle": (0, (4, 1.5)), "linewidth": 1}
TEST: dict[str, Any] = {"linestyle": "-", "linewidth": 1.8, "markersize": 4}
MARKERS = ("o", "s", "^", "D")
MOST_MARKERS = 12  # on a line; more would merge
LABEL, LINE = 76, 84  # letters in a label and in a line of the legend


def draw_curves(
    curves: Sequence[Curve],
    out: str | Path,
    *,
    x: Progress | None = None,
    metric: str | None = None,
    metric_title: str | None = None,
) -> list[Path]:
    """Draws loss and a metric of training (dashed) and tests (solid) to OUT.png and OUT.svg; returns the paths.

    Args:
      x: the unit of the x axis; None: epochs if every record has them, else steps.
      metric: None: top1 where a run has it, else the first metric of its records. Before any metric is recorded, the
        loss is drawn alone.
      metric_title: text of its axis; None: its name.

    Raises:
      ValueError: matplotlib is not installed, as in all functions here; x="epochs" for a run without epochs; runs
        without the same metric.
    """
    metric, axis = common_metric(curves, metric), common_progress(curves, x)
    heading, labels = title_and_labels(curves)
    labels = [shorten(printable(label), LABEL) for label in labels]
    columns = max(1, min(len(labels), LINE // (max(map(len, labels)) + 8)))  # entries in a line of the legend
    rows = math.ceil(len(labels) / columns) if len(curves) > 1 else 0
    is_top1, is_log = metric == "top1", needs_log_axis(curves)
    chance = common_chance(curves) if is_top1 else None

    def draw(figure: Any) -> None:
        title(figure, heading)
        panels = figure.subplots(1, 1 if metric is None else 2, squeeze=False)[0]
        loss = panels[0]
        _draw_lines(loss, curves, "loss", axis, is_log=is_log)
        loss.set_ylabel("loss (nats)" if is_top1 else "loss")
        loss.set_yscale("log" if is_log else "linear")
        if metric is not None:
            _draw_lines(panels[1], curves, metric, axis)
            panels[1].set_ylabel("top-1 (%)" if is_top1 else metric_title or metric, parse_math=False)
        if chance is not None:
            mark_chance(loss, -math.log(chance))
            mark_chance(panels[1], 100 * chance)
        _label_splits(loss, len(curves))
        if len(curves) > 1:
            _label_runs(figure, loss, labels, columns)

    return save_figure(out, draw, height=4.0 + 0.19 * rows, kinds=("png", "svg"))


def _draw_lines(axes: Any, curves: Sequence[Curve], name: str, x: Progress, *, is_log: bool = False) -> None:
    """Draws the loss or a metric of all runs into one panel; top-1 in per cent."""
    for split, look in (("train", TRAIN), ("test", TEST)):
        lines = [points(curve, split, x, name) for curve in curves]
        unders = hidden_under([(xs, np.log(ys) if is_log else ys) for xs, ys in lines])
        for i, ((xs, ys), under) in enumerate(zip(lines, unders, strict=True)):
            style = _visible(look, split, under) | _look(i, len(curves), split)
            style["markevery"] = math.ceil(max(1, len(xs)) / MOST_MARKERS)
            if len(xs) == 1:
                style.setdefault("marker", ".")
            axes.plot(xs, 100 * ys if name == "top1" else ys, **style)
    against_progress(axes, x)


def _label_splits(axes: Any, runs: int) -> None:
    """Adds a legend of training and tests."""
    grey = {} if runs == 1 else {"color": "0.3"}
    handles = [
        _handle(axes, look | _look(0, runs, split) | grey | {"label": label})
        for split, look, label in (("train", TRAIN, "training"), ("test", TEST, "test"))
    ]
    axes.legend(handles=handles, fontsize=9, frameon=False, handlelength=3)


def _label_runs(figure: Any, axes: Any, labels: Sequence[str], columns: int) -> None:
    """Adds a legend of runs below the panels."""
    handles = [_handle(axes, TEST | _look(i, len(labels), "test")) for i in range(len(labels))]
    legend = figure.legend(
        handles, map(str, range(len(labels))), loc="outside lower center", ncols=columns,
        fontsize=9, handlelength=3, frameon=False,
    )  # fmt: skip
    for text, label in zip(legend.get_texts(), labels, strict=True):
        # Set here: matplotlib would parse "$" as a formula and hide a label that starts with "_".
        text.set_parse_math(False)
        text.set_text(label)


def _visible(look: Mapping[str, Any], split: str, under: int) -> dict[str, Any]:
    """`look` wider for each line above; solid lines above dashed ones, narrow ones above wide ones."""
    return {
        **look,
        "linewidth": look["linewidth"] + WIDER * under,
        "zorder": (3 if split == "test" else 2) - 0.1 * under,
    }


def _handle(axes: Any, look: Mapping[str, Any]) -> Any:
    """A line for the legend only."""
    return axes.plot([], [], **look)[0]


def _look(i: int, runs: int, split: str) -> dict[str, Any]:
    """Colour of run `i` (of the split, for a single run), and the marker of its tests."""
    color = COLORS[(split == "test") if runs == 1 else i % len(COLORS)]
    return {"color": color} | ({"marker": MARKERS[i // len(COLORS) % len(MARKERS)]} if split == "test" else {})


def draw_errors(
    kinds: Mapping[str, Mapping[int, Sequence[Curve]]], out: str | Path, *, chance: float | None = None
) -> list[Path]:
    """Draws training error (dashed) and test error against epochs, one panel per kind of net, one colour per depth.

    Each line is the mean over the curves of a depth, one per seed. He et al. 2015, figures 1 and 6.

    Args:
      chance: the error of guessing.
    """
    every = sorted({depth for depths in kinds.values() for depth in depths})
    color = {depth: COLORS[i % len(COLORS)] for i, depth in enumerate(every)}

    def draw(figure: Any) -> None:
        panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
        for axes, (kind, depths) in zip(panels, kinds.items(), strict=True):
            ordered = sorted(depths.items())
            for split, look in (("train", TRAIN), ("test", TEST)):
                lines = [mean_error(curves, split) for _, curves in ordered]
                unders = hidden_under(lines, span=100)
                for (depth, _), (xs, ys), under in zip(ordered, lines, unders, strict=True):
                    style = _visible(look, split, under) | {"color": color[depth]}
                    style["marker"] = "o" if split == "test" else "." if len(xs) == 1 else ""
                    axes.plot(xs, ys, **style)
            axes.set_title(kind, fontsize=11)
            against_progress(axes, "epochs")
            if chance is not None:
                mark_chance(axes, 100 * chance)
        handles = [_handle(panels[0], {"color": color[depth], "label": f"{depth} layers"}) for depth in every]
        grey = {"color": "0.3"}
        handles += [_handle(panels[0], TRAIN | grey | {"label": "training"})]
        handles += [_handle(panels[0], TEST | grey | {"label": "test", "marker": "o"})]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9, handlelength=3, frameon=False
        )
        panels[0].set_ylabel("error (%)")
        panels[0].set_ylim(bottom=-1)  # a line at 0 stays visible

    return save_figure(out, draw, height=3.9, kinds=("png", "svg"))
