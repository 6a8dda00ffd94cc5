"""TFDS datasets, read from prepared ArrayRecord files without TensorFlow."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from resnet_jax.data.digits.builder import Digits
from resnet_jax.nearest import nearest

OWN = {"digits": Digits}  # builders that need no TensorFlow: prepared on first use


@dataclass(frozen=True, eq=False)
class TfdsExamples:
    """A split, or a part of one, encoded."""

    source: Any
    image: str
    label: str
    classes: tuple[str, ...]
    where: str

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[bytes, int]:
        example = self.source[index]
        return example[self.image], int(example[self.label])

    def name(self, index: int) -> str:
        return f"{self.where}, example {index}"


@dataclass(frozen=True, eq=False)
class TfdsDataset:
    """An image classification set that is prepared."""

    name: str
    builder: tfds.core.DatasetBuilder

    @property
    def splits(self) -> dict[str, int]:
        return {name: split.num_examples for name, split in self.builder.info.splits.items()}

    @property
    def channels(self) -> int | None:
        """Of the images; None where the dataset does not say."""
        return self._pair[0].shape[-1]

    def examples(self, split: str) -> TfdsExamples:
        """Of "train", or of a part as TFDS writes it: "train[:10%]", "train[:50]+test".

        Raises:
          ValueError: no such split, or a part that is empty or cannot be understood.
        """
        name = split.partition("[")[0].partition("+")[0]
        if name not in self.splits:
            raise ValueError(f"{self.name} has no split {name!r}; {nearest(name, self.splits)}")
        image, label = self.builder.info.supervised_keys[:2]
        try:
            source = self.builder.as_data_source(split=split, decoders={image: tfds.decode.SkipDecoding()})
            length = len(source)
        except (ValueError, AssertionError, KeyError) as error:
            said = " ".join(str(error).split())
            raise ValueError(f"{self.name}: split {split!r} cannot be understood: {said}") from None
        if not length:
            raise ValueError(f"{self.name}: {split!r} is empty; {name!r} has {self.splits[name]} images")
        return TfdsExamples(source, image, label, tuple(self._pair[1].names), f"{self.name}, {split}")

    @property
    def _pair(self) -> tuple[Any, Any]:
        keys, features = self.builder.info.supervised_keys, self.builder.info.features
        return features[keys[0]], features[keys[1]]


def open_tfds(name: str, data_dir: str | None = None) -> TfdsDataset:
    """A dataset of TFDS's catalogue, or one that lies prepared in `data_dir`, by name ("cifar10", "name/config:1.0.0").

    Args:
      data_dir: where prepared sets lie; None: TFDS's own choice (TFDS_DATA_DIR, ~/tensorflow_datasets).

    Raises:
      ValueError: no such dataset, one that is not of labelled images, or one that is not prepared (with the command
        that prepares it).
    """
    builder = _builder(name, data_dir)
    keys, features = builder.info.supervised_keys, builder.info.features
    pair = keys and (features[keys[0]], features[keys[1]])
    if not (pair and isinstance(pair[0], tfds.features.Image) and isinstance(pair[1], tfds.features.ClassLabel)):
        raise ValueError(f"{name} is not an image classification set: it has no (image, label) pair")
    if builder.name in OWN:
        tfds.disable_progress_bar()
        with contextlib.redirect_stdout(io.StringIO()):  # it speaks of a download; there is none
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    elif not builder.data_path.exists():
        raise ValueError(f"{builder.name} is not prepared in {builder.data_path}; {_command(name, data_dir)}")
    return TfdsDataset(name, builder)


def _builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    if name in OWN:
        return OWN[name](data_dir=data_dir, file_format="array_record")
    with contextlib.suppress(StopIteration):  # what lies there needs no definition: it may be anybody's
        return tfds.builder_from_directory(next(_prepared(name, data_dir)))
    try:
        return tfds.builder(name, data_dir=data_dir, file_format="array_record", try_gcs=False)
    except tfds.core.DatasetNotFoundError:
        known = [*OWN, *tfds.list_builders(with_community_datasets=False)]
        raise ValueError(f"TFDS has no dataset {name!r}; {nearest(name, known, 'see tfds.list_builders()')}") from None
    except ImportError as error:
        raise ValueError(f"{name}: TFDS's own definition of it asks for a package that is missing ({error})") from None
    except ValueError as error:  # prepared in another format
        raise ValueError(f"{name} cannot be read as ArrayRecord: {error}; {_command(name, data_dir)}") from None


def _prepared(name: str, data_dir: str | None) -> Iterator[Path]:
    """Folders of ArrayRecord files of that name, the newest version first."""
    path, _, version = name.partition(":")
    root = Path(data_dir or tfds.core.constants.DATA_DIR).expanduser() / path
    found = [file.parent for file in root.glob(f"{version or '*.*.*'}/dataset_info.json")]
    for folder in sorted(
        found, key=lambda folder: [int(n) for n in folder.name.split(".") if n.isdigit()], reverse=True
    ):
        if any(folder.glob("*.array_record*")):
            yield folder


def _command(name: str, data_dir: str | None) -> str:
    where = f" --data_dir={data_dir}" if data_dir else ""
    prepare = f"tfds build {name} --file_format=array_record{where}"
    return f"once, with TensorFlow (pip install 'flax-resnets[prepare]'), run: {prepare}"
