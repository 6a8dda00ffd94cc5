"""Class labels as distributions."""

import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.ops import at_least_int32, one_hot


def test_rows_are_those_of_the_identity_and_wrong_labels_give_nan(strict_dtypes):
    rows = np.asarray(one_hot(jnp.array([2, 0, -1, 3]), 3))
    np.testing.assert_array_equal(rows[:2], np.eye(3)[[2, 0]])
    assert np.isnan(rows[2:]).all() and rows.dtype == np.float32


def test_bytes_hold_labels_of_more_than_256_classes():
    """In uint8 the comparison with 300 would wrap around to 44."""
    labels = jnp.array([255, 43, 44], jnp.uint8)
    np.testing.assert_array_equal(one_hot(labels, 300).argmax(-1), [255, 43, 44])
    assert at_least_int32(labels).dtype == at_least_int32(jnp.array([1], jnp.int16)).dtype == jnp.int32


@pytest.mark.parametrize("labels", [jnp.zeros(3), jnp.zeros((3, 2), jnp.int32)], ids=["float", "matrix"])
def test_labels_of_another_type_or_rank_are_refused(labels):
    with pytest.raises(ValueError, match=r"expected labels int \[N\], got "):
        one_hot(labels, 2)
