"""What was probably meant. Standard library only: every room may use it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str], otherwise: str | None = None) -> str:
    """The end of an error message for a name that is not there: "close: a, b", else `otherwise`, else all of them."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    return f"close: {', '.join(close)}" if close else otherwise or f"valid: {', '.join(names)}"
