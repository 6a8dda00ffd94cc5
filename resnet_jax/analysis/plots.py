"""Drawing of what the other files here compute. The only file that imports matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.analysis.curves import Curve
from resnet_jax.analysis.flow import Flow

# Okabe & Ito's colours, told apart by colour-blind eyes too, less the yellow that white paper swallows.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES = ("-", "--", ":", "-.")  # one a round of the colours
INCHES, DPI = 8, 100  # 800 pixels wide


def draw_curves(curves: Sequence[Curve], out: str | Path) -> list[Path]:
    """Loss and top-1 against steps, to OUT.png and OUT.svg (.png or .svg at the end of `out` is dropped); their paths.

    Raises:
      ValueError: matplotlib is not installed. So do all functions here.
    """
    labels = [_shortened(curve.label) for curve in curves]
    columns = max(1, min(len(labels), 84 // (max(map(len, labels)) + 8)))  # what a line holds

    def draw(figure: Any) -> None:
        loss, top1 = figure.subplots(1, 2)
        lines = [_draw(loss, top1, curve, i) for i, curve in enumerate(curves)]
        loss.set_ylabel("loss (nats)")
        loss.set_yscale("log" if _wide(curves) else "linear")
        top1.set_ylabel("top-1 (%)")
        for axes in (loss, top1):
            _against_steps(axes)
        legend = figure.legend(
            lines, map(str, range(len(labels))), loc="outside lower center", ncols=columns,
            title="thin: train, thick: test", title_fontsize=9, fontsize=9, handlelength=3, frameon=False,
        )  # fmt: skip
        for text, label in zip(legend.get_texts(), labels, strict=True):
            # Set here, as a name is no formula ("$") and is not left out ("_run").
            text.set_parse_math(False)
            text.set_text(label)

    return _saved(out, 4.1 + 0.19 * math.ceil(len(labels) / columns), draw)


def draw_errors(kinds: Mapping[str, Mapping[int, Sequence[Curve]]], out: str | Path) -> list[Path]:
    """Training error (dashed) and test error against steps, a panel a kind of net, a colour a depth.

    Means over the curves of a depth, which are of several seeds. He et al. 2015, figures 1 and 6.
    """

    def draw(figure: Any) -> None:
        panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
        for axes, (kind, depths) in zip(panels, kinds.items(), strict=True):
            for i, (depth, curves) in enumerate(sorted(depths.items())):
                color = COLORS[i % len(COLORS)]
                steps, train = _mean([(curve.train_steps, curve.train_top1) for curve in curves])
                axes.plot(steps, 100 * (1 - train), "--." if len(steps) == 1 else "--", color=color, linewidth=1)
                steps, test = _mean([(curve.test_steps, curve.test_top1) for curve in curves])
                axes.plot(steps, 100 * (1 - test), "o-", color=color, markersize=3, label=f"{depth}")
            axes.set_title(kind)
            _against_steps(axes)
            axes.legend(title="layers", fontsize=9, title_fontsize=9, frameon=False)
        panels[0].set_ylabel("error (%)\ndashed: training, solid: test")
        panels[0].set_ylim(bottom=0)

    return _saved(out, 3.6, draw)


def draw_responses(nets: Mapping[str, Sequence[float]], out: str | Path) -> list[Path]:
    """Standard deviations of layer responses: in the order of the layers, and by size. He et al. 2015, figure 7."""

    def draw(figure: Any) -> None:
        from matplotlib.ticker import MaxNLocator

        ordered, by_size = figure.subplots(2, 1)
        for i, (name, values) in enumerate(nets.items()):
            look = {
                "color": COLORS[i % len(COLORS)],
                "linestyle": STYLES[i // len(COLORS) % len(STYLES)],
                "label": name,
            }
            ordered.plot(range(1, len(values) + 1), values, **look)
            by_size.plot(range(1, len(values) + 1), sorted(values, reverse=True), **look)
        ordered.set_xlabel("layer, from the image on")
        by_size.set_xlabel("layer, by size")
        for axes in (ordered, by_size):
            axes.set_ylabel("standard deviation\nof the response")
            axes.set_ylim(bottom=0)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            _plain(axes)
        ordered.legend(ncols=3, fontsize=9, frameon=False)

    return _saved(out, 5.5, draw)


def draw_flow(flow: Flow, out: str | Path, title: str = "") -> list[Path]:
    """Norms of gradients by the outputs of blocks, depth against steps; and by the parameters, means over records."""

    def draw(figure: Any) -> None:
        from matplotlib.colors import LogNorm

        heat, bars = figure.subplots(1, 2, width_ratios=(3, 2))
        values = np.where(flow.activations > 0, flow.activations, np.nan)
        # A record is of the steps since the one before it.
        picture = heat.pcolormesh([0, *flow.steps], np.arange(len(flow.outputs) + 1) - 0.5, values.T, norm=LogNorm())
        low, high = picture.get_clim()
        bar = figure.colorbar(picture, ax=heat, label="norm of dL / d output", location="top", format="{x:.2g}")
        bar.set_ticks(np.geomspace(low, high, 5))
        bar.minorticks_off()
        heat.set_ylabel("block, from the image on")
        _ticked(heat, flow.outputs)
        _against_steps(heat)
        heat.grid(False)
        bars.barh(range(len(flow.parts)), np.nanmean(flow.parameters, axis=0), color=COLORS[0])
        bars.set_xlabel("norm of dL / d parameters, mean")
        _ticked(bars, flow.parts)
        _plain(bars)
        if title:
            figure.suptitle(title, parse_math=False)

    return _saved(out, 4.5, draw)


def draw_lines(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]],
    out: str | Path,
    *,
    x: str,
    y: str,
    columns: int = 3,
) -> list[Path]:
    """A panel each of lines by name, (xs, ys); the ys on one logarithmic axis."""
    rows = math.ceil(len(panels) / columns)

    def draw(figure: Any) -> None:
        grid = figure.subplots(rows, min(columns, len(panels)), sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_axis_off()
        for axes, (title, lines) in zip(grid.flat, panels.items(), strict=False):
            for i, (name, (xs, ys)) in enumerate(lines.items()):
                look: Any = {"color": COLORS[i % len(COLORS)], "linestyle": STYLES[i % len(STYLES)]}
                axes.plot(xs, ys, marker="o", markersize=4, label=name, **look)
            axes.set_title(title, fontsize=10)
            axes.set_yscale("log")
            axes.set_xlabel(x)
            axes.set_xticks(sorted({x for xs, _ in lines.values() for x in xs}))
            _plain(axes)
        for row in grid:
            row[0].set_ylabel(y)
        grid.flat[0].legend(fontsize=9, frameon=False)

    return _saved(out, 0.6 + 2.6 * rows, draw)


def draw_ways(ways: Mapping[str, Sequence[float]], out: str | Path, *, y: str, title: str) -> list[Path]:
    """Shares in per cent: a dot for each seed, and a bar for their mean."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for i, values in enumerate(ways.values()):
            axes.bar(i, 100 * np.mean(values), color=COLORS[i], alpha=0.35, width=0.6)
            spots = i + np.linspace(-0.15, 0.15, len(values)) * (len(values) > 1)
            axes.plot(spots, 100 * np.array(values), "o", color=COLORS[i], markersize=5)
        axes.set_xticks(range(len(ways)), list(ways))
        axes.set_ylabel(f"{y} (%)\ndots: seeds, bars: their means")
        axes.set_title(title, fontsize=10)
        _plain(axes)
        axes.grid(visible=False, axis="x")

    return _saved(out, 3.4, draw)


def _saved(out: str | Path, height: float, draw: Callable[[Any], None]) -> list[Path]:
    """What `draw` puts into a figure of `height` inches, as OUT.png and OUT.svg."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError(f"matplotlib is not installed: pip install 'flax-resnets[plots]' ({error})") from None
    # Text stays text in the SVG, and the same numbers give the same file.
    look: Any = {"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "curves"}
    look["figure.constrained_layout.w_pad"] = 0.12  # inches
    out = Path(out)
    out = out.with_suffix("") if out.suffix in (".png", ".svg") else out
    out.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(look):
        figure = Figure(figsize=(INCHES, height), dpi=DPI, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        draw(figure)
        paths = [Path(f"{out}.png"), Path(f"{out}.svg")]
        figure.savefig(paths[0])
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def _mean(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """At the steps that all (steps, values) have."""
    steps = reduce(np.intersect1d, [steps for steps, _ in curves])
    return steps, np.mean([values[np.isin(own, steps)] for own, values in curves], axis=0)


def _against_steps(axes: Any) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.set_xlabel("steps")
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    _plain(axes)


def _plain(axes: Any) -> None:
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _ticked(axes: Any, names: Sequence[str]) -> None:
    """Names along the y axis, a dozen at most."""
    every = range(0, len(names), math.ceil(len(names) / 12))
    axes.set_yticks(list(every), [names[i].replace("_block", ".") for i in every], fontsize=8)
    axes.invert_yaxis()


def _draw(loss: Any, top1: Any, curve: Curve, i: int) -> Any:
    """Draws run `i` into both axes; returns its line for the legend."""
    look = {"color": COLORS[i % len(COLORS)], "linestyle": STYLES[i // len(COLORS) % len(STYLES)]}
    thin = look | {"linewidth": 0.8, "alpha": 0.6, "marker": "." if len(curve.train_steps) == 1 else ""}
    # Above every thin line; a dozen markers, as more run together.
    thick = look | {"linewidth": 2, "marker": "o", "markersize": 4, "zorder": 3}
    thick["markevery"] = math.ceil(max(1, len(curve.test_steps)) / 12)
    loss.plot(curve.train_steps, curve.train_loss, **thin)
    top1.plot(curve.train_steps, 100 * curve.train_top1, **thin)
    top1.plot(curve.test_steps, 100 * curve.test_top1, **thick)
    return loss.plot(curve.test_steps, curve.test_loss, **thick)[0]


def _wide(curves: Sequence[Curve]) -> bool:
    """Whether the losses span more than two decades, and all have a logarithm."""
    losses = np.concatenate([loss for curve in curves for loss in (curve.train_loss, curve.test_loss)])
    losses = losses[np.isfinite(losses)]
    return losses.size > 0 and losses.min() > 0 and losses.max() > 100 * losses.min()


def _shortened(label: str, length: int = 76) -> str:
    return label if len(label) <= length else "..." + label[3 - length :]
