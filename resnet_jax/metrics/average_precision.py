"""Average precision and recall of detections, as COCO defines them (Lin et al. 2014); equal to pycocotools.

T overlap thresholds, A ranges of area, K classes; d detections and g true objects of an image, of one class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of the overlap
RECALLS = np.linspace(0, 1, 101)  # where the precision is read
RANGES = {
    "all": (0, 1e10),
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, 1e10),
}  # areas, both ends in
LOWEST, HIGHEST = (np.array(ends) for ends in zip(*RANGES.values(), strict=True))
MOST = 100  # detections of a class in an image that count
# The twelve numbers: whether it is a recall, the range of areas, the most detections, the threshold (None: all).
NUMBERS: dict[str, tuple[bool, str, int, float | None]] = {
    "ap": (False, "all", 100, None),
    "ap50": (False, "all", 100, 0.5),
    "ap75": (False, "all", 100, 0.75),
    **{f"ap_{name}": (False, name, 100, None) for name in ("small", "medium", "large")},
    **{f"ar{most}": (True, "all", most, None) for most in (1, 10, 100)},
    **{f"ar_{name}": (True, name, 100, None) for name in ("small", "medium", "large")},
}
Overlaps = Callable[[np.ndarray, np.ndarray], np.ndarray]  # indices of d detections and g objects -> float [d, g]


class _Matches(NamedTuple):
    """Detections of one class in one image, the highest score first."""

    scores: np.ndarray  # float64 [d]
    correct: np.ndarray  # bool [A, T, d]: matched to an object that counts
    ignored: np.ndarray  # bool [A, T, d]: neither correct nor wrong
    objects: np.ndarray  # int [A]: true objects that count


class AveragePrecision:
    """Streaming average precision and recall over images, of each class and their means.

    Detections of equal score are ranked by their order in the image, and images by their `example`, whatever the order
    in which they are added. An image that was added before is ignored.
    """

    def __init__(self, num_classes: int) -> None:
        self._matches: list[dict[int, _Matches]] = [{} for _ in range(num_classes)]  # of each class, by example
        self._examples: set[int] = set()

    def __contains__(self, example: int) -> bool:
        return example in self._examples

    def add(
        self,
        example: int,
        labels: np.ndarray,
        scores: np.ndarray,
        areas: np.ndarray,
        true_labels: np.ndarray,
        true_areas: np.ndarray,
        crowd: np.ndarray,
        overlaps: Overlaps,
    ) -> None:
        """Adds an image.

        Args:
          example: its index in the data.
          labels, scores, areas: of the detections: int [n], 0 to K - 1; float [n]; float [n] in pixels.
          true_labels, true_areas: of the objects: int [m]; float [m].
          crowd: bool [m]: regions of several objects. A detection in one is ignored.
          overlaps: of some detections with some objects; see `box_overlaps` and `images.rle.iou`.
        """
        if example in self._examples:
            return
        self._examples.add(example)
        for k in np.union1d(labels, true_labels).astype(int).tolist():
            chosen, objects = np.flatnonzero(labels == k), np.flatnonzero(true_labels == k)
            chosen = chosen[np.argsort(-scores[chosen], kind="stable")][:MOST]
            self._matches[k][example] = _match(
                scores[chosen].astype(np.float64),
                areas[chosen],
                true_areas[objects],
                crowd[objects],
                overlaps(chosen, objects),
            )

    def result(self) -> dict[str, float]:
        """COCO's twelve numbers, the means over classes and thresholds.

        "ap" (overlaps 0.5 to 0.95), "ap50", "ap75", "ap_small", "ap_medium", "ap_large"; recalls "ar1", "ar10", "ar100"
        (with so many detections per class and image), "ar_small", "ar_medium", "ar_large". Classes without such objects
        are skipped; NaN if there are none of any class, where pycocotools has -1.
        """
        return {name: _mean(values) for name, values in self.by_class().items()}

    def by_class(self) -> dict[str, np.ndarray]:
        """The twelve numbers of each class: float64 [K]; NaN for a class without such objects."""
        rows = [self._numbers(matches) for matches in self._matches]
        return {name: np.array([row[name] for row in rows], np.float64) for name in NUMBERS}

    @property
    def objects(self) -> np.ndarray:
        """True objects of each class, without crowds: int [K]."""
        return np.array([sum(int(one.objects[0]) for one in each.values()) for each in self._matches], np.int64)

    def _numbers(self, by_example: dict[int, _Matches]) -> dict[str, float]:
        images = [by_example[example] for example in sorted(by_example)]
        ranges = list(RANGES)
        cases = {(name, most) for _, name, most, _ in NUMBERS.values()}
        curves = {(name, most): _curves(images, ranges.index(name), most) for name, most in sorted(cases)}
        numbers = {}
        for name, (is_recall, area, most, threshold) in NUMBERS.items():
            curve = curves[area, most]
            if curve is None:
                numbers[name] = float("nan")
                continue
            values = curve[is_recall]
            numbers[name] = float(values.mean() if threshold is None else values[THRESHOLDS == threshold].mean())
        return numbers


def box_overlaps(boxes: np.ndarray, others: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes: float [d, 4], [g, 4] as x0, y0, x1, y1 -> float64 [d, g].

    Args:
      crowd: bool [g]. A crowd's overlap is the share of the detection that is in it.
    """
    boxes, others = np.asarray(boxes, np.float64), np.asarray(others, np.float64)
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    width, height = np.moveaxis(np.minimum(boxes[:, None, 2:], others[:, 2:]) - low, -1, 0)
    both = np.where((width > 0) & (height > 0), width * height, 0)
    area, other_area = box_areas(boxes)[:, None], box_areas(others)
    union = np.where(crowd, area, area + other_area - both)
    return np.where(both > 0, both / np.where(both > 0, union, 1), 0)


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """float [n, 4] -> [n]."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _match(
    scores: np.ndarray, areas: np.ndarray, true_areas: np.ndarray, crowd: np.ndarray, overlaps: np.ndarray
) -> _Matches:
    """Matches the detections to the objects in turn, under each range of areas and threshold.

    A detection takes the object that overlaps it most, the last of equal ones, among those that no earlier one has and
    whose overlap reaches the threshold; objects that do not count are taken only where no other can be. Crowds are
    matched by any number of detections.
    """
    outside = (true_areas < LOWEST[:, None]) | (true_areas > HIGHEST[:, None])
    is_ignored = crowd | outside  # bool [A, g]
    shape = (len(RANGES), len(THRESHOLDS), len(scores))
    matched, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    reached = np.minimum(THRESHOLDS, 1 - 1e-10)
    count = len(true_areas)
    free = np.ones((*shape[:2], count), bool)
    for d in np.flatnonzero((overlaps >= reached[0]).any(1)) if count else ():
        rank = np.empty(count, np.int64)
        rank[np.argsort(overlaps[d], kind="stable")] = np.arange(1, count + 1)
        # Objects that count are above all others, and 0 is none.
        candidates = (free | crowd) & (overlaps[d] >= reached[:, None])
        order = candidates * (rank + count * ~is_ignored)[:, None]
        best = order.argmax(-1)
        has = np.take_along_axis(order, best[..., None], -1)[..., 0] > 0
        matched[..., d] = has
        ignored[..., d] = has & np.take_along_axis(is_ignored, best, 1)
        area, threshold = np.nonzero(has)
        free[area, threshold, best[has]] = False
    unseen = (areas < LOWEST[:, None]) | (areas > HIGHEST[:, None])
    ignored |= ~matched & unseen[:, None]
    return _Matches(scores, matched & ~ignored, ignored, (~is_ignored).sum(1))


def _curves(images: list[_Matches], area: int, most: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Precision at each recall, float64 [T, R], and the last recall, float64 [T]; None without objects."""
    objects = sum(int(one.objects[area]) for one in images)
    if not objects:
        return None
    scores = np.concatenate([one.scores[:most] for one in images])
    order = np.argsort(-scores, kind="stable")
    correct, ignored = (
        np.concatenate([x[area, :, :most] for x in each], axis=1)[:, order]
        for each in ([one.correct for one in images], [one.ignored for one in images])
    )
    hits, misses = np.cumsum(correct, 1), np.cumsum(~correct & ~ignored, 1)
    recall = hits / objects
    precision = hits / (hits + misses + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    precision = np.concatenate([precision, np.zeros((len(precision), 1))], axis=1)  # of recalls that are not reached
    read = [row[np.searchsorted(reached, RECALLS)] for row, reached in zip(precision, recall, strict=True)]
    return np.stack(read), recall[:, -1] if len(scores) else np.zeros(len(recall))


def _mean(values: np.ndarray) -> float:
    """Mean of the numbers that are defined; NaN without any."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
