"""What was probably meant. Standard library only: every room may use it."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str], otherwise: str | None = None) -> str:
    """The end of an error message for a name that is not there: "close: a, b", else `otherwise`, else all of them.

    A name that ends with it comes first, cifar_resnet20 for resnet20; before that, one without a tag: resnet18 for
    resnet18.a1_in1k.
    """
    names = list(names)
    if (untagged := name.partition(".")[0]) != name and untagged in names:
        return f"close: {untagged}"
    longer = [known for known in names if known.endswith(f"_{name}")]
    close = list(dict.fromkeys(longer + difflib.get_close_matches(name, names, n=3, cutoff=0.6)))[:3]
    return f"close: {', '.join(close)}" if close else otherwise or f"valid: {', '.join(names)}"


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
