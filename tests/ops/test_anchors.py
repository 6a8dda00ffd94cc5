import jax.numpy as jnp
import numpy as np
import pytest
from box_cases import ANCHOR_RATIOS, ANCHOR_SHAPES, ANCHOR_SIZES, FILE, SIZE

from resnet_jax.ops.boxes import anchors_of_level, make_anchors


def test_anchors_equal_torchvision():
    """A canvas that no stride divides."""
    levels = make_anchors(SIZE, ANCHOR_SHAPES, ANCHOR_SIZES, ANCHOR_RATIOS)
    assert [len(level) for level in levels] == [9 * height * width for height, width in ANCHOR_SHAPES]
    with np.load(FILE) as file:
        np.testing.assert_array_equal(np.concatenate(levels)[::7], file["anchors"])


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_ratios_before_sizes_at_each_place_row_by_row(x64, strict_dtypes, dtype):
    anchors = anchors_of_level((8, 12), (2, 3), (2, 4), (1.0, 4.0), jnp.dtype(dtype))
    base = [[-1, -1, 1, 1], [-2, -2, 2, 2], [0, -2, 0, 2], [-1, -4, 1, 4]]  # 0.5 is rounded to 0
    shifts = [(4 * x, 4 * y) * 2 for y in range(2) for x in range(3)]
    assert anchors.dtype == dtype
    assert anchors.tolist() == (np.array(shifts)[:, None] + base).reshape(-1, 4).tolist()
