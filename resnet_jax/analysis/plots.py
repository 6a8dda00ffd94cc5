"""Draws training curves, layer responses, gradients and the results of experiments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import numpy as np

from resnet_jax.analysis.curves import Curve
from resnet_jax.analysis.figures import (
    COLORS,
    STYLES,
    against_progress,
    hidden_under,
    mark_chance,
    plain,
    save_figure,
    shorten,
    span_of,
    title,
    whole_numbers,
)
from resnet_jax.analysis.flow import Flow
from resnet_jax.analysis.text import printable

Progress = Literal["epochs", "steps"]
TRAIN: dict[str, Any] = {"linestyle": (0, (4, 1.5)), "linewidth": 1}
TEST: dict[str, Any] = {"linestyle": "-", "linewidth": 1.8, "markersize": 4}
MARKERS = ("o", "s", "^", "D")
WIDER = 2.0  # points of width for each line that covers a line


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
    metric = _common_metric(curves, metric)
    lacking = [curve.label for curve in curves if not curve.has_epochs]
    if x == "epochs" and lacking:
        raise ValueError(f"--x epochs: the records of {lacking[0]} have no epochs; expected --x steps")
    axis = x or ("steps" if lacking else "epochs")
    heading, labels = title_and_labels(curves)
    labels = [shorten(printable(label), 76) for label in labels]
    columns = max(1, min(len(labels), 84 // (max(map(len, labels)) + 8)))  # entries in a line of the legend
    rows = math.ceil(len(labels) / columns) if len(curves) > 1 else 0
    numbers = {curve.classes for curve in curves}
    is_top1 = metric == "top1"
    chance = 1 / count if is_top1 and len(numbers) == 1 and (count := numbers.pop()) else None

    def draw(figure: Any) -> None:
        title(figure, heading)
        names = ["loss"] if metric is None else ["loss", metric]
        panels = figure.subplots(1, len(names), squeeze=False)[0]
        wide = _needs_log_axis(curves)
        for axes, name in zip(panels, names, strict=True):
            for split, look in (("train", TRAIN), ("test", TEST)):
                lines = [_line(curve, split, axis, name) for curve in curves]
                logs = [(xs, np.log(ys) if wide and name == "loss" else ys) for xs, ys in lines]
                for i, ((xs, ys), under) in enumerate(zip(lines, hidden_under(logs), strict=True)):
                    style: dict[str, Any] = look | _look(i, len(curves), split)
                    style["linewidth"] += WIDER * under
                    # Solid above dashed, narrow above wide. More than a dozen markers would merge.
                    style["zorder"] = (3 if split == "test" else 2) - 0.1 * under
                    style["markevery"] = math.ceil(max(1, len(xs)) / 12)
                    if len(xs) == 1:
                        style.setdefault("marker", ".")
                    axes.plot(xs, 100 * ys if name == "top1" else ys, **style)
            against_progress(axes, axis)
        panels[0].set_ylabel("loss (nats)" if is_top1 else "loss")
        panels[0].set_yscale("log" if wide else "linear")
        if metric is not None:
            panels[1].set_ylabel("top-1 (%)" if is_top1 else metric_title or metric, parse_math=False)
        if chance is not None:
            mark_chance(panels[0], -math.log(chance))
            mark_chance(panels[1], 100 * chance)
        grey = {} if len(curves) == 1 else {"color": "0.3"}
        splits = [
            _handle(panels[0], TRAIN | _look(0, len(curves), "train") | grey | {"label": "training"}),
            _handle(panels[0], TEST | _look(0, len(curves), "test") | grey | {"label": "test"}),
        ]
        panels[0].legend(handles=splits, fontsize=9, frameon=False, handlelength=3)
        if len(curves) > 1:
            runs = [_handle(panels[0], TEST | _look(i, len(curves), "test")) for i in range(len(curves))]
            legend = figure.legend(
                runs, map(str, range(len(labels))), loc="outside lower center", ncols=columns,
                fontsize=9, handlelength=3, frameon=False,
            )  # fmt: skip
            for text, label in zip(legend.get_texts(), labels, strict=True):
                # Set here: matplotlib would parse "$" as a formula and hide a label that starts with "_".
                text.set_parse_math(False)
                text.set_text(label)

    return save_figure(out, draw, height=4.0 + 0.19 * rows, kinds=("png", "svg"))


def _common_metric(curves: Sequence[Curve], metric: str | None) -> str | None:
    """The metric that all curves have, of those that have any; None if there is none yet.

    Raises:
      ValueError: a curve has others.
    """
    for curve in curves:
        names = list(curve.metrics["test"])
        if names and metric is None:
            metric = "top1" if "top1" in names else names[0]
        if names and metric not in names:
            raise ValueError(f"expected runs with the metric {metric}, got {curve.label}, which has {', '.join(names)}")
    return metric if any(curve.metrics["test"] for curve in curves) else None


def _line(curve: Curve, split: str, axis: Progress, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(xs, ys) of the loss or a metric of a split; empty where no record has it."""
    xs = curve.progress(split, axis)
    if name == "loss":
        ys: np.ndarray = getattr(curve, f"{split}_loss")
    else:
        ys = curve.metrics[split].get(name, np.full(len(xs), np.nan))
    return (xs, ys) if np.isfinite(ys).any() else (xs[:0], ys[:0])


def _handle(axes: Any, look: Mapping[str, Any]) -> Any:
    """A line for the legend only."""
    return axes.plot([], [], **look)[0]


def _look(i: int, runs: int, split: str) -> dict[str, Any]:
    """Colour of run `i` (of the split, for a single run), and the marker of its tests."""
    color = COLORS[(split == "test") if runs == 1 else i % len(COLORS)]
    return {"color": color} | ({"marker": MARKERS[i // len(COLORS) % len(MARKERS)]} if split == "test" else {})


def title_and_labels(curves: Sequence[Curve]) -> tuple[str, list[str]]:
    """Title for all curves, and a label for each with its net and data where they differ."""
    nets, sets = {curve.net for curve in curves}, {curve.data for curve in curves}
    common = " on ".join(name for names in (nets, sets) if len(names) == 1 for name in names if name)
    details = [[curve.net] * (len(nets) > 1) + [curve.data] * (len(sets) > 1) for curve in curves]
    labels = [
        f"{curve.label} ({', '.join(filter(None, names))})" if any(names) else curve.label
        for curve, names in zip(curves, details, strict=True)
    ]
    if len(curves) == 1:
        return f"{shorten(curves[0].label, 60)}{f': {common}' if common else ''}", labels
    return common or f"{len(curves)} runs", labels


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
                lines = [
                    _mean([(c.progress(split, "epochs"), _error(c, split)) for c in curves]) for _, curves in ordered
                ]
                unders = hidden_under(lines, span=100)
                for (depth, _), (xs, ys), under in zip(ordered, lines, unders, strict=True):
                    style = look | {"color": color[depth], "zorder": (3 if split == "test" else 2) - 0.1 * under}
                    style["linewidth"] += WIDER * under
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


def _error(curve: Curve, split: str) -> np.ndarray:
    top1: np.ndarray = getattr(curve, f"{split}_top1")
    return 100 * (1 - top1)


def draw_responses(kinds: Mapping[str, Mapping[int, Sequence[float]]], out: str | Path) -> list[Path]:
    """Draws the standard deviations of layer responses, in the order of the layers and sorted by size.

    One panel per kind of net, with a logarithmic axis. He et al. 2015, figure 7.
    """

    def draw(figure: Any) -> None:
        grid = figure.subplots(2, len(kinds), sharex="col", sharey=True, squeeze=False)
        span = span_of([((), _log(layers)) for depths in kinds.values() for layers in depths.values()])
        for column, (kind, depths) in enumerate(kinds.items()):
            for axes, by_size in ((grid[0, column], False), (grid[1, column], True)):
                ordered = sorted(depths.items())
                values = [sorted(layers, reverse=True) if by_size else list(layers) for _, layers in ordered]
                lines = [(np.arange(1, len(layers) + 1), _log(layers)) for layers in values]
                for i, ((xs, _), ys, under) in enumerate(
                    zip(lines, values, hidden_under(lines, span=span), strict=True)
                ):
                    axes.plot(
                        xs, ys, color=COLORS[i % len(COLORS)], linewidth=1.2 + WIDER * under,
                        zorder=3 - 0.1 * under, label=f"{ordered[i][0]} layers",
                    )  # fmt: skip
                axes.set_yscale("log")
                plain(axes)
                whole_numbers(axes.xaxis)
            grid[0, column].set_title(kind, fontsize=11)
            grid[0, column].legend(fontsize=8, frameon=False)
            grid[1, column].set_xlabel("layer")
        low, high = grid[0, 0].get_ylim()
        ticks = [digit * 10.0**power for power in range(-3, 4) for digit in (1, 2, 5)]
        ticks = [tick for tick in ticks if low <= tick <= high]
        grid[0, 0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        grid[0, 0].minorticks_off()
        grid[0, 0].set_ylabel("standard deviation of the\nresponse, by layer")
        grid[1, 0].set_ylabel("standard deviation of the\nresponse, by size")

    return save_figure(out, draw, height=5.2, kinds=("png", "svg"))


def draw_flow(flow: Flow, out: str | Path, heading: str = "") -> list[Path]:
    """Draws gradient norms: with respect to block outputs, depth against steps; to parameters, mean over records."""

    def draw(figure: Any) -> None:
        heat, means = figure.subplots(1, 2, width_ratios=(3, 2))
        values = np.where(flow.activations > 0, flow.activations, np.nan)
        # A record covers the steps since the previous one.
        picture = heat.pcolormesh([0, *flow.steps], np.arange(len(flow.outputs) + 1) - 0.5, values.T, norm="log")
        low, high = picture.get_clim()
        bar = figure.colorbar(picture, ax=heat, label="norm of dL / d output", location="top", format="{x:.2g}")
        bar.set_ticks(np.geomspace(low, high, 5))
        bar.minorticks_off()
        heat.set_ylabel("block, from input to output")
        _label_rows(heat, flow.outputs)
        against_progress(heat, "steps")
        heat.grid(False)
        means.plot(np.nanmean(flow.parameters, axis=0), range(len(flow.parts)), "o-", markersize=4, color=COLORS[0])
        means.set_xlabel("norm of dL / d parameters, mean")
        means.set_xscale("log")
        means.set_ylim(-0.5, len(flow.parts) - 0.5)
        _label_rows(means, flow.parts)
        plain(means)
        title(figure, heading)

    return save_figure(out, draw, height=4.5, kinds=("png", "svg"))


def draw_lines(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    out: str | Path,
    *,
    x: str,
    y: str,
    columns: int = 3,
    level: float | None = None,
) -> list[Path]:
    """Draws panels of named lines (xs, ys) with one logarithmic y axis and a dotted line at `level`."""
    rows = math.ceil(len(panels) / columns)

    def draw(figure: Any) -> None:
        grid = figure.subplots(rows, min(columns, len(panels)), sharex=True, sharey=True, squeeze=False)
        span = span_of([(xs, _log(ys)) for lines in panels.values() for xs, ys in lines.values()])
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for axes, (name, lines) in zip(grid.flat, panels.items(), strict=False):
            unders = hidden_under([(xs, _log(ys)) for xs, ys in lines.values()], span=span)
            for i, (label, (xs, ys)) in enumerate(lines.items()):
                look: Any = {"color": COLORS[i % len(COLORS)], "linestyle": STYLES[i % len(STYLES)]}
                look |= {"linewidth": 1.5 + WIDER * unders[i], "zorder": 3 - 0.1 * unders[i]}
                axes.plot(xs, ys, marker="o", markersize=4, label=label, **look)
            if level is not None:
                axes.axhline(level, color="0.45", linestyle=(0, (1, 2)), linewidth=1.2, zorder=1)
            axes.set_title(name, fontsize=10)
            axes.set_yscale("log")
            axes.set_xlabel(x)
            axes.set_xticks(sorted({x for xs, _ in lines.values() for x in xs}))
            plain(axes)
        for row in grid:
            row[0].set_ylabel(y)
        grid.flat[0].legend(fontsize=9, frameon=False)

    return save_figure(out, draw, height=0.6 + 2.6 * rows, kinds=("png", "svg"))


def draw_ways(
    ways: Mapping[str, Sequence[float]], out: str | Path, *, y: str, heading: str, chance: float | None = None
) -> list[Path]:
    """Draws percentages: a dot per seed, a bar for their mean, a line at `chance`, the share of guessing."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for i, values in enumerate(ways.values()):
            mean = 100 * np.mean(values)
            axes.bar(i, mean, color=COLORS[i], alpha=0.35, width=0.6)
            spots = i + np.linspace(-0.15, 0.15, len(values)) * (len(values) > 1)
            axes.plot(spots, 100 * np.array(values), "o", color=COLORS[i], markersize=5)
            axes.annotate(
                f"mean {mean:.1f}", (i, 0), xytext=(0, 4), textcoords="offset points", ha="center", fontsize=9
            )
        if chance is not None:
            mark_chance(axes, 100 * chance, f"chance, {100 * chance:.0f} %")
        axes.set_xlim(-0.5, len(ways) - 0.1)
        axes.set_xticks(range(len(ways)), list(ways))
        axes.set_ylabel(f"{y} (%)\ndots: seeds, bars: their means")
        axes.set_title(heading, fontsize=10)
        plain(axes)
        axes.grid(visible=False, axis="x")

    return save_figure(out, draw, height=3.4, kinds=("png", "svg"))


def _log(values: Any) -> np.ndarray:
    return np.log(np.maximum(values, 1e-30))


def _mean(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of curves (xs, ys) at the xs that all of them have."""
    common = reduce(np.intersect1d, [xs for xs, _ in curves])
    return common, np.mean([ys[np.isin(xs, common)] for xs, ys in curves], axis=0)


def _label_rows(axes: Any, names: Sequence[str]) -> None:
    """Writes names along the y axis, a dozen at most."""
    every = range(0, len(names), math.ceil(len(names) / 12))
    axes.set_yticks(list(every), [names[i].replace("_block", ".") for i in every], fontsize=8)
    axes.invert_yaxis()


def _needs_log_axis(curves: Sequence[Curve]) -> bool:
    """Whether the losses are positive and span more than two decades."""
    losses = np.concatenate([loss for curve in curves for loss in (curve.train_loss, curve.test_loss)])
    losses = losses[np.isfinite(losses)]
    return losses.size > 0 and losses.min() > 0 and losses.max() > 100 * losses.min()
