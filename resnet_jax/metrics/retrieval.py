"""Retrieval of texts by images and of images by texts, streaming: recall at 1, 5 and 10."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

RANKS = (1, 5, 10)
DIRECTIONS = ("image_to_text", "text_to_image")
RESULTS = ("r1", *(f"{direction}_r{rank}" for direction in DIRECTIONS for rank in RANKS))
CHUNK = 1024  # queries that are ranked at a time


class RetrievalMetrics:
    """Share of the queries with a correct candidate among the first 1, 5 or 10.

    Images query the captions of all pairs, captions the distinct images. An image with several captions counts once,
    and each of its captions is correct for it; a caption that several images have is correct for each of them. Of equal
    scores wrong candidates come first, as do those with NaN, so that features that are all equal retrieve nothing.
    Where no image, or no text, has finite features, the net has diverged, and there are no results (NaN).
    """

    def __init__(self) -> None:
        self._images: list[np.ndarray] = []
        self._texts: list[np.ndarray] = []
        self._image_keys: list[int] = []
        self._captions: list[bytes] = []

    def update(self, images: np.ndarray, texts: np.ndarray, keys: np.ndarray, captions: np.ndarray) -> None:
        """Adds pairs.

        Args:
          images, texts: features float [n, D], whose inner products are the scores.
          keys: int [n], equal for pairs of one image.
          captions: int [n] or [n, T], equal for equal captions.
        """
        self._images.append(np.asarray(images, np.float32))
        self._texts.append(np.asarray(texts, np.float32))
        self._image_keys += np.asarray(keys).tolist()
        self._captions += [row.tobytes() for row in np.ascontiguousarray(captions)]

    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """Features of all pairs so far, of images and of texts: float32 [n, D] each."""
        return np.concatenate(self._images), np.concatenate(self._texts)

    def result(self) -> dict[str, float]:
        """ "r1", the mean of both directions, and "image_to_text_r1", ... Raises ValueError if there were no pairs."""
        if not self._image_keys:
            raise ValueError("expected at least one pair of image and text, got none")
        images, texts = self.features()
        if not all(np.isfinite(features).all(1).any() for features in (images, texts)):
            return dict.fromkeys(RESULTS, math.nan)
        _, first, image_of = np.unique(self._image_keys, return_index=True, return_inverse=True)
        codes = _codes(self._captions)
        captions = _groups(codes, image_of)  # of each distinct image
        owners = _groups(image_of, codes)  # images of each caption
        pairs = _groups(np.arange(len(codes)), codes)  # places of each caption
        of_images = [np.concatenate([pairs[code] for code in captions[image]]) for image in range(len(first))]
        of_texts = [owners[code] for code in codes.tolist()]
        ranks = {
            "image_to_text": best_ranks(images[first], texts, of_images),
            "text_to_image": best_ranks(texts, images[first], of_texts),
        }
        recalls = {f"{name}_r{k}": float((ranks[name] < k).mean()) for name in DIRECTIONS for k in RANKS}
        return {"r1": sum(recalls[f"{name}_r1"] for name in DIRECTIONS) / 2, **recalls}


def best_ranks(queries: np.ndarray, candidates: np.ndarray, correct: Sequence[np.ndarray]) -> np.ndarray:
    """Rank of the best correct candidate of each query, int [n], 0 for the first; beyond all ranks where it is NaN.

    Args:
      queries, candidates: features float [n, D] and [m, D].
      correct: places of the correct candidates of each query, one or more.
    """
    ranks = []
    for row, places in zip(score_rows(queries, candidates), correct, strict=True):
        best = row[places].max()
        wrong = int((~(row < best)).sum() - (~(row[places] < best)).sum())  # NaN is no lower score
        ranks.append(wrong if np.isfinite(best) else max(len(row), RANKS[-1]))
    return np.array(ranks)


def score_rows(queries: np.ndarray, candidates: np.ndarray) -> Iterator[np.ndarray]:
    """Scores of all candidates, float [m], for each query."""
    for start in range(0, len(queries), CHUNK):
        yield from queries[start : start + CHUNK] @ candidates.T


def _codes(captions: Sequence[bytes]) -> np.ndarray:
    """A number from 0 for each caption, equal for equal ones."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(caption, len(numbers)) for caption in captions])


def _groups(values: np.ndarray, keys: np.ndarray) -> Mapping[int, np.ndarray]:
    """The distinct values of each key."""
    order = np.argsort(keys, kind="stable")
    names, starts = np.unique(keys[order], return_index=True)
    return {int(name): np.unique(part) for name, part in zip(names, np.split(values[order], starts[1:]), strict=True)}
