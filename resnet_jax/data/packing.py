"""Writes packed sets: images decoded once, reduced and stored as uint8 pixels; see `sources.packed`."""

from __future__ import annotations

import fcntl
import io
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.data.loading.statistics import depth_note, sample
from resnet_jax.data.loading.threads import in_threads
from resnet_jax.data.packing_resume import (
    continues,
    drop_changed,
    has_rows_of,
    is_complete,
    kind_of_check,
    read_skipped,
)
from resnet_jax.data.sources.identity import Identity
from resnet_jax.data.sources.label_kinds import Label, compact, out_of_range
from resnet_jax.data.sources.packed import (
    FORMAT,
    MANIFEST,
    PLAN,
    Manifest,
    Rows,
    Shard,
    again,
    open_shard,
    read_manifest,
    read_rows,
    shard_files,
    write_manifest,
)
from resnet_jax.data.sources.protocols import Dataset, DataSource
from resnet_jax.data.sources.subsets import identify
from resnet_jax.errors import DataError, UnreadableImage, did_you_mean
from resnet_jax.files import expanded, replace_file, replaced
from resnet_jax.images.crops import shrunk
from resnet_jax.images.decoding import image_size, pixels, read_image
from resnet_jax.text import bytes_of
from resnet_jax.types import LabelKind

SHARD = 1024  # images of a shard: what an interruption costs at most
SAMPLED = 100  # images by which the size of the set is estimated
KINDS = ("class", "multi-hot", "targets")  # of labels
Progress = Callable[[int, int], None]  # images done, of all


@dataclass(frozen=True, eq=False)
class Packed:
    """What a packed set has."""

    folder: Path
    manifest: Manifest
    is_new: bool  # False: the set was complete before
    skipped: tuple[str, ...] = ()  # images that cannot be read, and why

    @property
    def bytes(self) -> int:
        """Size of its pixels."""
        return sum(shard.bytes for shards in self.manifest.splits.values() for shard in shards)


@dataclass(frozen=True)
class PackOptions:
    """How a set is packed.

    size: shorter side of larger images, pixels; smaller images are stored as they are.
    """

    size: int = 256
    interpolation: str = "bilinear"
    label_kind: LabelKind = "class"
    skip_unreadable: bool = False
    threads: int | None = None  # None: one per processor


def pack(
    dataset: Dataset,
    folder: str | Path,
    options: PackOptions = PackOptions(),
    *,
    splits: Sequence[str] | None = None,
    progress: Progress = lambda done, total: None,
) -> Packed:
    """Packs a dataset into a folder, which `open_dataset(path=folder)` then reads; see `PackedSource`.

    An image is as training reads it (`read_image`), with its shorter side reduced to `options.size`, antialiased. So
    evaluation that resizes to this size gets the same pixels as from the files, and training the same as long as no
    image is larger. Interrupted at any moment, the folder is not complete, and the same call resumes: complete shards
    stay, but those whose images have changed. Where the folder has this set already, nothing is written.

    Args:
      splits: names of splits; None: all.

    Raises:
      UnreadableImage: an image that cannot be read, without `options.skip_unreadable`.
      DataError: a label out of range, a split without an image that can be read.
      ValueError: other kinds of labels, an unknown split, a folder that holds anything else, too little space, a
        complete set that is corrupted.
      OSError: the folder cannot be written.
    """
    folder = expanded(folder)
    sources = {split: dataset.examples(split) for split in _split_names(dataset, splits)}
    plan = _make_plan(sources, options)
    if (complete := _complete_set(folder, plan, sources)) is not None:
        return complete
    if not folder.is_dir() and (folder.exists() or folder.is_symlink()):
        what = "file" if folder.exists() else "broken link"
        raise ValueError(f"{str(folder)!r} is a {what}; expected a new or an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if (complete := _complete_set(folder, plan, sources)) is not None:  # by a process that ended just now
            return complete
        _check_folder(folder, plan, sources)
        _check_space(folder, sources, options.size)
        if not (folder / PLAN).exists():
            replace_file(folder / PLAN, json.dumps(plan, indent=1))
        skipped = _write_shards(folder, sources, options, progress)
        manifest = _manifest(folder, dataset, sources, options, plan, skipped)
        write_manifest(folder, manifest)
        (folder / PLAN).unlink()
    return Packed(folder, manifest, is_new=True, skipped=tuple(reason for one in skipped.values() for reason in one))


def _split_names(dataset: Dataset, splits: Sequence[str] | None) -> list[str]:
    names = list(dataset.splits if splits is None else dict.fromkeys(splits))
    if not names:
        raise ValueError(f"expected at least one split of {dataset.name}, got none; {did_you_mean('', dataset.splits)}")
    if unknown := [name for name in names if name not in dataset.splits]:
        raise ValueError(f"{dataset.name} has no split {unknown[0]!r}; {did_you_mean(unknown[0], dataset.splits)}")
    return names


def _make_plan(sources: dict[str, DataSource], options: PackOptions) -> dict[str, Any]:
    """What decides the contents of a packed set, as JSON: a set with another plan is another set."""
    if options.label_kind not in KINDS:
        raise ValueError(f"expected labels of whole images ({', '.join(KINDS)}), got label_kind={options.label_kind!r}")
    splits = {split: {"images": len(source), **identify(source, "names").digests} for split, source in sources.items()}
    classes = {split: list(source.classes) for split, source in sources.items()}
    return {
        "format": FORMAT,
        "size": options.size,
        "interpolation": options.interpolation,
        "label_kind": options.label_kind,
        "skip_unreadable": options.skip_unreadable,
        "splits": splits,
        "classes": classes,
    }


def _complete_set(folder: Path, plan: dict[str, Any], sources: dict[str, DataSource]) -> Packed | None:
    """The set, if the folder has it already. Raises ValueError if files of it are missing, corrupted or out of date."""
    if not (folder / MANIFEST).is_file() or (manifest := read_manifest(folder)).plan != plan:
        return None
    skipped: list[str] = []
    for split, shards in manifest.splits.items():
        rows = Rows.joined([open_shard(folder, split, number, shard)[1] for number, shard in enumerate(shards)])
        index = np.arange(len(sources[split]))
        if kind_of_check(sources) == "contents" and not has_rows_of(rows, sources[split], index, "contents"):
            problem = f"images of {split} have changed since {folder} was prepared"
            raise ValueError(f"{problem}; {again(folder)}, or name another folder")
        for number in range(len(shards)):
            skipped += read_skipped(shard_files(folder, split, number)[1])
    with suppress(OSError):  # a disk that is read-only
        (folder / PLAN).unlink()
    return Packed(folder, manifest, is_new=False, skipped=tuple(skipped))


def _check_folder(folder: Path, plan: dict[str, Any], sources: dict[str, DataSource]) -> None:
    """Raises ValueError for a folder that holds anything but a part of this set.

    Of a part whose images have changed since, the shards that have changed are removed.
    """
    if (folder / MANIFEST).exists():
        raise ValueError(f"{folder} has another packed set; expected a new or an empty folder")
    if (folder / PLAN).exists():
        try:
            before = json.loads((folder / PLAN).read_bytes())
            before.items()
        except (ValueError, AttributeError, RecursionError):
            raise ValueError(f"{folder / PLAN} is corrupted; remove {folder} and start over") from None
        changed = [name for name in plan if before.get(name) != plan[name]]
        if set(changed) <= {"splits", "skip_unreadable"} and continues(folder, sources):
            if changed:
                drop_changed(folder, sources, SHARD)
                replace_file(folder / PLAN, json.dumps(plan, indent=1))
            return
        if before != plan:
            problem = f"has a part of another packed set, which differs in {', '.join(changed)}"
            raise ValueError(f"{folder} {problem}; repeat the command that it was started with, or name another folder")
    elif names := {entry.name for entry in folder.iterdir()} - {f"{PLAN}.new"}:
        raise ValueError(f"{folder} is not empty, it has {min(names)}; expected a new or an empty folder")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Raises ValueError if another process writes into the folder. Its end in any way releases the lock."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ValueError(f"{folder} is written by another process; wait for it, or name another folder") from None
    finally:
        os.close(opened)


def _check_space(folder: Path, sources: dict[str, DataSource], size: int) -> None:
    """Raises ValueError if the set, estimated by some of its images, does not fit on the disk."""
    present = sum(file.stat().st_size for file in folder.iterdir())
    needed = sum(map(partial(_estimated_bytes, size=size), sources.values())) - present
    if needed > (free := shutil.disk_usage(folder).free):
        raise ValueError(f"{folder}: expected space for about {bytes_of(needed)}, got {bytes_of(free)}")


def _estimated_bytes(source: DataSource, size: int) -> float:
    counts = []
    for i in sample(len(source))[:: max(1, len(source) // SAMPLED)]:
        try:
            data, _ = source[i]
            sides = image_size(data, "")
        except DataError:
            continue  # reported, or skipped, when it is packed
        channels = data.shape[-1] if isinstance(data, np.ndarray) else 3
        counts.append(np.prod(sides) * min(1, size / min(sides)) ** 2 * channels)
    return float(np.mean(counts)) * len(source) if counts else 0.0


def _write_shards(
    folder: Path, sources: dict[str, DataSource], options: PackOptions, progress: Progress
) -> dict[str, list[str]]:
    """Writes the shards that are not there; returns the reasons of the images that were skipped, by split."""
    skipped: dict[str, list[str]] = {split: [] for split in sources}
    total, done, kind = sum(map(len, sources.values())), 0, kind_of_check(sources)
    for split, source in sources.items():
        for number, first in enumerate(range(0, len(source), SHARD)):
            index = np.arange(first, min(first + SHARD, len(source)))
            files = shard_files(folder, split, number)
            if not is_complete(*files, source, index, kind):
                _write_shard(*files, source, index, options, partial(_from, progress, done, total))
            skipped[split] += read_skipped(files[1])
            done += len(index)
            progress(done, total)
        if (reasons := skipped[split]) and len(reasons) == len(source):
            raise DataError(f"none of the {len(source):,} images of {split} could be read; the last: {reasons[-1]}")
    return skipped


def _from(progress: Progress, start: int, total: int, done: int) -> None:
    progress(start + done, total)


def _write_shard(
    pixels_file: Path,
    rows_file: Path,
    source: DataSource,
    index: np.ndarray,
    options: PackOptions,
    progress: Callable[[int], None],
) -> None:
    """Writes the examples at `index`: first their pixels, then their rows, each file whole."""
    rows_file.unlink(missing_ok=True)
    stored: list[int] = []
    shapes, crcs, labels, skipped = [], [], [], []
    results = in_threads(lambda i: _read(source, int(index[i]), options), len(index), threads=options.threads)
    with replaced(pixels_file) as file:
        for done, (place, result) in enumerate(zip(index.tolist(), results, strict=True)):
            if isinstance(result, str):
                skipped.append(result)
            else:
                image, label = result
                data = image.tobytes()
                file.write(data)
                stored.append(place)
                shapes.append(image.shape)
                crcs.append(zlib.crc32(data))
                labels.append(label)
            progress(done + 1)
    arrays: dict[str, Any] = {
        "shape": np.array(shapes, np.int32).reshape(-1, 3),
        "crc": np.array(crcs, np.uint32),
        "label": _label_array(labels, len(source.classes), options.label_kind),
        "title": _encoded([source.name(i) for i in stored]),
        "skipped": _encoded(skipped),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, **_identity_arrays(source, np.array(stored, int)))
    replace_file(rows_file, buffer.getvalue())


def _read(source: DataSource, index: int, options: PackOptions) -> tuple[np.ndarray, Label] | str:
    """The pixels and the label of an example; the reason, where it cannot be read and is skipped."""
    name = source.name(index)
    try:
        data, label = source[index]
        image = read_image(data, name)
    except UnreadableImage as error:
        if not options.skip_unreadable:
            raise
        return str(error)
    if isinstance(label, int) and (problem := out_of_range(label, len(source.classes))):
        raise DataError(f"{name} has {problem}")
    return np.ascontiguousarray(pixels(shrunk(image, options.size, options.interpolation))), label


def _label_array(labels: list[Label], columns: int, label_kind: LabelKind) -> np.ndarray:
    if label_kind == "class":
        return np.array(labels, np.int32)
    return compact(np.array(labels, np.float32).reshape(-1, columns))


def _encoded(texts: list[str]) -> np.ndarray:
    """Texts as bytes [n]: NumPy's own type of text takes four bytes a character."""
    return np.array([text.encode(errors="surrogateescape") for text in texts] or [b""])[: len(texts)]


def _identity_arrays(source: DataSource, index: np.ndarray) -> dict[str, Any]:
    identity: Identity = source.identity(index, "contents")
    named: Identity = source.identity(index, "names")
    return {
        "fingerprint": identity.fingerprints,
        "name_and_size": named.fingerprints,
        "name": identity.names,
        "code": identity.labels,
    }


def _manifest(
    folder: Path,
    dataset: Dataset,
    sources: dict[str, DataSource],
    options: PackOptions,
    plan: dict[str, Any],
    skipped: dict[str, list[str]],
) -> Manifest:
    shards = {split: _shards(folder, split, len(source)) for split, source in sources.items()}
    first = next(iter(sources.values()))
    notes = [*dataset.notes, *(note for source in sources.values() if (note := depth_note(source)))]
    notes += [
        f"{len(one):,} images of {split} could not be read and are not in it" for split, one in skipped.items() if one
    ]
    return Manifest(
        size=options.size,
        interpolation=options.interpolation,
        label_kind=options.label_kind,
        source=dataset.name,
        classes=first.classes,
        fixed=dataset.fixed,
        kind=first.identity(np.arange(1), "contents").kind,
        notes=tuple(dict.fromkeys(notes)),
        unlabelled=dict(getattr(dataset, "unlabelled", {})),
        plan=plan,
        splits=shards,
    )


def _shards(folder: Path, split: str, count: int) -> tuple[Shard, ...]:
    shards = []
    for number in range(-(-count // SHARD)):
        pixels_file, rows_file = shard_files(folder, split, number)
        data = rows_file.read_bytes()
        images = len(read_rows(rows_file, number))
        shards.append(Shard(images, pixels_file.stat().st_size, sha256(data).hexdigest()))
    return tuple(shards)
