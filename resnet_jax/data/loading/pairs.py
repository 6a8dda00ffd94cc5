"""The loader of pairs: images of any image loader, with the tokens of their captions.

A batch: image uint8 [N, H, W, C]; label int32 [N, T], tokens; image_key int32 [N], equal for pairs of one image;
example int32 [N], the pair's index in the source; mask float32 [N].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from resnet_jax.data.loading.loader import ImageInput, ImageLoader
from resnet_jax.data.loading.samplers import WHOLE, ShuffleSampler
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.data.sources.subsets import Subset, labels_of
from resnet_jax.errors import UnreadableImage
from resnet_jax.inputs.captions import CaptionTokenizer
from resnet_jax.types import Batch

NO_CAPTION = "it has no caption"


@dataclass(frozen=True, eq=False)
class PairLoader(ImageInput):
    """Pairs of images and captions.

    `images` serves the images of `examples`, with the place of each example as its label. A pair without a caption
    stops the run, or, where unreadable images are skipped, is not served and counted in `skipped`.
    """

    images: ImageLoader
    examples: DataSource
    tokenizer: CaptionTokenizer
    token_rows: np.ndarray  # int32 [n, T]
    keys: np.ndarray  # int32 [n]
    without_caption: Mapping[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """The tokens of the vocabulary; (): it is a published one."""
        return self.tokenizer.tokens

    @property
    def num_examples(self) -> int:
        return len(self.examples)

    @property
    def labels(self) -> np.ndarray:
        """Captions, str [n]."""
        return labels_of(self.examples)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.images.image_shape

    @property
    def resize(self) -> int:
        return self.images.resize

    @property
    def crop_mode(self) -> Literal["center", "pad"]:
        return self.images.crop_mode

    @property
    def skipped(self) -> dict[str, str]:
        return {**self.without_caption, **self.images.skipped}

    def model_options(self) -> dict[str, Any]:
        sizes = {"vocabulary_size": self.tokenizer.vocabulary_size, "context_length": self.tokenizer.length}
        return self.images.model_options() | sizes

    def moments(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.images.moments()

    def name(self, index: int) -> str:
        return self.images.name(index)

    def order(self, seed: int, batch_size: int) -> ShuffleSampler:
        return self.images.order(seed, batch_size)

    def batches(
        self, seed: int, start_step: int = 0, *, batch_size: int, share: tuple[int, int] = WHOLE
    ) -> Iterator[Batch]:
        return map(self._with_tokens, self.images.batches(seed, start_step, batch_size=batch_size, share=share))

    def eval_batches(self, batch_size: int, *, share: tuple[int, int] = WHOLE) -> Iterator[Batch]:
        return map(self._with_tokens, self.images.eval_batches(batch_size, share=share))

    def _with_tokens(self, batch: Batch) -> Batch:
        place = batch["label"]
        return {**batch, "label": self.token_rows[place], "image_key": self.keys[place], "example": place}

    def eval_image(self, index: int) -> np.ndarray | None:
        """One image as evaluation sees it, uint8 [H, W, C], of a loader that reads them as they are needed."""
        streaming: Any = self.images
        image: np.ndarray | None = streaming.eval_image(index)
        return image

    def take(self, index: np.ndarray) -> PairLoader:
        """The pairs at `index`, int [n], of a loader that reads images as they are needed."""
        examples = Subset(self.examples, index)
        streaming: Any = self.images
        images = replace(streaming, examples=_with_places(examples, self.labels[index].tolist()))
        return replace(self, images=images, examples=examples, token_rows=self.token_rows[index], keys=self.keys[index])


def open_pair_loader(
    source: DataSource,
    open_images: Callable[[DataSource], Any],
    make_tokenizer: Callable[[list[str]], CaptionTokenizer],
    *,
    skip_unreadable: bool = False,
) -> PairLoader:
    """The loader of a source whose labels are captions.

    Args:
      open_images: opens the loader of the images of a source.
      make_tokenizer: the tokenizer, from these captions if it is made of them.

    Raises:
      UnreadableImage: a pair without a caption, without `skip_unreadable`; or `open_images` raises it.
      ValueError: no pair has a caption.
    """
    captions = labels_of(source).tolist()
    lacking = {source.name(i): NO_CAPTION for i, caption in enumerate(captions) if not caption}
    if lacking:
        first = f"{next(iter(lacking))}: {NO_CAPTION}"
        if not skip_unreadable:
            more = f"; {len(lacking):,} of {len(captions):,} have none; go without: skip_unreadable=True"
            raise UnreadableImage(first + more)
        index = np.array([i for i, caption in enumerate(captions) if caption], np.int64)
        if not len(index):
            raise ValueError(f"expected pairs of images and captions, got {len(captions):,} images without any")
        source, captions = Subset(source, index), [captions[i] for i in index]
    tokenizer = make_tokenizer(captions)
    names: dict[str, int] = {}
    keys = np.array([names.setdefault(source.name(i), i) for i in range(len(captions))], np.int32)
    images = open_images(_with_places(source, captions))
    return PairLoader(images, source, tokenizer, tokenizer(captions), keys, lacking)


def _with_places(source: DataSource, captions: list[str]) -> Subset:
    """The source with the place of each example as its label."""
    places = np.arange(len(captions))
    return Subset(source, places, places, tuple(captions))
