"""Columns of tables that hold images, sounds or texts: their usual names, and texts of several of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Item = Literal["image", "audio", "text"]  # what an example is, in the names of options: image_column
NOUNS: dict[Item, str] = {"image": "image", "audio": "sound", "text": "text"}  # an example, in messages
# Names of columns, without capitals, spaces and signs; the first that is there counts.
ITEM_COLUMNS: dict[Item, str] = {
    "image": "image img images",
    "audio": "audio sound speech wav flac",
    "text": "text sentence content review comment document body tweet message question description title headline "
    "phrase snippet",
}
BETWEEN = "\n"  # texts of several columns


def joined_texts(texts: Sequence[bytes]) -> bytes:
    """Texts of several columns, in UTF-8, as one: a line each, without empty ones."""
    return BETWEEN.encode().join(text for text in texts if text)
