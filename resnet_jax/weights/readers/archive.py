"""Members of a zip archive as parts of the mapped file."""

from __future__ import annotations

import mmap
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from resnet_jax.errors import UnreadableWeights
from resnet_jax.weights.readers.mapped import map_file

PIECE = 2**20  # bytes that are decompressed at once
LOCAL_HEADER = struct.Struct("<4s5H3I2H")


class Archive:
    """A zip archive whose members do not overlap.

    Raises:
      ValueError: an archive that is truncated, or whose members overlap or have the same name.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.data = path, map_file(path)
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, EOFError, NotImplementedError, UnicodeDecodeError, struct.error):
            raise ValueError("the zip archive is truncated or corrupted") from None
        self.members = {member.filename: member for member in members}
        if len(self.members) < len(members):
            raise ValueError("two members of the zip archive have the same name")
        self._verified: set[str] = set()
        end = 0
        for start, stop, name in sorted((*self._range(member), member.filename) for member in members):
            if start < end:
                raise ValueError(f"{name} overlaps another member of the zip archive")
            end = stop

    def stored(self, name: str) -> memoryview:
        """A member that is not compressed, as a part of the mapped file."""
        if name not in self.members:
            raise ValueError(f"it has no {name}")
        member = self.members[name]
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise ValueError(f"{name} is compressed or encrypted; PyTorch writes neither")
        start, stop = self._range(member)
        if member.file_size != stop - start:
            raise ValueError(f"{name} has {member.file_size:,} bytes by its header, and {stop - start:,} in the file")
        return self.data[start:stop]

    def is_compressed(self, name: str) -> bool:
        return self.members[name].compress_type != zipfile.ZIP_STORED

    def beginning(self, name: str, most: int) -> bytes:
        """The first bytes of a member, at most as many."""
        start, stop = self._range(self.members[name])
        if not self.is_compressed(name):
            return bytes(self.data[start : min(stop, start + most)])
        return self._decompressor(name).decompress(self.data[start:stop], most)

    def inflated(self, name: str) -> memoryview:
        """A compressed member.

        Raises:
          UnreadableWeights: it is not as long as the archive says, or differs from its checksum.
        """
        (start, stop), member = self._range(self.members[name]), self.members[name]
        # Mapped memory goes back to the system at once; holes in the heap between the arrays that stay would not.
        values = memoryview(mmap.mmap(-1, member.file_size or 1))[: member.file_size]
        decompressor, length = self._decompressor(name), 0
        for place in range(start, stop, PIECE):
            try:
                piece = decompressor.decompress(self.data[place : min(stop, place + PIECE)], len(values) - length + 1)
            except zlib.error:
                break
            if length + len(piece) > len(values):
                break
            values[length : length + len(piece)] = piece
            length += len(piece)
        if length != member.file_size or not decompressor.eof or zlib.crc32(values) != member.CRC:
            raise UnreadableWeights(f"{self.path.name} is corrupted: {name} differs from its checksum")
        return values

    def verifier(self, name: str) -> Callable[[], None]:
        """A function that compares a member with its checksum, once. A checksum of 0 is one that was not computed."""

        def verify() -> None:
            expected = self.members[name].CRC
            if name not in self._verified and expected and zlib.crc32(self.stored(name)) != expected:
                raise UnreadableWeights(f"{self.path.name} is corrupted: {name} differs from its checksum")
            self._verified.add(name)

        return verify

    def _decompressor(self, name: str) -> zlib._Decompress:
        member = self.members[name]
        if member.compress_type != zipfile.ZIP_DEFLATED or member.flag_bits & 1:
            raise ValueError(f"{name} is encrypted, or compressed by another method than deflate")
        return zlib.decompressobj(-zlib.MAX_WBITS)

    def _range(self, member: zipfile.ZipInfo) -> tuple[int, int]:
        """Where the bytes of a member lie in the file."""
        start = member.header_offset
        header = bytes(self.data[start : start + LOCAL_HEADER.size]) if start >= 0 else b""
        if len(header) < LOCAL_HEADER.size or header[:4] != b"PK\3\4":
            raise ValueError(f"{member.filename} has no header in the zip archive")
        *_, name_length, extra_length = LOCAL_HEADER.unpack(header)
        start += LOCAL_HEADER.size + name_length + extra_length
        if start + member.compress_size > len(self.data):
            raise ValueError(f"{member.filename} reaches beyond the end of the file")
        return start, start + member.compress_size
