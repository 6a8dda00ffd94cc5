"""Masks as run lengths, COCO's format: counts of pixels off, on, off, ..., from the top left down each column.

Equal to pycocotools bit by bit, in NumPy: codes, areas, boxes, unions, overlaps, and the rasteriser of polygons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

UPSAMPLING = 5  # the rasteriser rounds corners to a fifth of a pixel
FARTHEST = 1e8  # pixels: coordinates of polygons are less, so that whole numbers of 64 bits hold their products
ROUNDS = 13  # 5-bit digits of the longest count that the text form may have


@dataclass(frozen=True, eq=False)
class RLE:
    """A mask as run lengths.

    Raises:
      ValueError: counts that are negative or do not add up to the mask's pixels.
    """

    size: tuple[int, int]  # height, width
    counts: np.ndarray  # int64 [n]: lengths of the runs, the first of pixels that are off (0: the first pixel is on)

    def __post_init__(self) -> None:
        height, width = (int(side) for side in self.size)
        counts = np.asarray(self.counts, np.int64)
        if counts.ndim != 1 or (counts < 0).any():
            raise ValueError(f"expected run lengths of at least 0, got {_shown(counts)}")
        if counts.max(initial=0) > height * width:  # sums of such lengths may wrap around to the right one
            raise ValueError(
                f"expected run lengths of at most {height} x {width} = {height * width}, got {counts.max()}"
            )
        if (total := int(counts.sum())) != height * width:
            raise ValueError(f"expected run lengths that add up to {height} x {width} = {height * width}, got {total}")
        object.__setattr__(self, "size", (height, width))
        object.__setattr__(self, "counts", counts)

    @property
    def area(self) -> int:
        """Number of pixels that are on."""
        return int(self.counts[1::2].sum())

    @property
    def box(self) -> np.ndarray:
        """Smallest box around the pixels that are on: float64 [4] as x0, y0, x1, y1; zeros for an empty mask."""
        starts, ends = runs(self)
        if not len(starts):
            return np.zeros(4)
        height = self.size[0]
        x0, x1 = starts[0] // height, (ends[-1] - 1) // height + 1
        tops, bottoms = starts % height, (ends - 1) % height
        if (starts // height < (ends - 1) // height).any():  # a run over the end of a column
            return np.array([x0, 0, x1, height], np.float64)
        return np.array([x0, tops.min(), x1, bottoms.max() + 1], np.float64)

    def decode(self) -> np.ndarray:
        """The mask, uint8 [height, width]: 1 where it is on."""
        on = np.arange(len(self.counts)) % 2
        return np.repeat(on.astype(np.uint8), self.counts).reshape(self.size[::-1]).T


def encode(mask: np.ndarray) -> RLE:
    """Run lengths of a mask [height, width]; pixels other than 0 are on."""
    pixels = np.asarray(mask, bool).T.ravel()
    flips = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    return _from_flips(flips if not pixels[:1].any() else np.concatenate([[0], flips]), (mask.shape[0], mask.shape[1]))


def encode_part(part: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> RLE:
    """Run lengths of a mask that is off outside of a part, without its other pixels.

    Args:
      part: [h, w]; pixels other than 0 are on.
      corner: row and column of the part's first pixel in the mask, which holds all of it.
      size: height and width of the mask.
    """
    columns = np.pad(np.asarray(part, bool).T, ((0, 0), (1, 1)))
    column, row = np.nonzero(columns[:, 1:] != columns[:, :-1])
    places, times = np.unique((column + corner[1]) * size[0] + row + corner[0], return_counts=True)
    return _from_flips(places[times % 2 == 1], size)  # a run may go on at the top of the next column


def runs(rle: RLE) -> tuple[np.ndarray, np.ndarray]:
    """Runs of pixels that are on, in the order of columns: int64 [n] first pixels, int64 [n] ends (exclusive)."""
    bounds = np.cumsum(rle.counts)
    starts, ends = bounds[: len(bounds) // 2 * 2 : 2], bounds[1::2]
    present = ends > starts
    return starts[present], ends[present]


def merge(rles: Sequence[RLE], *, intersect: bool = False) -> RLE:
    """The union of masks of one size, or with `intersect` what is on in all of them.

    Raises:
      ValueError: no masks, or masks of several sizes.
    """
    sizes = {rle.size for rle in rles}
    if len(sizes) != 1:
        raise ValueError(f"expected masks of one size, got {sorted(sizes)}")
    if len(rles) == 1:
        return rles[0]
    needed = len(rles) if intersect else 1
    spans = [runs(rle) for rle in rles]
    places = np.concatenate([x for starts, ends in spans for x in (starts, ends)])
    steps = np.concatenate([np.full(len(x), step) for starts, ends in spans for x, step in ((starts, 1), (ends, -1))])
    order = np.argsort(places, kind="stable")
    places, depth = places[order], np.cumsum(steps[order])
    final = np.ones(len(places), bool)
    final[:-1] = places[1:] != places[:-1]  # the depth at a pixel counts every run that starts or ends there
    places, on = places[final], depth[final] >= needed
    flips = places[on != np.concatenate([[False], on[:-1]])]
    return _from_flips(flips, rles[0].size)


def iou(detections: Sequence[RLE], truths: Sequence[RLE], crowd: np.ndarray) -> np.ndarray:
    """Intersection over union of masks of one size: float64 [d, g], 0 for masks whose boxes are apart.

    Args:
      crowd: bool [g]. A crowd's overlap is the share of the detection that is in it: intersection over its area.
    """
    overlaps = np.zeros((len(detections), len(truths)))
    if not overlaps.size:
        return overlaps
    boxes, others = np.stack([x.box for x in detections]), np.stack([x.box for x in truths])
    near = (np.minimum(boxes[:, None, 2:], others[:, 2:]) > np.maximum(boxes[:, None, :2], others[:, :2])).all(-1)
    areas = np.array([x.area for x in truths])
    spans = [runs(x) for x in truths]
    for d in np.flatnonzero(near.any(1)).tolist():
        columns = np.flatnonzero(near[d]).tolist()
        starts, ends = (np.concatenate([spans[g][i] for g in columns]) for i in (0, 1))
        first = np.cumsum([0] + [len(spans[g][0]) for g in columns[:-1]])
        both = np.add.reduceat(_pixels_before(detections[d], ends) - _pixels_before(detections[d], starts), first)
        area = detections[d].area
        union = np.where(crowd[columns], area, area + areas[columns] - both)
        overlaps[d, columns] = np.where(both > 0, both / np.maximum(union, 1), 0)
    return overlaps


def _pixels_before(rle: RLE, places: np.ndarray) -> np.ndarray:
    """Pixels of a mask that are on before each place: int [n] -> int64 [n]."""
    starts, ends = runs(rle)
    sums = np.concatenate([[0], np.cumsum(ends - starts)])
    index = np.searchsorted(starts, places, side="right")  # runs that start at or before the place
    beyond = np.maximum(ends[index - 1] - places, 0)  # of the last of them
    return sums[index] - np.where(index > 0, beyond, 0)


def to_string(rle: RLE) -> str:
    """The compressed text of COCO's files: differences to the count before the last, in digits of 6 bits from "0"."""
    values = rle.counts.copy()
    values[3:] -= rle.counts[1:-2]
    digits = np.zeros((ROUNDS, len(values)), np.uint8)
    present = np.zeros(digits.shape, bool)
    more = np.ones(len(values), bool)
    for i in range(ROUNDS):
        present[i] = more
        digit = values & 31
        values >>= 5
        more = more & np.where(digit & 16, values != -1, values != 0)
        digits[i] = digit + 32 * more + 48
        if not more.any():
            break
    return digits.T[present.T].tobytes().decode("ascii")


def from_string(text: str | bytes, size: tuple[int, int]) -> RLE:
    """Run lengths from the compressed text of COCO's files.

    Args:
      size: height and width.

    Raises:
      ValueError: not such a text, or counts that do not add up to the size.
    """
    codes = np.frombuffer(text.encode() if isinstance(text, str) else text, np.uint8).astype(np.int64) - 48
    last = (codes & 32) == 0
    lengths = np.diff(np.flatnonzero(last), prepend=-1)
    if not len(codes) or (codes < 0).any() or (codes > 63).any() or not last[-1] or lengths.max() >= ROUNDS:
        raise ValueError(f"expected compressed run lengths, got {_shown(text)}")
    ends = np.cumsum(lengths)
    place = np.arange(len(codes)) - np.repeat(ends - lengths, lengths)
    values = np.add.reduceat((codes & 31) << (5 * place), ends - lengths)
    values -= np.where(codes[ends - 1] & 16, 1 << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return RLE(size, values)


def from_polygons(polygons: Sequence[Any], size: tuple[int, int]) -> RLE:
    """The union of polygons, rasterised as pycocotools does it.

    Args:
      polygons: each float [2 n], the corners as x, y, x, y, ... in pixels.
      size: height and width of the mask.

    Raises:
      ValueError: no polygons, or one that is not x, y of at least three corners.
    """
    if not len(polygons):
        raise ValueError("expected at least one polygon, got none")
    return merge([_rasterise(polygon, size) for polygon in polygons])


def from_coco(segmentation: Any, size: tuple[int, int]) -> RLE:
    """A mask from "segmentation" of COCO's JSON: polygons, or {"size", "counts"} with numbers or compressed text.

    Args:
      size: height and width of the image.

    Raises:
      ValueError: another form or size, or counts that do not add up to it.
    """
    if isinstance(segmentation, Mapping):
        counts, stated = segmentation.get("counts"), tuple(segmentation.get("size", size))
        if stated != tuple(size):
            raise ValueError(f"expected a mask of {size[0]} x {size[1]} (height, width), got {_shown(list(stated))}")
        if isinstance(counts, str | bytes):
            return from_string(counts, size)
        if isinstance(counts, list) and all(isinstance(x, int) for x in counts):
            if not all(abs(x) < 2**63 for x in counts):
                raise ValueError(f"expected run lengths of 0 to {size[0] * size[1]}, got {_shown(counts)}")
            return RLE(size, np.array(counts, np.int64))
    elif isinstance(segmentation, list):
        return from_polygons(segmentation, size)
    raise ValueError(f"expected polygons or run lengths, got {_shown(segmentation)}")


def to_coco(rle: RLE) -> dict[str, Any]:
    """A mask as COCO's result files have it: {"size": [height, width], "counts": compressed text}."""
    return {"size": list(rle.size), "counts": to_string(rle)}


def _from_flips(flips: np.ndarray, size: tuple[int, int]) -> RLE:
    """Run lengths of the mask that changes at these pixels: increasing int [n]."""
    pixels = int(size[0]) * int(size[1])
    return RLE(size, np.diff(np.concatenate([[0], flips[flips < pixels], [pixels]])))


def _rasterise(polygon: Any, size: tuple[int, int]) -> RLE:
    """One polygon. Its edges, on a grid `UPSAMPLING` times as fine, flip all pixels after the places where they cross
    the middle of a column.
    """
    corners = _corners(polygon)
    height, width = size
    column, edge = _columns_crossed(corners[:, 0], np.roll(corners[:, 0], -1), width)
    (x, y), (other_x, other_y) = corners[edge].T, np.roll(corners, -1, axis=0)[edge].T
    boundary = UPSAMPLING * column + UPSAMPLING // 2  # the edge passes from here to the next point on the fine grid
    flat = np.abs(other_x - x) >= np.abs(other_y - y)
    row = np.where(
        flat,
        _row_of_flat_edge(x, y, other_x, other_y, boundary),
        _row_of_steep_edge(x, y, other_x, other_y, boundary),
    )
    row = np.ceil(np.clip((row + 0.5) / UPSAMPLING - 0.5, 0, height)).astype(np.int64)
    places, times = np.unique(column * height + row, return_counts=True)
    return _from_flips(places[times % 2 == 1], size)


def _corners(polygon: Any) -> np.ndarray:
    """Corners on the fine grid, int64 [n, 2], rounded as C casts: towards 0 after 0.5 is added."""
    try:
        values = np.asarray(polygon, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"expected a polygon as x, y, x, y, ..., got {_shown(polygon)}") from error
    if values.ndim != 1 or len(values) < 6 or len(values) % 2 or not (np.abs(values) < FARTHEST).all():
        raise ValueError(f"expected a polygon as x, y of at least three corners, got {_shown(polygon)}")
    return (UPSAMPLING * values + 0.5).astype(np.int64).reshape(-1, 2)


def _columns_crossed(start: np.ndarray, end: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns whose middle each edge crosses, with the edges: int64 [m], int64 [m]."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    half = UPSAMPLING // 2
    first = np.maximum(-((half - low) // UPSAMPLING), 0)  # the smallest column with 5 column + 2 >= low
    last = np.minimum((high - half - 1) // UPSAMPLING, width - 1)  # the largest one with 5 column + 3 <= high
    count = np.maximum(last - first + 1, 0)
    edge = np.repeat(np.arange(len(start)), count)
    return np.arange(len(edge)) - np.repeat(np.cumsum(count) - count - first, count), edge


def _row_of_flat_edge(x: Any, y: Any, other_x: Any, other_y: Any, boundary: np.ndarray) -> np.ndarray:
    """Row on the fine grid of edges that are at least as wide as high: the upper of the two points."""
    flip = x > other_x
    x, y, other_x, other_y = _swapped(flip, x, y, other_x, other_y)
    slope = (other_y - y) / np.maximum(other_x - x, 1)
    points = [np.trunc(y + slope * t + 0.5) for t in (boundary - x, boundary + 1 - x)]
    return np.minimum(*points)


def _row_of_steep_edge(x: Any, y: Any, other_x: Any, other_y: Any, boundary: np.ndarray) -> np.ndarray:
    """Row on the fine grid of edges that are higher than wide: the last one before they pass the boundary."""
    flip = y > other_y
    x, y, other_x, other_y = _swapped(flip, x, y, other_x, other_y)
    height = np.maximum(other_y - y, 1)
    slope = (other_x - x) / height
    estimate = np.floor((boundary + 0.5 - x) / np.where(slope == 0, 1, slope))
    before = np.zeros(len(x))
    for offset in (-2, -1, 0, 1, 2):  # rounding moves the estimate by one at most
        t = np.clip(estimate + offset, 0, height)
        column = np.trunc(x + slope * t + 0.5)
        same_side = np.where(slope > 0, column <= boundary, column > boundary)
        before = np.where(same_side, np.maximum(before, t), before)
    return y + before


def _swapped(flip: np.ndarray, x: Any, y: Any, other_x: Any, other_y: Any) -> tuple[np.ndarray, ...]:
    """The ends of edges, exchanged where `flip`."""
    return tuple(np.where(flip, a, b) for a, b in ((other_x, x), (other_y, y), (x, other_x), (y, other_y)))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
