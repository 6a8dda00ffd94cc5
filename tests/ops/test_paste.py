import jax.numpy as jnp
import numpy as np
from box_cases import FILE, pastings

from resnet_jax.ops.boxes import paste_masks


def test_pasted_masks_equal_torchvision(x64, strict_dtypes):
    masks, boxes, size = pastings()
    pasted = paste_masks(jnp.asarray(masks), jnp.asarray(boxes), size)
    with np.load(FILE) as file:
        np.testing.assert_allclose(pasted, file["paste"], atol=1e-14)
    assert pasted.shape == (6, *size)


def test_boxes_beyond_the_image_are_cut():
    boxes = jnp.asarray([[-20, -20, 20, 20], [50, 50, 60, 60]], jnp.float32)
    pasted = np.asarray(paste_masks(jnp.ones((2, 4, 4)), boxes, (16, 12)))
    assert (pasted[0, :12] > 0.99).all() and not pasted[1].any()
