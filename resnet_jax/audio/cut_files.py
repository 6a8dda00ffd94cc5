"""Whether a file of sound ends before its end: decoders return what is there, without an error."""

from __future__ import annotations

import struct

UNKNOWN_SIZE = 0x7FFFF000  # bytes: writers that cannot seek write about this or 0xFFFFFFFF
LAST_PAGE = 4  # flag of an Ogg page


def is_cut(data: bytes) -> bool:
    """Whether an encoded file lacks its end: RIFF and RF64 (WAV) and Ogg. Others are never, as decoders notice."""
    if data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE":
        return _is_cut_wave(data)
    return _is_cut_ogg(data) if data[:4] == b"OggS" else False


def _is_cut_wave(data: bytes) -> bool:
    """Whether the samples' chunk is longer than the rest of the file."""
    place, long_size = 12, None
    while place + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        if name == b"ds64" and place + 24 <= len(data):  # sizes above 4 GiB: of the file, then of the samples
            (long_size,) = struct.unpack_from("<Q", data, place + 16)
        if name == b"data":
            if long_size is None and size >= UNKNOWN_SIZE:
                return False
            return place + 8 + (size if long_size is None else long_size) > len(data)
        place += 8 + size + size % 2
    return True


def _is_cut_ogg(data: bytes) -> bool:
    """Whether the last page is incomplete, or is not marked as the last of its stream."""
    place, flags = 0, 0
    while data[place : place + 4] == b"OggS" and place + 27 <= len(data):
        flags, segments = data[place + 5], data[place + 26]
        place += 27 + segments + sum(data[place + 27 : place + 27 + segments])
    return place > len(data) or not flags & LAST_PAGE
