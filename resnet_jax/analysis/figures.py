"""Figure files, sizes, colours and axes. The only file that imports matplotlib."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.extras import extra
from resnet_jax.text import printable

# Okabe and Ito's colours, which colour-blind readers can distinguish, without the yellow, which is pale on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES = ("-", "--", ":", "-.")  # the next one for each round of colours
WIDER = 2.0  # points of width for each line that covers a line: see `hidden_under`
INCHES, DPI = 8, 160  # a column of text; 1,280 pixels
INSTALL = "pip install 'flax-resnets[plots]'"
# Fallback fonts, if installed, for letters that matplotlib's default font lacks.
FONTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Noto Sans Arabic",
)


def can_draw() -> bool:
    """Whether matplotlib can be imported."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def save_figure(
    out: str | Path, draw: Callable[[Any], None], *, height: float, width: float = INCHES, kinds: Sequence[str]
) -> list[Path]:
    """Saves the figure that `draw` fills as OUT.KIND for each of `kinds` ("png", "svg"); returns the paths.

    `width` and `height` are in inches. A suffix .png or .svg of `out` is ignored. Equal numbers give equal files.

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
        "svg.fonttype": "none",  # keep text as text
        "svg.hashsalt": "curves",
        "figure.constrained_layout.w_pad": 0.12,  # inches
    }
    out = Path(out)
    out = out.with_suffix("") if out.suffix in (".png", ".svg") else out
    out.parent.mkdir(parents=True, exist_ok=True)
    paths = [Path(f"{out}.{kind}") for kind in kinds]
    with matplotlib.rc_context(look), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a missing letter appears as a box
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        draw(figure)
        for path in paths:
            figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths


def plain(axes: Any) -> None:
    """Draws a light grid and removes the frame."""
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def against_progress(axes: Any, x: str) -> None:
    """Sets up the x axis for `x`, "steps" or "epochs", starting at 0."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.set_xlabel(x)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=x == "steps", min_n_ticks=1))
    if x == "steps":
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    plain(axes)


def whole_numbers(axis: Any) -> None:
    """Puts the ticks of an axis on integers."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def title(figure: Any, text: str) -> None:
    """Sets the title of a figure, without parsing it as a formula."""
    if text:
        figure.suptitle("\n".join(map(printable, text.split("\n"))), fontsize=10.5, parse_math=False, wrap=True)


def mark_chance(axes: Any, height: float, text: str = "chance") -> None:
    """Draws a dotted line with `text` at its right end, unless the line would lie far from all data."""
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
    """How many later lines cover each line; a covered line must be drawn wider to stay visible.

    A line is covered if at least `share` of its points are closer to a later line than `tolerance` of `span`, the range
    of the axis (None: the range of all ys).
    """
    near = tolerance * (span_of(lines) if span is None else span)

    def covers(under: Line, over: Line) -> bool:
        if not len(under[0]) or not len(over[0]):
            return False
        heights = np.interp(under[0], over[0], over[1], left=np.nan, right=np.nan)
        return float(np.mean(np.abs(heights - under[1]) <= near)) >= share

    return [sum(covers(line, other) for other in lines[i + 1 :]) for i, line in enumerate(lines)]


def span_of(lines: Iterable[Line]) -> float:
    """Range of all finite ys; 0 if there are none."""
    values = np.concatenate([np.zeros(0), *(np.asarray(ys, float) for _, ys in lines)])
    values = values[np.isfinite(values)]
    return float(np.ptp(values)) if values.size else 0.0


def shorten(text: str, length: int) -> str:
    """The text, or its end after "..." if it has more than `length` letters."""
    return text if len(text) <= length else "..." + text[3 - length :]
