"""Record of the images that a run was trained on: images.npz in its directory, with fingerprints of 8 bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.checkpoints.reader import read_metadata, saved_steps
from resnet_jax.data.loading.pairs import PairLoader
from resnet_jax.data.sources.identity import MANY, Identity
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.data.sources.subsets import Subset, identify
from resnet_jax.errors import one_line
from resnet_jax.files import replace_file

FILE = "images.npz"
FIELDS = ("fingerprints", "names", "labels")
NO_RECORD = "this run has no record of its images, as none of version 0.1.0 has: only counts and classes are compared"


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """Training and test images of a run."""

    train: Identity
    test: Identity
    earlier: np.ndarray  # uint64 [m]: fingerprints of images trained on before the data was changed
    complete: bool = True  # False: the run may have been trained on images that are not recorded
    history: tuple[str, ...] = ()  # digests of the sets before the data was changed

    @property
    def digest(self) -> str:
        """Digest of the sets of training and test images."""
        return _digest({"train": self.train.digests, "test": self.test.digests})

    @property
    def trained(self) -> np.ndarray:
        """Fingerprints of all images that the run was ever trained on: uint64 [n], sorted and unique."""
        return np.union1d(self.train.fingerprints, self.earlier)


def _digest(digests: Mapping[str, Mapping[str, str]]) -> str:
    return " ".join(f"{split} {digests[split]['kind']} {digests[split]['set']}" for split in ("train", "test"))


def make_record(
    train: Identity,
    test: Identity,
    before: ImageRecord | None = None,
    *,
    complete: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> ImageRecord:
    """The record of a run from now on.

    Args:
      before: the earlier record of a run that resumes.
      complete: False for a run that was also trained on images without a record.
      metadata: that of the checkpoint that the run resumes from.
    """
    digests = (metadata or {}).get("data", {}).get("digests")
    history = {*(() if before is None else (before.digest, *before.history)), *([_digest(digests)] if digests else [])}
    if before is None or before.train.kind != train.kind:  # fingerprints of two kinds cannot be compared
        record = ImageRecord(train, test, np.array([], np.uint64), complete and before is None)
    else:
        record = ImageRecord(
            train, test, np.setdiff1d(before.trained, train.fingerprints), complete and before.complete
        )
    return replace(record, history=tuple(sorted(history - {record.digest})))


def write_record(run: str | Path, record: ImageRecord) -> None:
    """Writes images.npz, if it is missing or differs. Raises OSError if it cannot be written."""
    arrays = {f"{part}_{name}": getattr(getattr(record, part), name) for part in ("train", "test") for name in FIELDS}
    file, buffer = Path(run) / FILE, io.BytesIO()
    kind, complete = np.array(record.train.kind), np.array(record.complete)
    history = np.array(record.history, str)
    np.savez(buffer, kind=kind, complete=complete, earlier=record.earlier, history=history, **arrays)
    if not file.is_file() or file.read_bytes() != buffer.getvalue():
        replace_file(file, buffer.getvalue())


def read_record(run: str | Path) -> ImageRecord | None:
    """The record of a run; None if it has none, as runs of version 0.1.0.

    Raises:
      ValueError: it is corrupted, or belongs to another run.
    """
    file, newest = Path(run) / FILE, _newest_digest(Path(run) / "checkpoints")
    if not file.exists():
        return None
    try:
        if not file.is_file():  # reading a pipe would block
            raise ValueError("not a file")
        with np.load(file, allow_pickle=False) as stored:
            kind = str(stored["kind"])
            train, test = (Identity(kind, *(stored[f"{part}_{name}"] for name in FIELDS)) for part in ("train", "test"))
            history = tuple(map(str, stored["history"])) if "history" in stored else None
            record = ImageRecord(train, test, stored["earlier"], bool(stored["complete"]), history or ())
        _check(record)
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen types for a corrupted archive
        reason = one_line(error)
        raise ValueError(f"{file} is corrupted ({reason}); move it away to continue without it") from None
    if newest is not None and history is not None and newest not in (record.digest, *record.history):
        reason = "the newest checkpoint was trained on other images"
        hint = "restore the right one, or move this one away to continue without it"
        raise ValueError(f"{file} belongs to another run: {reason}; {hint}")
    return record


def _newest_digest(folder: Path) -> str | None:
    """Digest of the images of the newest checkpoint; None if it is unknown."""
    for step in reversed(saved_steps(folder)):
        try:
            digests = read_metadata(folder / str(step)).get("data", {}).get("digests")
            return _digest(digests) if digests else None
        except (ValueError, KeyError, TypeError, AttributeError, OSError):  # reported when the checkpoint is read
            continue
    return None


def _check(record: ImageRecord) -> None:
    """Raises ValueError for arrays of unexpected types or shapes."""
    wrong = record.earlier.dtype != np.uint64 or record.earlier.ndim != 1
    for identity in (record.train, record.test):
        arrays = identity.fingerprints, identity.names, identity.labels
        wrong |= len({array.shape for array in arrays}) > 1 or identity.labels.ndim != 1
        wrong |= [array.dtype for array in arrays] != [np.uint64, np.uint64, np.int32]
    if wrong:
        raise ValueError("expected fingerprints, names and labels of images")


def trained_on(examples: DataSource, records: Sequence[tuple[ImageRecord | None, bool]]) -> tuple[np.ndarray, bool]:
    """Which of the images any of the runs was trained on, bool [n]; and whether the records are complete.

    Args:
      records: each run's record, and whether the images are from its dataset. File names identify no others.
    """
    mask, known = np.zeros(len(examples), bool), True
    identities: dict[str, Identity] = {}
    for record, is_own in records:
        if record is None or (record.train.kind == "names" and not is_own):
            known = False
            continue
        kind = record.train.kind
        here = identities[kind] = identities[kind] if kind in identities else identify(examples, kind)
        mask |= np.isin(here.fingerprints, record.trained) if here.kind == kind else False
        known = known and record.complete and here.kind == kind
    return mask, known


def select(source: Any, mask: np.ndarray) -> Any:
    """The loader with the images for which `mask`, bool [n], is True."""
    if isinstance(source, PairLoader) and not mask.all():
        return source.take(np.flatnonzero(mask))
    return source if mask.all() else replace(source, examples=Subset(source.examples, np.flatnonzero(mask)))


def has_trained_images(examples: DataSource, record: ImageRecord) -> bool:
    """Whether most of the run's training images are among these, with their labels: the dataset was moved."""
    if len(examples) > max(MANY, 4 * len(record.trained)):  # reading them all would take long
        return False
    actual, expected = identify(examples, record.train.kind), record.train
    labels = dict(zip(actual.fingerprints.tolist(), actual.labels.tolist(), strict=True))
    pairs = zip(expected.fingerprints.tolist(), expected.labels.tolist(), strict=True)
    matches = [labels.get(fingerprint) == label for fingerprint, label in pairs]
    return 2 * sum(matches) > len(matches)
