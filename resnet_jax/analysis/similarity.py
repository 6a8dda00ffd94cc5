"""Picture of how similar images and captions are: the matrix of their cosines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.analysis.figures import save_figure, shorten, title
from resnet_jax.text import printable


def draw_similarity(
    images: Sequence[np.ndarray | None],
    captions: Sequence[str],
    similarity: np.ndarray,
    out: str | Path,
    *,
    heading: str,
) -> list[Path]:
    """Draws cosines float [n, n] of images (rows) and captions (columns) to OUT.png; those that are NaN as "-".

    Args:
      images: uint8 [H, W, 1 or 3]; None: unreadable.

    Raises:
      ValueError: matplotlib is not installed.
    """
    count = len(captions)
    inches = max(5.0, 2.5 + 0.45 * count)
    finite = similarity[np.isfinite(similarity)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)

    def draw(figure: Any) -> None:
        title(figure, heading)
        axes = figure.subplots()
        picture = axes.imshow(similarity, cmap="Blues", vmin=low, vmax=high)
        axes.set_xticks(range(count), [shorten(printable(text), 52) for text in captions], fontsize=7, rotation=90)
        axes.set_yticks([])
        for (i, j), cosine in np.ndenumerate(similarity):
            color = "white" if cosine - low > 0.6 * (high - low) else "black"  # on a dark square
            hundredths = str(round(100 * float(cosine))) if np.isfinite(cosine) else "-"
            axes.text(j, i, hundredths, ha="center", va="center", fontsize=6, color=color)
        for place, image in enumerate(images):
            if image is not None:
                inset = axes.inset_axes([-1.6, place - 0.45, 0.9, 0.9], transform=axes.transData)
                inset.imshow(np.broadcast_to(image, (*image.shape[:2], 3)))
                inset.set_axis_off()
        figure.colorbar(picture, ax=axes, label="cosine", shrink=0.7)

    return save_figure(out, draw, width=inches + 1, height=inches + 1, kinds=("png",))
