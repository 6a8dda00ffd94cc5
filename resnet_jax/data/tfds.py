"""TFDS datasets, read from prepared ArrayRecord files without TensorFlow."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from resnet_jax.data.digits.builder import Digits
from resnet_jax.data.sources import InMemory
from resnet_jax.nearest import nearest

OWN = {"digits": Digits}  # builders that need no TensorFlow: prepared on first use


def load(name: str, split: str, *, data_dir: str | None = None) -> InMemory:
    """A split ("train", "test", "train[:10%]") of an image classification set, in memory.

    Args:
      data_dir: where prepared sets lie; None: TFDS's own choice (TFDS_DATA_DIR, ~/tensorflow_datasets).

    Raises:
      ValueError: no such dataset or split, one that is not prepared (with the command that prepares it), or one
        whose images differ in size.
    """
    builder = _builder(name, data_dir)
    keys, features = builder.info.supervised_keys, builder.info.features
    pair = keys and (features[keys[0]], features[keys[1]])
    if not (pair and isinstance(pair[0], tfds.features.Image) and isinstance(pair[1], tfds.features.ClassLabel)):
        raise ValueError(f"{name} is not an image classification set: it has no (image, label) pair")
    shape = pair[0].shape
    if None in shape:
        raise ValueError(f"images of {name} have no one size ({shape}), so they cannot be held in memory as one array")
    _check_prepared(builder, data_dir)
    if split.partition("[")[0] not in builder.info.splits:
        raise ValueError(f"{name} has no split {split!r}; valid: {', '.join(builder.info.splits)}")
    source = builder.as_data_source(split=split, decoders={keys[0]: tfds.decode.SkipDecoding()})
    images, labels = np.empty((len(source), *shape), np.uint8), np.empty(len(source), np.int32)
    for first in range(0, len(source), 1024):
        index = list(range(first, min(first + 1024, len(source))))
        for i, example in zip(index, source.__getitems__(index), strict=True):
            images[i], labels[i] = _decode(example[keys[0]], shape[-1]), example[keys[1]]
    return InMemory(images, labels, tuple(pair[1].names))


def _decode(encoded: bytes, channels: int) -> np.ndarray:
    with Image.open(io.BytesIO(encoded)) as image:
        pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return pixels[..., None] if channels == 1 else pixels


def _builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    if name in OWN:
        return OWN[name](data_dir=data_dir, file_format="array_record")
    try:
        return tfds.builder(name, data_dir=data_dir, file_format="array_record", try_gcs=False)
    except tfds.core.DatasetNotFoundError:
        known = [*OWN, *tfds.list_builders(with_community_datasets=False)]
        raise ValueError(f"TFDS has no dataset {name!r}; {nearest(name, known, 'see tfds.list_builders()')}") from None
    except ImportError as error:
        raise ValueError(f"{name}: TFDS's own definition of it asks for a package that is missing ({error})") from None
    except ValueError as error:  # prepared in another format
        raise ValueError(f"{name} cannot be read as ArrayRecord: {error}; {_command(name, data_dir)}") from None


def _check_prepared(builder: tfds.core.DatasetBuilder, data_dir: str | None) -> None:
    if builder.name in OWN:
        tfds.disable_progress_bar()
        with contextlib.redirect_stdout(io.StringIO()):  # it speaks of a download; there is none
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    elif not builder.data_path.exists():
        raise ValueError(f"{builder.name} is not prepared in {builder.data_path}; {_command(builder.name, data_dir)}")


def _command(name: str, data_dir: str | None) -> str:
    where = f" --data_dir={data_dir}" if data_dir else ""
    return f"once, where TensorFlow is installed, run: tfds build {name} --file_format=array_record{where}"
