import numpy as np
import pytest

from resnet_jax.data.sheet import grid


def test_a_grid_is_filled_row_by_row_and_padded_with_black():
    images = np.arange(1, 6, dtype=np.uint8).reshape(5, 1, 1, 1) * np.ones((5, 2, 3, 1), np.uint8)
    picture = grid(images, columns=3, gap=1)
    assert picture.shape == (2 * 2 + 1, 3 * 3 + 2, 3) and picture.dtype == np.uint8
    assert picture[::3, ::4, 0].tolist() == [[1, 2, 3], [4, 5, 0]]
    assert not picture[2].any() and not picture[:, 3].any()  # the gaps
    assert grid(images[:2], gap=0).shape == (2, 6, 3)  # no wider than there are images


@pytest.mark.parametrize("shape, dtype", [((4, 4, 3), np.uint8), ((1, 4, 4, 2), np.uint8), ((1, 4, 4, 3), np.float32)])
def test_a_grid_wants_bytes_in_one_or_three_channels(shape, dtype):
    with pytest.raises(ValueError, match=r"wanted uint8 \[n, H, W, 1 or 3\]"):
        grid(np.zeros(shape, dtype))
