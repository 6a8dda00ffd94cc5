"""Kinds of files that are examples: how each is recognised, and its words in messages."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field

IMAGES = frozenset(".png .jpg .jpeg .jpe .jfif .webp .gif .bmp .tif .tiff .ppm .pgm .pbm .avif".split())
SOUNDS = frozenset(".wav .wave .flac .ogg .oga".split())
OTHERS = frozenset(  # extensions of files that are no images or cannot be decoded: their first bytes are not read
    ".txt .md .csv .tsv .json .jsonl .xml .yaml .yml .html .htm .pdf .log .ini .db .py .ipynb .zip .tar .gz .tgz .7z "
    ".rar .npy .npz .mat .h5 .hdf5 .pkl .pt .pth .parquet .arrow .mp4 .mov .avi .mkv .webm .wav .mp3 .heic .heif .svg "
    ".psd .ai .eps .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf .jxl .jp2 .exr .hdr .dcm .nii .tfrecord".split()
)
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")


def _begins_as_image(head: bytes) -> bool:
    if head.startswith(SIGNATURES) or head[4:12] in (b"ftypavif", b"ftypavis"):
        return True
    return (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or (head[:2] == b"BM" and head[6:10] == b"\0\0\0\0")


def _begins_as_sound(head: bytes) -> bool:
    return head.startswith((b"fLaC", b"OggS")) or (head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE")


@dataclass(frozen=True)
class FileKind:
    """Files of one kind, known by their extension or, where it says nothing, by their first bytes."""

    noun: str  # in messages; its plural has an s
    extensions: frozenset[str]
    others: frozenset[str]  # extensions of files of other kinds
    begins: Callable[[bytes], bool] = field(repr=False)  # whether the first 16 bytes are those of such a file
    column: str  # the argument that names the column of files in a file of labels
    usual_columns: str  # plain names of that column; the first that is there counts
    expected: str  # what a path may be

    def matches(self, file: str) -> bool:
        """Whether a file is of this kind; hidden files are not."""
        name = os.path.basename(file)
        extension = os.path.splitext(name)[1].lower()
        if name.startswith(".") or extension in self.others:
            return False
        return extension in self.extensions or self.begins(_first_bytes(file))


def _first_bytes(file: str) -> bytes:
    """The first 16 bytes of a file; none of one that cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # a pipe would block for ever
            return b""
        with open(file, "rb") as stream:
            return stream.read(16)
    except OSError:
        return b""


IMAGE_FILES = FileKind(
    "image",
    IMAGES,
    OTHERS,
    _begins_as_image,
    "image_column",
    "filename file image imagename imagefile imagepath path filepath img imgname imgpath imageid id name",
    "a folder of images, of IDX files or of .parquet files, an .npz, .parquet, .csv, .tsv or .jsonl file",
)
SOUND_FILES = FileKind(
    "sound",
    SOUNDS,
    (OTHERS | IMAGES) - SOUNDS,
    _begins_as_sound,
    "audio_column",
    "filename file audio audioname audiofile audiopath wav wavfile wavpath sound path filepath clip id name",
    "a folder of WAV, FLAC or Ogg files or of .parquet files, a .parquet, or a .csv, .tsv or .jsonl that names sounds",
)
