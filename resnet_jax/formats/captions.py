"""Captions as files hold them."""

from __future__ import annotations

import re

from resnet_jax.errors import composed

MOST_LETTERS = 2**14  # of a caption: all of an array take the space of the longest
SURROGATE = re.compile("[\ud800-\udfff]")


def checked_caption(text: str) -> str:
    """A caption in Unicode's composed form, without spaces around it.

    Raises:
      ValueError: an empty one, one of more than `MOST_LETTERS`, or with letters that no text has.
    """
    caption = composed(text.strip())
    if not caption:
        raise ValueError(f"expected a caption, got {text[:50]!r}")
    if len(caption) > MOST_LETTERS:
        raise ValueError(f"expected a caption of at most {MOST_LETTERS:,} letters, got {len(caption):,}")
    if "\0" in caption:
        raise ValueError(f"expected a text, got null characters in {caption[:50]!r}; is the file in UTF-16?")
    check_unicode(caption)
    return caption


def check_unicode(text: str, where: str = "") -> None:
    """Raises ValueError for half of a surrogate pair, which JSON and arguments that are no UTF-8 may have.

    `where` begins the message.
    """
    if not text.isascii() and SURROGATE.search(text):
        raise ValueError(f"{where}expected valid Unicode, got half of a surrogate pair in {text[:50]!r}")
