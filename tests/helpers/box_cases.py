"""Boxes and maps from a seed, and what torchvision makes of them; as a script, writes the file of its results.

PYTHONPATH=tests/helpers:. python tests/helpers/box_cases.py, with torchvision. The environment may name another seed
and another file, for tests of more cases.
"""

import os
from pathlib import Path

import numpy as np

SEED = int(os.environ.get("BOX_CASES_SEED", "0"))
FILE = Path(os.environ.get("BOX_CASES_FILE", Path(__file__).parents[1] / "golden" / "dense" / "boxes.npz"))
THRESHOLDS = (0.3, 0.5, 0.6, 0.7)  # of which float32 has two above and two below
MATCHERS = ((0.5, 0.4, True), (0.7, 0.3, True), (0.5, 0.5, False))  # high, low, allow low quality
PYRAMID_SIZE = 56  # pixels of a box of level 4, so that every level has boxes
ROI_OPTIONS = ((2, False), (3, True), (-1, False), (-1, True))  # sampling ratio, aligned
SIZE = (203, 317)  # height and width of the canvas, in pixels
ANCHOR_SHAPES = ((26, 40), (13, 20), (7, 10))
ANCHOR_SIZES = ((32, 40, 50), (64, 80, 101), (128, 161, 203))
ANCHOR_RATIOS = ((0.5, 1.0, 2.0),) * 3
RESIZES = (((13, 9), (5, 21)), ((7, 8), (14, 24)), ((5, 1), (13, 4)), ((33, 6), (47, 11)))
METHODS = (("bilinear", False), ("bilinear", True), ("nearest", False))  # method, align_corners
CODE_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def random_boxes(rng, count, dtype, height=100, width=100, grid=None):
    """[count, 4] inside the image; with `grid`, corners are its multiples: equal overlaps and empty boxes."""
    corners = rng.random((count, 2, 2)) * (width, height)
    if grid is not None:
        corners = np.round(corners / grid) * grid
    return np.concatenate([corners.min(1), corners.max(1)], axis=1).astype(dtype)


def suppressions():
    """By name: boxes, scores, labels and threshold. Scores are equal where the boxes are on a grid."""
    rng = np.random.default_rng((SEED, 1))
    for dtype in ("float32", "float64"):
        for grid in (None, 10):
            for count, threshold in zip((1, 40, 200, 1010), THRESHOLDS, strict=True):
                boxes = random_boxes(rng, count, dtype, grid=grid)
                scores = (rng.random(count) if grid is None else rng.integers(0, 5, count) / 5).astype(dtype)
                yield f"nms_{dtype}_{grid}_{count}", (boxes, scores, rng.integers(0, 4, count), threshold)


def matchings():
    """By name: true boxes, anchors, and a row of `MATCHERS`."""
    rng = np.random.default_rng((SEED, 2))
    for dtype in ("float32", "float64"):
        for grid in (None, 10):
            for index, options in enumerate(MATCHERS):
                truths = random_boxes(rng, 12, dtype, grid=grid)
                truths[:, 2:] = np.maximum(truths[:, 2:], truths[:, :2] + 5)
                yield f"match_{dtype}_{grid}_{index}", (truths, random_boxes(rng, 400, dtype, grid=grid), options)


def regions():
    """By name: features [2, 11, 13, 3] of stride 4, boxes [2, 12, 4] and a row of `ROI_OPTIONS`.

    Boxes reach over the border where the number of samples is fixed; one has no area, one is the whole image.
    """
    rng = np.random.default_rng((SEED, 3))
    for index, options in enumerate(ROI_OPTIONS):
        boxes = random_boxes(rng, 24, "float64", 44, 52).reshape(2, 12, 4)
        if options[0] > 0:
            boxes += rng.uniform(-12, 12, (2, 12, 1))
        boxes[0, 0, 2:], boxes[1, 0] = boxes[0, 0, :2], (0, 0, 52, 44)
        yield f"roi_{index}", (rng.standard_normal((2, 11, 13, 3)), boxes, options)


def pyramid():
    """Four levels [2, h, w, 2] of a canvas of 128 x 160 pixels, and boxes [2, 10, 4] of all sizes."""
    rng = np.random.default_rng((SEED, 4))
    boxes = random_boxes(rng, 20, "float64", 128, 160).reshape(2, 10, 4)
    boxes[0, 0], boxes[1, 0] = (3, 5, 9, 10), (0, 0, 160, 128)
    return [rng.standard_normal((2, 128 // s, 160 // s, 2)) for s in (4, 8, 16, 32)], boxes


def sides(dtype):
    """Squares [n, 4] at, just below and around the borders between levels."""
    powers = 7 * 2.0 ** np.arange(2, 11)
    side = np.concatenate(
        [powers, powers.astype(dtype) * (1 - 2e-6), np.random.default_rng((SEED, 8)).random(200) * 1000]
    )
    return np.stack([0 * side, 0 * side, side, side], axis=1).astype(dtype)


def codings():
    """Boxes, anchors and codes, [30, 4] each."""
    rng = np.random.default_rng((SEED, 5))
    boxes, anchors = (random_boxes(rng, 30, "float64") + np.array([0, 0, 1, 1]) for _ in range(2))
    return boxes, anchors, 3 * rng.standard_normal((30, 4))


def pastings():
    """Masks [6, 8, 8], and boxes [6, 4] in an image of 30 x 37 pixels, one without area."""
    rng = np.random.default_rng((SEED, 6))
    boxes = random_boxes(rng, 6, "float64", 30, 37)
    boxes[0, 2:] = boxes[0, :2]
    return rng.random((6, 8, 8)), boxes, (30, 37)


def maps():
    """By name: a map [1, h, w, 2], the size to resize it to, method and align_corners."""
    rng = np.random.default_rng((SEED, 7))
    for index, (size, target) in enumerate(RESIZES):
        for method, align_corners in METHODS:
            x = rng.standard_normal((1, *size, 2))
            yield f"resize_{index}_{method}_{align_corners}", (x, target, method, align_corners)


def torchvision_results():
    """What torchvision and PyTorch make of all that, channels last. Gradients are of half the sum of squares."""
    import torch
    import torch.nn.functional as F
    from torch import from_numpy as tensor
    from torchvision import ops
    from torchvision.models.detection import _utils as coding
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.image_list import ImageList
    from torchvision.models.detection.roi_heads import paste_masks_in_image
    from torchvision.ops.poolers import LevelMapper

    def first(x):
        return tensor(np.ascontiguousarray(np.moveaxis(x, -1, 1)))

    def last(x):
        return np.moveaxis(x.detach().numpy(), 1, -1)

    for name, (boxes, scores, labels, threshold) in suppressions():
        yield name, ops.nms(tensor(boxes), tensor(scores), threshold).numpy().astype(np.int16)
        batched = ops.batched_nms(tensor(boxes), tensor(scores), tensor(labels), threshold)
        yield f"{name}_batched", batched.numpy().astype(np.int16)
    for name, (truths, anchors, options) in matchings():
        yield name, coding.Matcher(*options)(ops.box_iou(tensor(truths), tensor(anchors))).numpy().astype(np.int16)
    for name, (features, boxes, (sampling_ratio, aligned)) in regions():
        x = first(features).requires_grad_()
        pooled = ops.roi_align(x, list(tensor(boxes)), (3, 2), 0.25, sampling_ratio, aligned)
        pooled.square().sum().div(2).backward()
        yield name, last(pooled).reshape(2, 12, 3, 2, 3)
        yield f"{name}_gradient", last(x.grad)
    levels, boxes = pyramid()
    pooler = ops.MultiScaleRoIAlign(list("0123"), 2, 2, canonical_scale=PYRAMID_SIZE)
    named = {str(i): first(x) for i, x in enumerate(levels)}
    yield "pyramid", last(pooler(named, list(tensor(boxes)), [(128, 160)] * 2)).reshape(2, 10, 2, 2, 2)
    for dtype in ("float32", "float64"):
        yield f"levels_{dtype}", LevelMapper(2, 5)([tensor(sides(dtype))]).numpy().astype(np.int8)
    boxes, anchors, codes = map(tensor, codings())
    coder, linear = coding.BoxCoder(CODE_WEIGHTS), coding.BoxLinearCoder(normalize_by_size=True)
    yield "encode", coder.encode_single(boxes, anchors).numpy()
    yield "decode", coder.decode_single(codes, anchors).numpy()
    yield "encode_distances", linear.encode(anchors, boxes).numpy()
    yield "decode_distances", linear.decode(codes, anchors).numpy()
    yield "generalized_iou_loss", ops.generalized_box_iou_loss(boxes, anchors).numpy()
    masks, boxes, size = pastings()
    yield "paste", paste_masks_in_image(tensor(masks)[:, None], tensor(boxes), size)[:, 0].numpy()
    images = ImageList(torch.zeros(1, 3, *SIZE), [SIZE])
    generator = AnchorGenerator(ANCHOR_SIZES, ANCHOR_RATIOS)
    yield "anchors", generator(images, [torch.zeros(1, 1, *shape) for shape in ANCHOR_SHAPES])[0].numpy()[::7]
    for name, (x, target, method, align_corners) in maps():
        corners = {"align_corners": align_corners} if method == "bilinear" else {}
        yield name, last(F.interpolate(first(x), target, mode=method, **corners))


if __name__ == "__main__":
    np.savez_compressed(FILE, **dict(torchvision_results()))
