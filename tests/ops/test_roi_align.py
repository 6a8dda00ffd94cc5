from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from box_cases import FILE, PYRAMID_SIZE, pyramid, regions, sides

from resnet_jax.ops.boxes import assign_levels, multiscale_roi_align, roi_align


@pytest.fixture(scope="module")
def expected():
    with np.load(FILE) as file:
        return dict(file)


@pytest.mark.parametrize("index", range(4))
def test_pools_and_gradients_equal_torchvision(x64, strict_dtypes, expected, index):
    """Also with boxes after them that are padding, and count nothing in the gradient."""
    name, (features, boxes, (sampling_ratio, aligned)) = list(regions())[index]
    boxes = jnp.asarray(np.concatenate([boxes, np.zeros((2, 3, 4))], axis=1))
    pool = partial(roi_align, output_size=(3, 2), scale=0.25, sampling_ratio=sampling_ratio, aligned=aligned)

    def loss(features):
        pooled = pool(features, boxes)
        return (pooled[:, :12] ** 2).sum() / 2, pooled

    gradient, pooled = jax.jit(jax.grad(loss, has_aux=True))(jnp.asarray(features))
    np.testing.assert_allclose(pooled[:, :12], expected[name], atol=1e-13)
    np.testing.assert_allclose(gradient, expected[f"{name}_gradient"], atol=1e-13)
    assert jnp.isfinite(pooled).all()


def test_each_box_is_pooled_on_its_level(x64, strict_dtypes, expected):
    levels, boxes = pyramid()
    levels, boxes = list(map(jnp.asarray, levels)), jnp.asarray(boxes)
    pooled = multiscale_roi_align(levels, boxes, (128, 160), (2, 2), canonical_size=PYRAMID_SIZE)
    np.testing.assert_allclose(pooled, expected["pyramid"], atol=1e-13)
    assert len(np.unique(assign_levels(boxes, 2, 5, canonical_size=PYRAMID_SIZE))) == 4


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_levels_equal_torchvision_at_their_borders(x64, strict_dtypes, expected, dtype):
    np.testing.assert_array_equal(assign_levels(jnp.asarray(sides(dtype)), 2, 5), expected[f"levels_{dtype}"])
    assert assign_levels(jnp.zeros((1, 4)), 2, 5).tolist() == [0]


def test_bfloat16_features_are_added_in_float32_and_boxes_get_no_gradient(strict_dtypes):
    _, (features, boxes, _) = next(regions())
    features, boxes = jnp.asarray(features, jnp.bfloat16), jnp.asarray(boxes, jnp.float32)

    def loss(features, boxes):
        pooled = roi_align(features, boxes, (3, 2), scale=0.25)
        return pooled.astype(jnp.float32).sum(), pooled

    (to_features, to_boxes), pooled = jax.grad(loss, (0, 1), has_aux=True)(features, boxes)
    assert pooled.dtype == to_features.dtype == jnp.bfloat16 and not to_boxes.any()
    exact = roi_align(features.astype(jnp.float32), boxes, (3, 2), scale=0.25)
    np.testing.assert_array_equal(pooled, exact.astype(jnp.bfloat16))


def test_a_bin_is_the_mean_of_its_samples():
    """On a map of its own coordinates the sample's value is its place, on the border's pixel beyond the border."""
    y, x = np.mgrid[:6, :8].astype(np.float32)
    features = jnp.asarray(np.stack([y, x], -1)[None])
    pooled = roi_align(features, jnp.asarray([[[2.0, 4, 10, 12]]]), (2, 4), scale=0.5)[0, 0]  # x 1 to 5, y 2 to 6
    np.testing.assert_allclose(pooled[:, 0, 0], [3.0, (4.5 + 5) / 2], rtol=1e-6)
    np.testing.assert_allclose(pooled[0, :, 1], [1.5, 2.5, 3.5, 4.5], rtol=1e-6)
