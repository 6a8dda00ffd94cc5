"""The loader of pairs: images of any image loader, with the tokens of their captions.

A batch: image uint8 [N, H, W, C]; label int32 [N, T], tokens; image_key int32 [N], equal for pairs of one image;
caption_key int32 [N], equal for pairs of one caption, but for case and spaces; example int32 [N], the pair's index in
the source; mask float32 [N].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from resnet_jax.data.loading.loader import ImageInput, ImageLoader
from resnet_jax.data.loading.samplers import WHOLE, ShuffleSampler
from resnet_jax.data.sources.protocols import DataSource
from resnet_jax.data.sources.subsets import Subset, labels_of
from resnet_jax.errors import UnreadableImage
from resnet_jax.inputs.captions import CaptionTokenizer
from resnet_jax.text import caption_key
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
    image_keys: np.ndarray  # int32 [n]
    caption_keys: np.ndarray  # int32 [n]
    without_caption: Mapping[str, str] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """The tokens of the vocabulary; (): it is a published one."""
        return self.tokenizer.tokens

    @property
    def num_examples(self) -> int:
        return self.images.num_examples

    @property
    def labels(self) -> np.ndarray:
        """Captions of the pairs whose images are served, str [n]."""
        return labels_of(self.examples)[self.images.labels]

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

    def captions(self, batch: Batch) -> list[str]:
        """The captions of a batch of this loader."""
        return [str(caption) for caption in labels_of(self.examples)[np.asarray(batch["example"])]]

    def _with_tokens(self, batch: Batch) -> Batch:
        place = batch["label"]
        keys = {"image_key": self.image_keys[place], "caption_key": self.caption_keys[place]}
        return {**batch, "label": self.token_rows[place], **keys, "example": place}

    def eval_image(self, index: int) -> np.ndarray | None:
        """One image as evaluation sees it, uint8 [H, W, C], of a loader that reads them as they are needed."""
        streaming: Any = self.images
        image: np.ndarray | None = streaming.eval_image(index)
        return image

    def take(self, index: np.ndarray) -> PairLoader:
        """The pairs at `index`, int [n], of a loader that reads images as they are needed."""
        examples = Subset(self.examples, index)
        streaming: Any = self.images
        images = replace(streaming, examples=_with_places(examples, labels_of(examples).tolist()))
        rows = {name: getattr(self, name)[index] for name in ("token_rows", "image_keys", "caption_keys")}
        return replace(self, images=images, examples=examples, **rows)


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
            more = f"; {len(lacking):,} of {len(captions):,} have none"
            raise UnreadableImage(first + more)
        index = np.array([i for i, caption in enumerate(captions) if caption], np.int64)
        if not len(index):
            raise ValueError(f"expected pairs of images and captions, got {len(captions):,} images without any")
        source, captions = Subset(source, index), [captions[i] for i in index]
    tokenizer = make_tokenizer(captions)
    # Tokens do not tell captions apart: long ones are cut, and unknown words have one token.
    image_keys, caption_keys = _keys(map(source.name, range(len(captions)))), _keys(map(caption_key, captions))
    images = open_images(_with_places(source, captions))
    return PairLoader(images, source, tokenizer, tokenizer(captions), image_keys, caption_keys, lacking)


def _keys(names: Iterable[str]) -> np.ndarray:
    """The place of the first that is equal, int32 [n]."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(name, i) for i, name in enumerate(names)], np.int32)


def _with_places(source: DataSource, captions: list[str]) -> Subset:
    """The source with the place of each example as its label."""
    places = np.arange(len(captions))
    return Subset(source, places, places, tuple(captions))
