"""TFDS datasets, read from prepared ArrayRecord files without TensorFlow."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from resnet_jax.data.sources.identity import Identity, place_fingerprints
from resnet_jax.errors import UnreadableImage, did_you_mean, one_line
from resnet_jax.extras import extra
from resnet_jax.files import expanded

with extra():
    import tensorflow_datasets as tfds


@dataclass(frozen=True, eq=False)
class TfdsExamples:
    """A split, or a part of one, encoded."""

    source: Any
    image: str
    label: str
    classes: tuple[str, ...]
    where: str
    places: Sequence[tuple[str, int, int]]  # split and version, first example, last + 1

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[bytes, int]:
        example = self.example(index)
        return example[self.image], int(example[self.label])

    def example(self, index: int) -> dict[str, Any]:
        """All features of an example; images stay encoded. Raises UnreadableImage for a missing or corrupted file."""
        try:
            return dict(self.source[index])
        except Exception as error:  # the readers raise many types
            raise UnreadableImage(f"{self.name(index)}: {one_line(error)}") from None

    def name(self, index: int) -> str:
        return f"{self.where}, example {index}"

    def identity(self, index: np.ndarray, kind: str) -> Identity:
        """A version of a TFDS dataset never changes: positions identify its images, and nothing is read."""
        parts = [place_fingerprints(where, np.arange(*ends)) for where, *ends in self.places]
        fingerprints = np.concatenate(parts)[index]
        unknown = np.full(len(fingerprints), -1, np.int32)
        return Identity("places", fingerprints, np.zeros_like(fingerprints), unknown)


@dataclass(frozen=True, eq=False)
class _Parsed:
    """Some features of stored examples."""

    records: Sequence[bytes]
    features: tfds.features.FeaturesDict

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Any:
        return self.features.deserialize_example_np(self.records[index])


@dataclass(frozen=True, eq=False)
class TfdsDataset:
    """A prepared dataset of labelled images; `parsed` is of any dataset."""

    name: str
    builder: tfds.core.DatasetBuilder
    keys: tuple[str, str]  # of the image and its label
    noun: str = "image"  # what an example is, in messages
    fixed = True  # a version never changes

    @property
    def splits(self) -> dict[str, int]:
        return {name: split.num_examples for name, split in self.builder.info.splits.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        return ()

    def examples(self, split: str) -> TfdsExamples:
        """A split, or parts of splits as TFDS writes them: "train[:10%]", "train[:50]+test".

        Raises:
          ValueError: no such split, or a part that is empty or cannot be understood.
        """
        places = self._checked_places(split)
        image, label = self.keys
        features = self.builder.info.features
        # Images stay encoded: another one, such as a mask, may not be needed.
        skip = dict.fromkeys(keys_of(features, "Image"), tfds.decode.SkipDecoding())
        source = self.builder.as_data_source(split=split, decoders=skip)
        names = getattr(features[label], "names", ())
        return TfdsExamples(source, image, label, tuple(names), f"{self.name}, {split}", places)

    def parsed(self, split: str, keys: Sequence[str]) -> TfdsExamples:
        """The same with the features `keys` alone: nothing else of an example is parsed. Encoded sounds stay so."""
        places = self._checked_places(split)
        features = tfds.features.FeaturesDict({key: _stored(self.builder.info.features[key]) for key in keys})
        raw = tfds.decode.DeserializeMethod.RAW_BYTES
        source = _Parsed(self.builder.as_data_source(split=split, deserialize_method=raw), features)
        return TfdsExamples(source, keys[0], keys[-1], (), f"{self.name}, {split}", places)

    def _checked_places(self, split: str) -> list[tuple[str, int, int]]:
        """Version and split, first example and last + 1 of each part. Raises ValueError for an impossible split."""
        name = split.partition("[")[0].partition("+")[0]
        if name not in self.splits:
            raise ValueError(f"{self.name} has no split {name!r}; {did_you_mean(name, self.splits)}")
        parts = self._cut(split)
        if not sum(stop - start for _, start, stop in parts):
            raise ValueError(f"{self.name}: {split!r} is empty; {name!r} has {self.splits[name]} {self.noun}s")
        return [(f"{self.builder.info.full_name}/{name}", start, stop) for name, start, stop in parts]

    def places(self, split: str) -> dict[str, np.ndarray]:
        """Positions, int [n], in each whole split that `split` is taken from."""
        positions: dict[str, np.ndarray] = {}
        for name, start, stop in self._cut(split):
            positions[name] = np.concatenate([positions.get(name, np.arange(0)), np.arange(start, stop)])
        return positions

    def _cut(self, split: str) -> list[tuple[str, int, int]]:
        """Each part's split, its first example, and the last + 1."""
        try:
            parts = tfds.core.splits.AbstractSplit.from_spec(split).to_absolute(self.builder.info.splits)
        except (ValueError, AssertionError, KeyError) as error:
            raise ValueError(f"{self.name}: split {split!r} cannot be understood: {one_line(error)}") from None
        ends = [(part.from_ or 0, self.splits[part.splitname] if part.to is None else part.to) for part in parts]
        return [(part.splitname, start, max(start, stop)) for part, (start, stop) in zip(parts, ends, strict=True)]


def open_tfds(name: str, data_dir: str | None = None) -> TfdsDataset:
    """A dataset of TFDS's catalogue, or one that lies prepared in `data_dir`, by name ("cifar10", "name/config:1.0.0").

    Args:
      data_dir: folder of prepared datasets; None: TFDS's own choice (TFDS_DATA_DIR, ~/tensorflow_datasets).

    Raises:
      ValueError: no such dataset, one that is not of labelled images, or one that is not prepared (with the command
        that prepares it).
    """
    if name.partition(":")[2].startswith("/"):
        raise ValueError(f"{name!r} is an address; expected the name of a TFDS dataset, or a path")
    builder = open_builder(name, data_dir)
    keys, features = builder.info.supervised_keys, builder.info.features
    pair = keys and (features[keys[0]], features[keys[1]])
    if not (pair and isinstance(pair[0], tfds.features.Image) and isinstance(pair[1], tfds.features.ClassLabel)):
        raise ValueError(f"{name} is not an image classification set: it has no (image, label) pair")
    check_prepared(name, builder, data_dir)
    return TfdsDataset(name, builder, (keys[0], keys[1]))


def check_prepared(name: str, builder: tfds.core.DatasetBuilder, data_dir: str | None) -> None:
    """Raises ValueError, with the command that prepares it, for a dataset without files."""
    if not builder.info.splits:
        raise ValueError(f"{builder.name} is not prepared in {builder.data_path}; {_command(name, data_dir)}")


def keys_of(features: Any, kind: str) -> list[str]:
    """Keys of the features of a kind: "Image", "ClassLabel" or "BBoxFeature"."""
    return [key for key, feature in features.items() if isinstance(feature, getattr(tfds.features, kind))]


def open_builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """TFDS's reader of a dataset; raises as `open_tfds` does."""
    if find_spec("tensorflow") is None:
        audio_without_tensorflow()
    folders = _prepared(name, data_dir)  # a prepared dataset needs no definition
    for folder in folders:
        if any(folder.glob("*.array_record*")):
            return _from_folder(folder)
    if folders:
        file_format = _from_folder(folders[0]).info.file_format.value
        prepare = f"tfds convert_format --dataset_version_dir={folders[0]} --out_file_format=array_record"
        raise ValueError(f"{name} lies in {folders[0]} as {file_format}; expected array_record; {_once(prepare)}")
    try:
        with redirect_stdout(io.StringIO()):  # several lines on TensorFlow
            return tfds.builder(name, data_dir=data_dir, file_format="array_record", try_gcs=False)
    except tfds.core.DatasetNotFoundError:
        known = ["digits", "scenes", *tfds.list_builders(with_community_datasets=False)]
        advice = did_you_mean(name, known, "see tfds.list_builders()")
        if Path(name).exists():
            raise ValueError(f"TFDS has no dataset {name!r}; expected path={name!r} for what lies there") from None
        raise ValueError(f"no TFDS dataset, file or folder {name!r}; {advice}") from None
    except ImportError as error:
        if "No module named 'tensorflow'" in str(error):  # definitions of sounds need it
            where = data_dir or tfds.core.constants.DATA_DIR
            raise ValueError(f"{name} is not prepared in {where}; {_command(name, data_dir)}") from None
        raise ValueError(f"{name}: TFDS's definition of it needs a package that is missing ({error})") from None
    except Exception as error:  # an impossible name, version or configuration, a corrupted description
        raise ValueError(f"TFDS cannot open {name!r}: {one_line(error)}") from None


def is_encoded(feature: Any) -> bool:
    """Whether a feature of sounds stores encoded files, and not samples."""
    return bool(feature.to_json_content().lazy_decode)


def _stored(feature: Any) -> Any:
    """A feature as it is stored."""
    is_sound = isinstance(feature, tfds.features.Audio)
    return tfds.features.Tensor(shape=(), dtype=np.object_) if is_sound and is_encoded(feature) else feature


@cache
def audio_without_tensorflow() -> type[tfds.features.Audio]:
    """TFDS's feature of sounds for reading without TensorFlow, under whose name it is registered.

    TFDS's class creates its decoder at once, which imports TensorFlow, though stored samples need none.
    """

    class Audio(tfds.features.Audio):
        __module__ = tfds.features.Audio.__module__  # registers it

        def __init__(
            self,
            *,
            file_format: str | None = None,
            shape: tuple[int | None, ...] = (None,),
            dtype: Any = np.int64,
            sample_rate: int | None = None,
            encoding: Any = "none",
            doc: Any = None,
            lazy_decode: bool = False,
        ) -> None:
            self._file_format, self._sample_rate, self._lazy_decode = file_format, sample_rate, lazy_decode
            stored: dict[str, Any] = {"serialized_dtype": np.object_, "serialized_shape": ()} if lazy_decode else {}
            tfds.features.Tensor.__init__(self, shape=shape, dtype=dtype, encoding=encoding, doc=doc, **stored)

        @property
        def dtype(self) -> Any:
            """For `to_json_content`: the inherited one is TensorFlow's."""
            return self.np_dtype

    return Audio


def _from_folder(folder: Path) -> tfds.core.DatasetBuilder:
    try:
        return tfds.builder_from_directory(folder)
    except Exception as error:  # several kinds of JSON error
        raise ValueError(f"{folder} is corrupted: {one_line(error)}") from None


def _prepared(name: str, data_dir: str | None) -> list[Path]:
    """Folders of prepared sets of that name, the newest version first."""
    path, _, version = name.partition(":")
    root = expanded(data_dir or tfds.core.constants.DATA_DIR) / path
    folders = [file.parent for file in root.glob(f"{version or '*.*.*'}/dataset_info.json")]
    return sorted(folders, key=lambda folder: [int(n) for n in folder.name.split(".") if n.isdigit()], reverse=True)


def _command(name: str, data_dir: str | None) -> str:
    where = f" --data_dir={data_dir}" if data_dir else ""
    return _once(f"tfds build {name} --file_format=array_record{where}")


def _once(command: str) -> str:
    return f"once, with TensorFlow (pip install 'flax-resnets[prepare]'), run: {command}"
