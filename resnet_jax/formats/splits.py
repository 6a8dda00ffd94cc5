"""Names of splits in folders, files and values, as exporters and people spell them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from resnet_jax.errors import composed

WORDS = {  # spelling: the split's name here
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
    **{name: name for name in ("val", "valid", "validation")},
    **dict.fromkeys(("validate", "validating", "dev", "eval", "evaluation"), "validation"),
}
_BEFORE, _AFTER = r"((?:images?|imgs?|data)[-_ ]+)?", r"[-_ ]*(sets?|data|split|images?|imgs?|pictures|\d{1,4})?"
_NAME = re.compile(rf"{_BEFORE}(?P<word>{'|'.join(sorted(WORDS, key=len, reverse=True))}){_AFTER}")


def split_of(name: str) -> str | None:
    """The split that the name of a folder means: "train" of Train, training_set or train2017; None: it names none."""
    match = _NAME.fullmatch(composed(name).casefold().strip())
    return None if match is None else WORDS[match["word"]]


def split_in(name: str) -> str | None:
    """The split that one of the words of a name means: "train" of pets-train-00000-of-00002; None: none."""
    return next((split for word in re.split(r"[-_. ]", name) if (split := split_of(word))), None)


def by_split(names: Sequence[str]) -> dict[str, str]:
    """The names that mean a split (in one of their words), by the split, training first.

    Raises:
      ValueError: two that mean the same one.
    """
    by_name: dict[str, str] = {}
    for name in sorted(names):
        if (split := split_of(name) or split_in(name)) is None:
            continue
        if split in by_name:
            raise ValueError(f"{by_name[split]} and {name} both name the split {split!r}; expected one of them")
        by_name[split] = name
    return dict(sorted(by_name.items(), key=lambda item: item[0] != "train"))


def shared_folders(branches: Mapping[str, set[str]]) -> list[str]:
    """Folder names that lie in every branch, if they are two or more: then the branches look like splits."""
    common = set.intersection(*branches.values()) if len(branches) > 1 else set()
    return sorted(common) if len(common) > 1 else []
