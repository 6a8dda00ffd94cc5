"""Limits on what is read into memory."""

from __future__ import annotations

from pathlib import Path

MEMORY = 2**33  # bytes of unpacked images held at most
EXPANSION = 200  # largest ratio of unpacked to packed size: black and white drawings reach 120, a bomb 1000


def check_size(file: Path, size: int) -> None:
    """Raises ValueError if `size` bytes, unpacked or about to be, are more than a valid file of images holds."""
    packed = file.stat().st_size
    if size > max(2**26, EXPANSION * packed):
        raise ValueError(f"{file} is corrupted or malicious: its {packed:,} bytes claim to hold {size:,} or more")
    if size > max(MEMORY, packed):
        limit = f"{MEMORY / 2**30:.0f} GiB"
        raise ValueError(f"{file}: expected at most {limit} of unpacked images, got more; use a folder of images")
