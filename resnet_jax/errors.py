"""What was probably meant, and checks of types for messages. Standard library only: every room may use it."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Any

COMPARED = 200  # letters of a name: comparing takes time that grows with the square of their number


def nearest(name: str, names: Iterable[str], otherwise: str | None = None) -> str:
    """The end of an error message for a name that is not there: "close: a, b", else `otherwise`, else all of them.

    A name that ends with it comes first, cifar_resnet20 for resnet20; before that, one that differs in case alone, and
    one without a tag: resnet18 for resnet18.a1_in1k. Case never counts.
    """
    names, name = list(names), name.casefold()
    by_folded: dict[str, list[str]] = {}
    for known in names:
        by_folded.setdefault(known.casefold()[:COMPARED], []).append(known)
    for whole in (name, name.partition(".")[0]):
        if same := [known for known in names if known.casefold() == whole]:
            return f"close: {', '.join(same[:3])}"
    longer = [known for known in names if known.casefold().endswith(f"_{name}")]
    alike = difflib.get_close_matches(name[:COMPARED], by_folded, n=3, cutoff=0.6)
    close = list(dict.fromkeys(longer + [known for folded in alike for known in by_folded[folded]]))[:3]
    return f"close: {', '.join(close)}" if close else otherwise or f"valid: {', '.join(names)}"


def check_type(value: Any, kinds: type | tuple[type, ...], expected: str, hint: str = "") -> None:
    """Raises TypeError unless `value` is one of `kinds`: "expected a model name (str), got None"; then the hint."""
    if not isinstance(value, kinds):
        raise TypeError(f"expected {expected}, got {described(value)}{f'; {hint}' if hint else ''}")


def described(value: Any) -> str:
    """A value of the wrong type in a message: "None", "int 5", "list", "numpy.ndarray"."""
    kind = type(value)
    if value is None:
        return "None"
    if kind in (bool, int, float, str) and len(shown := repr(value)) <= 80:
        return f"{kind.__name__} {shown}"
    library = kind.__module__.partition(".")[0]
    return kind.__name__ if library == "builtins" else f"{library}.{kind.__name__}"


def composed(name: str) -> str:
    """The name in Unicode's composed form (NFC), in which names that print alike are equal.

    macOS stores file names decomposed, keyboards and other systems write them composed.
    """
    return unicodedata.normalize("NFC", name)


def listed(names: Iterable[str], most: int = 10) -> str:
    """The first `most` names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"
