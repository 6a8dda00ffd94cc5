"""Draws layer responses, gradients and the results of experiments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.analysis.figures import (
    COLORS,
    STYLES,
    WIDER,
    against_progress,
    hidden_under,
    mark_chance,
    plain,
    save_figure,
    span_of,
    title,
    whole_numbers,
)
from resnet_jax.analysis.flow import Flow


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


def _label_rows(axes: Any, names: Sequence[str]) -> None:
    """Writes names along the y axis, a dozen at most."""
    every = range(0, len(names), math.ceil(len(names) / 12))
    axes.set_yticks(list(every), [names[i].replace("_block", ".") for i in every], fontsize=8)
    axes.invert_yaxis()
