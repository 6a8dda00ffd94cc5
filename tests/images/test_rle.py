"""Run lengths equal pycocotools' bit by bit."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from resnet_jax.images import rle


def polygons(rng, kind):
    """Corners inside and outside of an image of about 40 pixels: any, halves, fifths, and whole ones that repeat."""
    corners = rng.uniform(-10, 50, 2 * int(rng.integers(3, 12)))
    if kind == "repeated":
        corners = np.round(corners)
        corners[2:4] = corners[-2:] = corners[:2]
    step = {"any": 1e-9, "halves": 0.5, "fifths": 0.2, "repeated": 1}[kind]
    return np.round(corners / step) * step


def text(reference):
    return reference["counts"].decode()


@pytest.mark.parametrize("kind", ["any", "halves", "fifths", "repeated"])
def test_polygons_are_rasterised_as_by_pycocotools(kind):
    rng = np.random.default_rng(0)
    for _ in range(150):
        size = tuple(rng.integers(1, 50, 2).tolist())
        corners = polygons(rng, kind)
        expected = coco_mask.frPyObjects([corners.tolist()], *size)[0]
        mask = rle.from_polygons([corners], size)
        assert rle.to_string(mask) == text(expected)
        assert np.array_equal(mask.decode(), coco_mask.decode(expected))


def test_long_edges_of_large_images_are_rasterised_as_by_pycocotools():
    corners = np.random.default_rng(1).uniform(-100, 3100, (20, 14))
    expected = coco_mask.merge(coco_mask.frPyObjects(corners.tolist(), 2000, 3000))
    assert rle.to_string(rle.from_polygons(corners, (2000, 3000))) == text(expected)


def test_codes_areas_boxes_unions_and_overlaps_equal_pycocotools():
    rng = np.random.default_rng(2)
    for density in (0, 0.02, 0.3, 0.9, 1) * 20:
        size = rng.integers(1, 40, 2)
        masks = (rng.random((6, *size)) < density).astype(np.uint8)
        expected = [coco_mask.encode(np.asfortranarray(x)) for x in masks]
        codes = [rle.encode(x) for x in masks]
        for code, mask, reference in zip(codes, masks, expected, strict=True):
            assert rle.to_coco(code) == {"size": reference["size"], "counts": text(reference)}
            assert np.array_equal(rle.from_coco(reference, tuple(size)).decode(), mask)
            assert code.area == coco_mask.area(reference)
            x, y, width, height = coco_mask.toBbox(reference)
            assert code.box.tolist() == [x, y, x + width, y + height]
        for intersect in (False, True):
            assert rle.to_string(rle.merge(codes, intersect=intersect)) == text(coco_mask.merge(expected, intersect))
        crowd = rng.random(3) < 0.5
        overlaps = coco_mask.iou(expected, expected[:3], crowd.astype(np.uint8).tolist())
        assert np.array_equal(rle.iou(codes, codes[:3], crowd), overlaps)


def test_counts_of_all_lengths_survive_the_text():
    rng = np.random.default_rng(3)
    counts = np.round(2.0 ** rng.uniform(0, 28, 400)).astype(np.int64)
    size = (1, int(counts.sum()))
    assert np.array_equal(rle.from_string(rle.to_string(rle.RLE(size, counts)), size).counts, counts)


def test_segmentations_of_coco_files():
    square = [2.0, 2, 6, 2, 6, 6, 2, 6]
    expected = np.zeros((8, 9), np.uint8)
    expected[2:6, 2:6] = 1
    mask = rle.from_coco([square], (8, 9))
    assert np.array_equal(mask.decode(), expected)
    assert np.array_equal(rle.from_coco({"size": [8, 9], "counts": mask.counts.tolist()}, (8, 9)).decode(), expected)


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([], "at least one polygon, got none"),
        ([[1, 2, 3, 4]], "at least three corners"),
        ([[1, 2, 3, 4, 5, float("nan")]], "at least three corners"),
        ([["a", "b"]], "expected a polygon"),
        ({"counts": [70], "size": [8, 9]}, "8 x 9 = 72, got 70"),
        ({"counts": [80, -8], "size": [8, 9]}, "of at least 0"),
        ({"counts": "W2", "size": [8, 9]}, "8 x 9 = 72, got"),
        ({"counts": "o", "size": [8, 9]}, "compressed run lengths"),
        ({"counts": "", "size": [8, 9]}, "compressed run lengths"),
        ({"counts": [72], "size": [9, 8]}, "8 x 9 .height, width., got .9, 8."),
        ({"size": [8, 9]}, "polygons or run lengths"),
        (None, "polygons or run lengths"),
    ],
)
def test_broken_masks_are_refused(segmentation, words):
    with pytest.raises(ValueError, match=words):
        rle.from_coco(segmentation, (8, 9))


def test_masks_of_several_sizes_are_not_merged():
    with pytest.raises(ValueError, match="of one size"):
        rle.merge([rle.encode(np.ones((2, 3))), rle.encode(np.ones((3, 2)))])
