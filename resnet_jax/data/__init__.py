"""Images and labels: data sources, loaders that serve them in batches, augmentation on the device."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from resnet_jax.data.augment.audio import make_audio_augment
from resnet_jax.data.augment.dense import make_dense_augment
from resnet_jax.data.augment.device import make_augment
from resnet_jax.data.loading.image_files import read_images
from resnet_jax.data.loading.loader import Loader
from resnet_jax.data.loading.memory import MemoryLoader, load_into_memory
from resnet_jax.data.loading.samplers import ShuffleSampler
from resnet_jax.data.sources.annotations import DENSE_KINDS
from resnet_jax.data.sources.class_names import rename_classes, with_class_names
from resnet_jax.data.sources.held_out import TEST_SPLITS, default_splits
from resnet_jax.data.sources.label_kinds import compact
from resnet_jax.data.sources.protocols import Dataset, DataSource
from resnet_jax.data.sources.subsets import RelabelledSource, dense_kind, relabel, select_classes
from resnet_jax.errors import DataError, UnreadableImage
from resnet_jax.inputs import SequencePreprocess
from resnet_jax.inputs.captions import CaptionOptions, caption_tokenizer
from resnet_jax.types import DataKind, LabelKind

__all__ = [
    "TEST_SPLITS",
    "DataError",
    "DataSource",
    "Dataset",
    "Loader",
    "MemoryLoader",
    "ShuffleSampler",
    "UnreadableImage",
    "default_splits",
    "load",
    "make_audio_augment",
    "make_augment",
    "make_dense_augment",
    "open_dataset",
    "open_loader",
    "read_images",
    "rename_classes",
    "with_classes",
]


def open_dataset(
    name: str = "digits",
    *,
    path: str | None = None,
    data_dir: str | None = None,
    labels: str | None = None,
    label_column: str | tuple[str, ...] | None = None,
    image_column: str | None = None,
    label_kind: LabelKind = "class",
    classes: tuple[str, ...] | None = None,
    as_0_1_0: bool = False,
    skip_unreadable: bool = False,
    annotations: str | tuple[str, ...] | None = None,
    masks: str | None = None,
    skip_invalid: bool = False,
    kind: DataKind = "images",
    missing: Literal["error", "linear"] = "error",
) -> Dataset:
    """The TFDS dataset `name`, or what lies at `path`: a folder of images, of IDX or Parquet files, an .npz.

    Args:
      label_kind: what is read as a label: the class of an image, several classes, or targets.
      labels, label_column, image_column, classes, as_0_1_0, skip_unreadable: of data at a path; see
        `formats.open_path`.
      annotations, masks, skip_invalid: of data at a path with label_kind "pixels" or "boxes"; see
        `formats.dense.open_dense`.
      kind: what it holds: images, or the files of `formats.series`, `formats.audio` or `formats.texts`.
      missing: of series; see `formats.series.open_series`.

    Raises:
      FileNotFoundError, ValueError: it is not there or cannot be understood; see `formats.open_path`, `tfds.open_tfds`.
    """
    # Imported when called: neither a folder of images nor the digits need TFDS, nor one of them the other's packages.
    _check_dense_options(label_kind, annotations=annotations, masks=masks)
    if kind != "images":
        from resnet_jax.formats.sequences import open_sequences

        return open_sequences(
            kind,
            name,
            path=path,
            data_dir=data_dir,
            labels=labels,
            label_column=label_column,
            input_column=image_column,
            label_kind=label_kind,
            classes=classes,
            skip_unreadable=skip_unreadable,
            missing=missing,
        )
    if path is not None and (label_kind == "pixels" or label_kind == "boxes"):
        from resnet_jax.formats.dense import open_dense

        for option, value in {"labels": labels, "label_column": label_column, "image_column": image_column}.items():
            if value is not None:
                raise ValueError(f"{option}={value!r} is for labels of whole images; expected annotations or masks")
        return open_dense(path, label_kind, annotations=annotations, masks=masks, skip_invalid=skip_invalid)
    if path is not None and label_kind == "caption":
        from resnet_jax.formats.pairs import open_pairs

        return open_pairs(
            path,
            labels=labels,
            label_column=_one_column(label_column),
            image_column=image_column,
            skip_unreadable=skip_unreadable,
        )
    if path is not None:
        from resnet_jax import formats

        return formats.open_path(
            path,
            labels=labels,
            label_column=label_column,
            image_column=image_column,
            label_kind=label_kind,
            classes=classes,
            as_0_1_0=as_0_1_0,
            skip_unreadable=skip_unreadable,
        )
    described = {"labels": labels, "label_column": label_column, "image_column": image_column}
    for option, value in (described | {"annotations": annotations, "masks": masks}).items():
        if value is not None:
            hint = "expected path='FOLDER' too, the folder of the images"
            raise ValueError(f"{option}={value!r} describes data at a path; {hint}")
    if name == "digits" and label_kind in (*DENSE_KINDS, "caption"):
        raise ValueError(f"digits has one class per image; label_kind={label_kind!r} reads scenes, or data at a path")
    if name == "digits":
        from resnet_jax.data.digits import open_digits

        return open_digits(label_kind)
    if name == "scenes":
        from resnet_jax.data.scenes import open_scenes

        return open_scenes(label_kind)
    from resnet_jax.formats import tfds

    if label_kind == "pixels" or label_kind == "boxes":
        from resnet_jax.formats.tfds_dense import open_dense_tfds

        return open_dense_tfds(name, data_dir, label_kind, skip_invalid=skip_invalid)
    if label_kind != "class":
        what = f"no file or folder {name!r}; as the name of a dataset it has one class per image"
        raise ValueError(f"{what}; expected label_kind='class'")
    return tfds.open_tfds(name, data_dir)


def _one_column(names: str | tuple[str, ...] | None) -> str | None:
    """The column of captions. Raises ValueError for several."""
    if names is not None and not isinstance(names, str) and len(names) > 1:
        raise ValueError(f"label_column={names!r}: expected one column of captions")
    return names if names is None or isinstance(names, str) else names[0]


def _check_dense_options(label_kind: LabelKind, **options: object) -> None:
    for option, value in options.items():
        if value is not None and label_kind not in DENSE_KINDS:
            expected = "label_kind='boxes' or label_kind='pixels'"
            raise ValueError(f"{option}={value!r} is for boxes and masks; expected {expected}")


def open_loader(
    dataset: Dataset,
    split: str,
    *,
    image_size: int | None = None,
    resize: int | None = None,
    crop_area: tuple[float, float] = (0.08, 1.0),
    interpolation: str = "bilinear",
    decode: Literal["full", "scaled"] = "full",
    threads: int | None = None,
    channels: int | None = None,
    class_names: tuple[str, ...] | None = None,
    classes: tuple[str, ...] | None = None,
    per_class: int | None = None,
    known_classes: tuple[str, ...] | None = None,
    label_kind: LabelKind | None = None,
    skip_unreadable: bool = False,
    max_boxes: int | None = None,
    skip_invalid: bool = False,
    preprocess: SequencePreprocess | None = None,
    buckets: int = 4,
    keeps_last: bool = False,
    captions: CaptionOptions | None = None,
) -> Loader:
    """The loader of a split: in memory, or (with `image_size`) streaming, decoded and cropped as it is needed.

    Images with dense labels are padded to `image_size`, and not cropped; see `DenseLoader`.

    Args:
      image_size: side of the crops, pixels; None: images of one size, as they are.
      resize: shorter side before the centre crop of evaluation; None: 8/7 of `image_size`, as 256 is of 224. With dense
        labels the shorter side on the canvas; None: `image_size`.
      crop_area, interpolation, decode, threads: see `StreamingLoader`; ignored without `image_size`.
      channels: 1, 3, or None: as the images are.
      class_names: instead of the data's own; see `rename_classes`.
      classes, per_class: only these classes, in this order, and at most this number of images of each; None: all.
      known_classes: the classes of a trained net, whose labels the examples get, by name.
      label_kind: of these labels; None: not known.
      max_boxes, skip_invalid: of dense labels; see `DenseLoader`.
      preprocess: of series, sounds or texts, which the dataset then holds.
      buckets, keeps_last: of these; see `SequenceLoader`.
      captions: of pairs of images and captions, which the dataset then holds; `known_classes` are then the tokens of
        the vocabulary.

    Raises:
      UnreadableImage: an image that cannot be read (a streaming loader raises it when the image is served).
      ValueError: no such split, images that differ in size, another number of class names, unknown classes.
    """
    source = open_examples(dataset, split, class_names, classes, per_class, skip_unreadable=skip_unreadable)
    if captions is not None:
        from resnet_jax.data.loading.pairs import open_pair_loader

        images: dict[str, Any] = {"image_size": image_size, "resize": resize, "crop_area": crop_area}
        images |= {"interpolation": interpolation, "decode": decode, "threads": threads, "channels": channels}
        open_images = partial(_open_image_loader, **images, skip_unreadable=skip_unreadable)
        tokenizer = partial(caption_tokenizer, options=captions, known=known_classes)
        return open_pair_loader(source, open_images, tokenizer, skip_unreadable=skip_unreadable)
    if known_classes is not None and known_classes != source.classes:
        source = RelabelledSource(source, known_classes, label_kind)
    if preprocess is not None:
        from resnet_jax.data.loading.sequences import SequenceLoader

        return SequenceLoader(
            source, preprocess, buckets, keeps_last, threads=threads, skip_unreadable=skip_unreadable
        )  # fmt: skip
    if dense_kind(source) is not None:
        from resnet_jax.data.loading.dense import open_dense_loader

        return open_dense_loader(
            source,
            image_size,
            resize,
            channels=channels,
            max_boxes=max_boxes,
            interpolation=interpolation,
            threads=threads,
            skip_unreadable=skip_unreadable,
            skip_invalid=skip_invalid,
        )
    return _open_image_loader(
        source,
        image_size=image_size,
        resize=resize,
        crop_area=crop_area,
        interpolation=interpolation,
        decode=decode,
        threads=threads,
        channels=channels,
        skip_unreadable=skip_unreadable,
    )


def _open_image_loader(
    source: DataSource,
    *,
    image_size: int | None,
    resize: int | None,
    crop_area: tuple[float, float],
    interpolation: str,
    decode: Literal["full", "scaled"],
    threads: int | None,
    channels: int | None,
    skip_unreadable: bool,
) -> Loader:
    """The memory loader of images, or (with `image_size`) the streaming loader; see `open_loader`."""
    if image_size is None:
        return load_into_memory(source, channels=channels, skip_unreadable=skip_unreadable)
    from resnet_jax.data.loading.statistics import infer_channels
    from resnet_jax.data.loading.streaming import StreamingLoader

    return StreamingLoader(
        source,
        image_size,
        resize=round(image_size * 8 / 7) if resize is None else resize,
        channels=infer_channels(source) if channels is None else channels,
        to_grey=channels is not None,
        crop_area=crop_area,
        interpolation=interpolation,
        decode=decode,
        threads=threads,
        skip_unreadable=skip_unreadable,
    )


def open_source(dataset: Dataset, split: str, *, area: tuple[float, float] | None = None, **settings: Any) -> Loader:
    """Deprecated: the name of `open_loader`, and of its `crop_area`, in version 0.1.0."""
    warnings.warn("open_source(area=...) is now open_loader(crop_area=...)", DeprecationWarning, stacklevel=2)
    if area is not None:
        settings["crop_area"] = area
    return open_loader(dataset, split, **settings)


def open_examples(
    dataset: Dataset,
    split: str,
    class_names: tuple[str, ...] | None = None,
    classes: tuple[str, ...] | None = None,
    per_class: int | None = None,
    *,
    skip_unreadable: bool = False,
) -> DataSource:
    """The data source of a split, with the selected classes; see `open_loader`."""
    source: Any = dataset.examples(split)
    if class_names is not None:
        source = with_class_names(source, class_names)
    return select_classes(source, classes, per_class, skip_unreadable=skip_unreadable)


def with_classes(loader: Loader, classes: tuple[str, ...]) -> Loader:
    """The loader with labels by the position of each class's name in `classes`, which has all of them."""
    if isinstance(loader, MemoryLoader):
        return replace(loader, labels=compact(relabel(loader.labels, loader.classes, classes)), classes=classes)
    streaming: Any = loader
    return replace(streaming, examples=RelabelledSource(streaming.examples, classes))


def load(name: str, split: str, *, data_dir: str | None = None) -> MemoryLoader:
    """A split of a dataset of equal-sized images, in memory: the digits, or a prepared TFDS dataset.

    Raises:
      ValueError: a path instead of a name (`open_dataset(path=...)` reads paths), or no such dataset or split.
    """
    if name.startswith(("/", ".", "~")):
        raise ValueError(f"expected the name of a dataset, got {name!r}; open_dataset(path={name!r}) reads a path")
    return load_into_memory(open_dataset(name, data_dir=data_dir).examples(split))
