"""Which images a run was trained on: images.npz in its folder, fingerprints of 8 bytes each."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from resnet_jax.data.examples import Examples, Subset, identify
from resnet_jax.data.identity import MANY, Identity
from resnet_jax.data.photographs import Photographs
from resnet_jax.training.integrity import replace_file

FILE = "images.npz"
FIELDS = ("fingerprints", "names", "labels")
NO_RECORD = "this run has no record of its images, as none of version 0.1.0 has: only counts and classes are compared"


@dataclass(frozen=True, eq=False)
class Record:
    """The images of a run."""

    train: Identity
    test: Identity
    earlier: np.ndarray  # uint64 [m]: fingerprints of other images, trained on before the data was changed

    @property
    def trained(self) -> np.ndarray:
        """Fingerprints of all images that the run was ever trained on: uint64 [n], sorted, each once."""
        return np.union1d(self.train.fingerprints, self.earlier)


def make_record(train: Identity, test: Identity, before: Record | None = None) -> Record:
    """`before`: the record until now, of a run that has made steps."""
    earlier = np.array([], np.uint64) if before is None else np.setdiff1d(before.trained, train.fingerprints)
    return Record(train, test, earlier)


def write_record(run: str | Path, record: Record) -> None:
    """Writes images.npz, if there is none or another one. Raises OSError where it cannot be written."""
    arrays = {f"{part}_{name}": getattr(getattr(record, part), name) for part in ("train", "test") for name in FIELDS}
    file, buffer = Path(run) / FILE, io.BytesIO()
    np.savez(buffer, kind=np.array(record.train.kind), earlier=record.earlier, **arrays)
    if not file.is_file() or file.read_bytes() != buffer.getvalue():
        replace_file(file, buffer.getvalue())


def read_record(run: str | Path) -> Record | None:
    """None: the run has none, as those of version 0.1.0.

    Raises:
      ValueError: it is corrupted.
    """
    file = Path(run) / FILE
    if not file.exists():
        return None
    try:
        with np.load(file, allow_pickle=False) as stored:
            kind = str(stored["kind"])
            train, test = (Identity(kind, *(stored[f"{part}_{name}"] for name in FIELDS)) for part in ("train", "test"))
            return Record(train, test, stored["earlier"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{file} is corrupted ({said}); move it away to go on without it") from None


def trained_on(examples: Examples, record: Record) -> np.ndarray:
    """Which of them the run was trained on: bool [n]."""
    return np.isin(identify(examples, record.train.kind).fingerprints, record.trained)


def without_trained(source: Photographs, records: Sequence[Record]) -> Photographs:
    """The images that none of the runs was trained on; `source` itself where that is true of all."""
    mask = np.zeros(source.num_examples, bool)
    for record in records:
        mask |= trained_on(source.examples, record)
    return replace(source, examples=Subset(source.examples, np.flatnonzero(~mask))) if mask.any() else source


def holds_the_images(examples: Examples, record: Record) -> bool:
    """Whether most of the run's training images are among these with their labels, as after a dataset was moved."""
    if len(examples) > max(MANY, 4 * len(record.trained)):  # reading so many for this would take long
        return False
    here, own = identify(examples, record.train.kind), record.train
    labels = dict(zip(here.fingerprints.tolist(), here.labels.tolist(), strict=True))
    same = [labels.get(one) == label for one, label in zip(own.fingerprints.tolist(), own.labels.tolist(), strict=True)]
    return 2 * sum(same) > len(same)
