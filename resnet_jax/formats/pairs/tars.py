"""WebDataset's shards: tar archives in which the files of an example lie together and differ by their extension."""

from __future__ import annotations

import tarfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.data.sources.tar_files import TarSource
from resnet_jax.errors import one_line
from resnet_jax.formats.captions import checked_caption
from resnet_jax.formats.file_kinds import IMAGES
from resnet_jax.formats.pairs.parts import BadPairs
from resnet_jax.formats.splits import split_in, split_of

CAPTION = ".txt"
MOST_BYTES = 2**16  # of a caption
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # gzip, bzip2, xz, zstd: the first bytes of a file


class _Pair(NamedTuple):
    archive: int
    offset: int
    size: int
    key: str
    caption: str


def tars_below(path: Path) -> list[Path]:
    """Tar archives in a folder, else in its folders."""
    return sorted(path.glob("*.tar")) or sorted(path.glob("*/*.tar"))


def open_tars(root: Path, files: Sequence[Path], *, skip_unreadable: bool) -> StoredDataset:
    """The shards of each split, by a word of their names or their folder; all are "train" where none names one.

    Headers and captions are read once, images when they are served.

    Raises:
      ValueError: some files name a split and others none, or none is to train on; a corrupted archive, an image without
        a caption or a caption without an image, unless they are skipped.
    """
    splits: dict[str, list[Path]] = defaultdict(list)
    named = {file: split_in(file.stem) or _split_of_folder(root, file) for file in files}
    if not any(named.values()):
        named = dict.fromkeys(files, "train")
    for file, split in named.items():
        if split is None:
            raise ValueError(f"{file} names no split, though others do; expected train, test or validation in it")
        splits[split].append(file)
    if "train" not in splits:
        raise ValueError(f"{root} has shards of {', '.join(splits)}, but none to train on")
    problems = BadPairs(skip_unreadable)
    sources = {split: _source(splits[split], problems) for split in sorted(splits, key=lambda split: split != "train")}
    return StoredDataset(str(root), sources, problems.all_notes(), nouns="pairs")


def _split_of_folder(root: Path, file: Path) -> str | None:
    return None if file.parent == root else split_of(file.parent.name)


def _source(archives: Sequence[Path], problems: BadPairs) -> TarSource:
    pairs = [pair for number, file in enumerate(archives) for pair in _pairs(number, file, problems)]
    if not pairs:
        raise ValueError(f"{archives[0]}: expected pairs of an image and a {CAPTION}, got none")
    numbers = np.array([pair[:3] for pair in pairs], np.int64)
    captions = np.array([pair.caption for pair in pairs], np.str_)
    archive, offsets, sizes = numbers.T
    return TarSource(archives, archive, offsets, sizes, keys=[pair.key for pair in pairs], labels=captions)


def _pairs(number: int, file: Path, problems: BadPairs) -> list[_Pair]:
    images: dict[str, tuple[int, int, str]] = {}
    captions: dict[str, str] = {}
    if not file.is_file():
        raise ValueError(f"{file} cannot be read: not a file")
    try:
        with tarfile.open(file, "r:") as archive:
            for member in archive:
                if member.size < 0:  # the next header would be an earlier one, for ever
                    raise ValueError(f"{file}, {member.name}: expected a size of at least 0, got {member.size}")
                key, extension = _key(member.name)
                where, is_image = f"{file}, {member.name}", extension in IMAGES
                is_hidden = key == "" or key.endswith("/")  # as macOS adds them
                if not member.isfile() or is_hidden or not (is_image or extension == CAPTION):
                    continue
                if key in (images if is_image else captions):
                    problems.add(where, "another file of this pair is of the same kind")
                elif is_image:
                    images[key] = (member.offset_data, member.size, member.name)
                else:
                    contents = archive.extractfile(member)
                    data = b"" if contents is None else contents.read(MOST_BYTES + 1)
                    captions[key] = _text(where, data, problems)
            _check_end(file, archive, problems)
    except (tarfile.TarError, OSError) as error:
        is_compressed = isinstance(error, tarfile.TarError) and _is_compressed(file)
        reason = "it is compressed; decompress it first" if is_compressed else one_line(error)
        raise ValueError(f"{file} cannot be read as a tar archive: {reason}") from None
    for key in sorted(captions.keys() - images.keys()):
        problems.add(f"{file}, {key}{CAPTION}", "no image of this name")
    pairs = []
    for key, (offset, size, name) in images.items():
        if caption := captions.get(key, ""):
            pairs.append(_Pair(number, offset, size, name, caption))
        elif key not in captions:
            problems.add(f"{file}, {name}", f"no caption {key}{CAPTION}")
    return pairs


def _is_compressed(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(6).startswith(COMPRESSED)


def _check_end(file: Path, archive: tarfile.TarFile, problems: BadPairs) -> None:
    """Reports an archive whose end is missing: a corrupted header ends the reading without an error."""
    with file.open("rb") as opened:
        opened.seek(archive.offset)
        end = opened.read(tarfile.BLOCKSIZE)
    if any(end) or len(end) < tarfile.BLOCKSIZE:
        got = "the file's" if not end else "another block"
        problems.add(str(file), f"expected the end of the archive at byte {archive.offset:,}, got {got}; cut short?")


def _key(name: str) -> tuple[str, str]:
    """The example's name, up to the first dot of the file's, and the extension in lower case, from the last."""
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}", f".{base.rpartition('.')[2].lower()}"


def _text(where: str, data: bytes, problems: BadPairs) -> str:
    """A caption; "" for one that cannot be used, which is a problem."""
    try:
        if len(data) > MOST_BYTES:
            raise ValueError(f"expected a caption of at most {MOST_BYTES:,} bytes, got more")
        return checked_caption(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        problems.add(where, f"expected UTF-8, got byte {data[error.start]:#04x}")
    except ValueError as error:
        problems.add(where, str(error))
    return ""
