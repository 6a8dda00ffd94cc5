"""The streaming loader: images decoded and cropped as they are needed, in threads. The only file that imports Grain.

Grain reads training images; evaluation and predictions do without it, and so without the extra `train`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Literal

import numpy as np

from resnet_jax.data.loading.assembly import BatchAssembly
from resnet_jax.data.loading.loader import ImageInput
from resnet_jax.data.loading.samplers import WHOLE, ShuffleSampler, share_rows, training_sampler
from resnet_jax.data.loading.statistics import pixel_moments, sample
from resnet_jax.data.loading.threads import in_threads, processors
from resnet_jax.data.sources.label_kinds import Label, out_of_range
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.data.sources.subsets import known_labels, labels_of
from resnet_jax.errors import DataError, MixedChannels, UnreadableImage
from resnet_jax.extras import extra
from resnet_jax.images.crops import centre_crop, read_random_crop
from resnet_jax.images.decoding import Picture, pixels, read_image
from resnet_jax.types import Batch

ReadPicture = Callable[[bytes | np.ndarray, str, int | None], Picture]  # of the image, its name, its channels


@dataclass(frozen=True, eq=False)
class StreamingLoader(ImageInput):
    """Images of any sizes, served as uint8 [N, image_size, image_size, C].

    Training takes a random resized crop, keyed by (seed, the example's number in the run), evaluation the centre crop.
    An unreadable image stops the run; with `skip_unreadable` it is recorded in `skipped`, training gets the next image
    that can be read, and evaluation ignores it.
    """

    examples: DataSource
    image_size: int
    resize: int  # shorter side before the centre crop of evaluation
    channels: int = 3
    to_grey: bool = True  # with one channel: whether a coloured image is made grey, or is an error
    crop_area: tuple[float, float] = (0.08, 1.0)  # least and greatest share of the image in a random crop
    interpolation: str = "bilinear"
    decode: Literal["full", "scaled"] = "full"  # "scaled": see `read_random_crop`; evaluation decodes fully
    threads: int | None = None  # None: one per processor
    skip_unreadable: bool = False
    skipped: dict[str, str] = field(default_factory=dict)
    balance: bool = False  # training batches have each class equally often
    crop: Callable[[Picture], np.ndarray] | None = None  # of evaluation, uint8 [H, W, C]; None: the centre crop

    @property
    def classes(self) -> tuple[str, ...]:
        return self.examples.classes

    def name(self, index: int) -> str:
        return self.examples.name(index)

    @property
    def num_examples(self) -> int:
        return len(self.examples)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (self.image_size, self.image_size, self.channels)

    @property
    def crop_mode(self) -> Literal["center"]:
        """How evaluation crops; see `Preprocess`."""
        return "center"

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation per channel, of values in [0, 1], of 500 images as evaluation sees them."""
        indices = sample(len(self.examples))
        batch = _stacked(in_threads(lambda i: self._eval_example(indices[i]), len(indices), threads=self.threads))
        if not batch["mask"].any():
            raise ValueError(f"none of {len(indices)} images could be read: {self._last_reason()}")
        return pixel_moments(batch["image"][batch["mask"] > 0])

    @cached_property
    def labels(self) -> np.ndarray:
        """int [n] or float32 [n, K]. Every image is read if the storage does not know them; -1 if it cannot be."""
        return labels_of(self.examples, skip_unreadable=self.skip_unreadable)

    def order(self, seed: int, batch_size: int) -> ShuffleSampler:
        return training_sampler(self, seed, batch_size)

    def batches(
        self, seed: int, start_step: int = 0, *, batch_size: int, share: tuple[int, int] = WHOLE
    ) -> Iterator[Batch]:
        sampler, places = self.order(seed, batch_size), share_rows(batch_size, share)
        first = start_step * len(places)

        def read(i: int) -> Batch:
            step, place = divmod(first + i, len(places))
            number = step * batch_size + places[place]
            rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, number))))
            index = sampler.example(number)
            for further in range(self.num_examples):
                if (row := self._example((index + further) % self.num_examples, rng)) is not None:
                    return row
            raise UnreadableImage(f"none of {self.num_examples} images could be read; the last: {self._last_reason()}")

        with extra():
            import grain

        threads, assembly = self.threads or processors(), BatchAssembly(len(places))
        options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(threads, 2 * assembly.parts))
        parts = grain.MapDataset.range((2**62 - first) // assembly.part).map(
            lambda part: assembly.write(part, map(read, assembly.examples(part)))
        )
        return assembly.batches(iter(parts.to_iter_dataset(options)))

    def eval_batches(self, batch_size: int, *, share: tuple[int, int] = WHOLE) -> Iterator[Batch]:
        places, batches = share_rows(batch_size, share), -(-self.num_examples // batch_size)
        assembly = BatchAssembly(len(places))

        def read(i: int) -> Batch:
            step, place = divmod(i, len(places))
            return self._eval_example(step * batch_size + places[place])

        return assembly.batches(
            in_threads(
                lambda part: assembly.write(part, map(read, assembly.examples(part))),
                batches * assembly.parts,
                threads=self.threads,
                ahead=2 * assembly.parts,
            )
        )

    def eval_image(self, index: int) -> np.ndarray | None:
        """One image as evaluation sees it, uint8 [H, W, C]; None: it cannot be read, and is skipped."""
        row = self._example(index, None)
        return None if row is None else row["image"]

    def eval_crop(self, image: Picture) -> np.ndarray:
        """A picture as evaluation sees it: uint8 [image_size, image_size, C]."""
        if self.crop is not None:
            return self.crop(image)
        return centre_crop(image, resize=self.resize, size=self.image_size, interpolation=self.interpolation)

    def _eval_example(self, index: int) -> Batch:
        row = self._example(index, None) if index < self.num_examples else None
        return (
            self._row(np.zeros(self.image_shape, np.uint8), self._padding_label, counts=False) if row is None else row
        )

    @cached_property
    def _padding_label(self) -> Label:
        labels = known_labels(self.examples)  # storage that does not know them has classes
        return 0 if labels is None or labels.ndim == 1 else np.zeros(labels.shape[1], np.float32)

    def views(self, make_views: Callable[[Picture], list[np.ndarray]]) -> Iterator[tuple[int, list[np.ndarray], Label]]:
        """(index, views, label) of every image that can be read, in order; `make_views` makes the views of an image."""

        def read(i: int) -> tuple[int, list[np.ndarray] | None, Label]:
            image, label = self._image(i) or (None, 0)
            return i, None if image is None else make_views(image), label

        for index, views, label in in_threads(read, self.num_examples, threads=self.threads):
            if views is not None:
                yield index, views, label

    def _example(self, index: int, rng: np.random.Generator | None) -> Batch | None:
        """An example with a random crop, or (`rng` None) the centre crop. None: it cannot be read, and is skipped."""
        if rng is None:
            read: ReadPicture = read_image
        else:
            read = partial(
                read_random_crop,
                size=self.image_size,
                rng=rng,
                crop_area=self.crop_area,
                interpolation=self.interpolation,
                is_scaled=self.decode == "scaled",
            )
        image, label = self._image(index, read) or (None, 0)
        if image is None:
            return None
        return self._row(self.eval_crop(image) if rng is None else pixels(image), label)

    def _image(self, index: int, read: ReadPicture = read_image) -> tuple[Picture, Label] | None:
        """The picture that `read` makes of an example, and its label. None: it cannot be read, and is skipped."""
        convert = self.to_grey or self.channels > 1
        try:
            name = self.examples.name(index)
            data, label = self.examples[index]
            image = read(data, name, self.channels if convert else None)
        except UnreadableImage as error:
            if not self.skip_unreadable:
                raise
            self.skipped[name] = str(error)
            return None
        if len(image.getbands()) != self.channels:
            problem = f"{name} has colours, but the images looked at first are grey"
            raise MixedChannels(f"{problem}: channels=1 makes it grey too, channels=3 reads all images in colour")
        if isinstance(label, int) and (problem := out_of_range(label, len(self.classes))):
            raise DataError(f"{name} has {problem}")
        return image, label

    def _row(self, image: np.ndarray, label: Label, counts: bool = True) -> Batch:
        kind = np.int32 if isinstance(label, int) else np.float32
        return {"image": image, "label": np.asarray(label, kind), "mask": np.float32(counts)}

    def _last_reason(self) -> str:
        return next(reversed(self.skipped.values()), "")


def _stacked(examples: Iterable[Batch]) -> Batch:
    rows = list(examples)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
