import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax.models.decoders.mask_head import Doubling, project_masks
from resnet_jax.ops.boxes import roi_align


def test_projected_masks_equal_an_adaptive_roi_align_that_ends_at_the_images_edge(x64):
    rng, size = np.random.default_rng(0), (40, 56)
    masks = rng.integers(0, 2, (3, *size)).astype(np.uint8)
    corners = np.sort(rng.uniform(0, size[0], (6, 2, 2)), axis=1).reshape(6, 4)
    edge = [[20.5, 10, 56, 40], [0, 39.5, 3, 40], [5, 5, 5, 5]]  # at the edges, less than a pixel high, without area
    boxes, matches = jnp.asarray(np.concatenate([corners, edge])), jnp.array([0, 1, 2, 0, 1, 2, 0, 1, 2])
    per_box = jnp.asarray(masks, float)[matches][..., None]
    expected = jax.jit(lambda x, y: roi_align(x, y, (7, 7), sampling_ratio=0))(per_box, boxes[:, None])[:, 0, :, :, 0]
    canvas = rng.integers(0, 2, (3, 64, 96)).astype(np.uint8)
    canvas[:, : size[0], : size[1]] = masks
    projected = jax.jit(project_masks, static_argnums=4)(jnp.asarray(canvas), boxes, matches, jnp.array(size), 7)
    np.testing.assert_allclose(projected, expected, rtol=0, atol=1e-12)


def test_doubling_transposes_a_convolution_of_stride_2(x64):
    """The sum of x * conv(y) is that of doubling(x) * y."""
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.standard_normal(shape)) for shape in ((2, 3, 4, 5), (2, 6, 8, 7)))
    layer = Doubling(7, jnp.float64, jnp.float64)
    variables = layer.init(jax.random.key(0), x)
    conv = jax.lax.conv_general_dilated(
        y, variables["params"]["kernel"], (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    np.testing.assert_allclose((layer.apply(variables, x) * y).sum(), (x * conv).sum(), rtol=1e-12)
