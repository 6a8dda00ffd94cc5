from functools import partial

import jax
import numpy as np
import pytest
from box_cases import FILE, random_boxes, suppressions
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax.ops import nms as module
from resnet_jax.ops.boxes import batched_nms, nms

SIZE, COUNT = 1030, 1020
one_by_one = jax.jit(nms, static_argnums=(2, 4))
by_label = jax.jit(batched_nms, static_argnums=(3, 5))


def spread(rng, values, size, fill):
    """`values` in their order at random places of an array of `size`, and where they are."""
    places = np.sort(rng.choice(size, len(values), replace=False))
    padded = np.full((size, *values.shape[1:]), fill, values.dtype)
    padded[places] = values
    return padded, places


def indices(results):
    index, valid = map(np.asarray, results)
    assert not np.any(index[~valid]) and np.all(np.diff(valid.astype(int)) <= 0)
    return index[valid]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equals_torchvision_whatever_the_padding(x64, dtype):
    """Padding has the highest score and a box that overlaps all. More than 1000 boxes: torchvision's other way."""
    with np.load(FILE) as file:
        expected = dict(file)
    cases = [(name, case) for name, case in suppressions() if dtype in name]
    assert len(cases) == 8
    for name, (boxes, scores, labels, threshold) in cases:
        rng = np.random.default_rng(len(scores))
        (boxes, places), valid = spread(rng, boxes, SIZE, 50), np.zeros(SIZE, bool)
        boxes[np.setdiff1d(np.arange(SIZE), places)] = (0, 0, 100, 100)
        valid[places] = True
        sorted_scores, labels_at = np.full(SIZE, 2, dtype), np.zeros(SIZE, int)
        sorted_scores[places], labels_at[places] = scores, labels
        result = indices(one_by_one(boxes, sorted_scores, threshold, valid, COUNT))
        np.testing.assert_array_equal(result, places[expected[name]], name)
        result = indices(by_label(boxes, sorted_scores, labels_at, threshold, valid, COUNT))
        reference = places[expected[f"{name}_batched"]]
        if len(scores) > 1000:  # its last sort is not stable
            reference = reference[np.lexsort((reference, -sorted_scores[reference]))]
        np.testing.assert_array_equal(result, reference, name)


def suppress(boxes, scores, labels, threshold, valid, count):
    """The definition: the best one that is not suppressed, again and again."""
    chosen = []
    for i in sorted(np.flatnonzero(valid), key=lambda i: (-scores[i], i)):
        for j in chosen:
            (x0, y0), (x1, y1) = np.maximum(boxes[i][:2], boxes[j][:2]), np.minimum(boxes[i][2:], boxes[j][2:])
            both = max(x1 - x0, 0) * max(y1 - y0, 0)
            areas = sum((b[2] - b[0]) * (b[3] - b[1]) for b in boxes[[i, j]])
            if labels[i] == labels[j] and areas > both and both / (areas - both) > threshold:
                break
        else:
            chosen.append(i)
    return chosen[:count]


@pytest.fixture(scope="module")
def in_small_blocks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", 8)
        yield jax.jit(partial(batched_nms, threshold=0.5, count=9))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(0, 30))
def test_equals_the_sequential_algorithm(in_small_blocks, seed, levels, number):
    """Whole coordinates, so that overlaps of exactly one half occur, and few scores."""
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, 30, np.float32, 8, 8, grid=1)
    scores, labels = rng.integers(0, levels, 30).astype(np.float32), rng.integers(0, 2, 30)
    valid = rng.permutation(30) < number
    expected = suppress(boxes, scores, labels, 0.5, valid, 9)
    result = in_small_blocks(boxes=boxes, scores=scores, labels=labels, valid=valid)
    np.testing.assert_array_equal(indices(result), expected)


def test_images_of_a_batch_and_overlaps_at_the_threshold():
    """Overlaps are 3 / 5 and 4 / 5. float32's 3 / 5 is more than 0.6, and torchvision compares in double precision.

    The second image has another order, the third no box, the fourth three equal ones without area.
    """
    near = np.float32([[0, 0, 4, 1], [1, 0, 5, 1], [0, 0, 5, 1]])
    boxes = np.stack([near, near, near, np.zeros_like(near)])
    scores = np.float32([[3, 2, 1], [1, 2, 3], [3, 2, 1], [1, 1, 1]])
    valid = np.array([[1, 1, 1], [1, 1, 1], [0, 0, 0], [1, 1, 1]], bool)
    index, is_valid = jax.vmap(lambda *args: nms(*args[:2], 0.6, args[2], 4))(boxes, scores, valid)
    assert index.tolist() == [[0, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0], [0, 1, 2, 0]]
    assert is_valid.sum(1).tolist() == [1, 1, 0, 3]
    assert indices(nms(boxes[0], scores[0], np.nextafter(0.6, 1), valid[0], 4)).tolist() == [0]
    assert indices(nms(boxes[0], scores[0], 0.6 + 1e-7, valid[0], 4)).tolist() == [0, 1]
