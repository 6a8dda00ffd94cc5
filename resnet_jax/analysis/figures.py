"""Figures: files, sizes, colours and axes. The only file that imports matplotlib."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.analysis.text import printable
from resnet_jax.extras import extra

# Okabe & Ito's colours, told apart by colour-blind eyes too, less the yellow that white paper swallows.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES = ("-", "--", ":", "-.")  # one a round of the colours
INCHES, DPI = 8, 160  # the width of a page's text; 1,280 pixels
INSTALL = "pip install 'flax-resnets[plots]'"
# For names that matplotlib's own font has no letters for, where they are installed.
FONTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Noto Sans Arabic",
)


def can_draw() -> bool:
    """Whether matplotlib is installed, and can be imported."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def save_figure(
    out: str | Path, draw: Callable[[Any], None], *, height: float, width: float = INCHES, kinds: Sequence[str]
) -> list[Path]:
    """Saves what `draw` puts into a figure, inches, as OUT.KIND for each of `kinds` ("png", "svg"); their paths.

    A .png or .svg at the end of `out` is dropped. The same numbers give the same files.

    Raises:
      ValueError: matplotlib is not installed.
      OSError: a file cannot be written.
    """
    with extra():
        import matplotlib
        from matplotlib import font_manager
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    installed = set(font_manager.fontManager.get_font_names())
    look: Any = {
        "font.size": 10,
        "font.family": ["DejaVu Sans", *(name for name in FONTS if name in installed)],
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "curves",
        "figure.constrained_layout.w_pad": 0.12,  # inches
    }
    out = Path(out)
    out = out.with_suffix("") if out.suffix in (".png", ".svg") else out
    out.parent.mkdir(parents=True, exist_ok=True)
    paths = [Path(f"{out}.{kind}") for kind in kinds]
    with matplotlib.rc_context(look), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # it is drawn as a box
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        draw(figure)
        for path in paths:
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def plain(axes: Any) -> None:
    """A light grid, and no frame."""
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def against_progress(axes: Any, x: str) -> None:
    """`x` ("steps" or "epochs") along the x axis, from 0 on."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.set_xlabel(x)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=x == "steps", min_n_ticks=1))
    if x == "steps":
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    plain(axes)


def whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def title(figure: Any, text: str) -> None:
    """Above everything, as it is: a name is no formula."""
    if text:
        figure.suptitle("\n".join(map(printable, text.split("\n"))), fontsize=10.5, parse_math=False, wrap=True)


def mark_chance(axes: Any, height: float, text: str = "chance") -> None:
    """A dotted line with its name at the right end; none where it is farther from all lines than they are apart."""
    low, high = axes.dataLim.intervaly
    if not low - (high - low) <= height <= high + (high - low):
        return
    axes.axhline(height, color="0.45", linestyle=(0, (1, 2)), linewidth=1.2, zorder=1)
    axes.autoscale_view(scalex=False)
    axes.annotate(
        text, (1, height), xycoords=("axes fraction", "data"), xytext=(0, 2), textcoords="offset points",
        ha="right", va="bottom", fontsize=8, color="0.35",
    )  # fmt: skip


Line = tuple[Any, Any]  # xs, ys


def hidden_under(
    lines: Sequence[Line], *, span: float | None = None, share: float = 0.75, tolerance: float = 0.01
) -> list[int]:
    """How many later lines each line lies under, and so has to be drawn wider by.

    One is under another if at least `share` of its points are closer to it than `tolerance` of `span`, the range of the
    axis (None: of all ys).
    """
    near = tolerance * (span_of(lines) if span is None else span)

    def covers(under: Line, over: Line) -> bool:
        if not len(under[0]) or not len(over[0]):
            return False
        there = np.interp(under[0], over[0], over[1], left=np.nan, right=np.nan)
        return float(np.mean(np.abs(there - under[1]) <= near)) >= share

    return [sum(covers(line, other) for other in lines[i + 1 :]) for i, line in enumerate(lines)]


def span_of(lines: Iterable[Line]) -> float:
    """The range of all finite ys."""
    values = np.concatenate([np.zeros(0), *(np.asarray(ys, float) for _, ys in lines)])
    values = values[np.isfinite(values)]
    return float(np.ptp(values)) if values.size else 0.0


def shorten(text: str, length: int) -> str:
    """The end of a text that is too long."""
    return text if len(text) <= length else "..." + text[3 - length :]
