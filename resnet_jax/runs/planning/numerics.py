"""The version of the arithmetic, which checkpoints record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# 1 is version 0.1.0, which did not record it. Increment it when the same step gives other digits.
NUMERICS = 3
CHANGES = {
    2: (
        "batch variances are of values shifted by the first rows' mean, the gradient of relu6 is 0 at 0 and 6, and "
        "grouped convolutions on a CPU are sums in another order"
    ),
    3: "on a CPU, sums of norms and gradients of norms, depthwise and strided convolutions are in another order",
}


def numerics_note(meta: Mapping[str, Any]) -> list[str]:
    """One line on changes since the checkpoint with this metadata was written, if there are any."""
    before = meta.get("numerics", 1)
    changes = "; ".join(change for number, change in CHANGES.items() if number > before)
    since = "version 0.1.0" if before == 1 else f"numerics {before}"
    return [f"the last digits differ from those of {since}, which wrote the checkpoint: {changes}"] if changes else []
