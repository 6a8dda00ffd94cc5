"""Drawing of what the other files here compute. The only file that imports matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.analysis.curves import Curve

# Okabe & Ito's colours, told apart by colour-blind eyes too, less the yellow that white paper swallows.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES = ("-", "--", ":", "-.")  # one a round of the colours
INCHES, DPI = 8, 100  # 800 pixels wide


def draw_curves(curves: Sequence[Curve], out: str | Path) -> list[Path]:
    """Loss and top-1 against steps, to OUT.png and OUT.svg (.png or .svg at the end of `out` is dropped); their paths.

    Raises:
      ValueError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import EngFormatter, MaxNLocator
    except ImportError as error:
        raise ValueError(f"matplotlib is not installed: pip install 'flax-resnets[plots]' ({error})") from None
    labels = [_shortened(curve.label) for curve in curves]
    columns = max(1, min(len(labels), 84 // (max(map(len, labels)) + 8)))  # what a line holds
    # Text stays text in the SVG, and the same curves give the same file.
    look: Any = {"font.size": 10, "svg.fonttype": "none", "svg.hashsalt": "curves"}
    look["figure.constrained_layout.w_pad"] = 0.12  # inches
    out = Path(out)
    out = out.with_suffix("") if out.suffix in (".png", ".svg") else out
    out.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(look):
        height = 4.1 + 0.19 * math.ceil(len(labels) / columns)
        figure = Figure(figsize=(INCHES, height), dpi=DPI, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        loss, top1 = figure.subplots(1, 2)
        lines = [_draw(loss, top1, curve, i) for i, curve in enumerate(curves)]
        loss.set_ylabel("loss (nats)")
        loss.set_yscale("log" if _wide(curves) else "linear")
        top1.set_ylabel("top-1 (%)")
        for axes in (loss, top1):
            axes.set_xlabel("steps")
            axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            axes.grid(color="0.9")
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
        legend = figure.legend(
            lines, map(str, range(len(labels))), loc="outside lower center", ncols=columns,
            title="thin: train, thick: test", title_fontsize=9, fontsize=9, handlelength=3, frameon=False,
        )  # fmt: skip
        for text, label in zip(legend.get_texts(), labels, strict=True):
            # Set here, as a name is no formula ("$") and is not left out ("_run").
            text.set_parse_math(False)
            text.set_text(label)
        paths = [Path(f"{out}.png"), Path(f"{out}.svg")]
        figure.savefig(paths[0])
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


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
