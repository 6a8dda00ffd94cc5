"""Masks in images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.images import rle
from resnet_jax.images.pasting import paste_mask
from resnet_jax.ops.paste import paste_masks

SIZE = (60, 45)


def test_masks_are_pasted_as_on_the_device():
    rng = np.random.default_rng(0)
    masks = rng.random((30, 14, 14)).astype(np.float32)
    corners = rng.uniform(-20, 50, (30, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0.2, 70, (30, 2))], axis=1).astype(np.float32)
    with jax.numpy_rank_promotion("allow"):
        expected = np.asarray(paste_masks(jnp.asarray(masks), jnp.asarray(boxes), SIZE))
    for mask, box, values in zip(masks, boxes, expected, strict=True):
        pasted = paste_mask(mask, box, SIZE).decode()
        assert not (pasted != (values > 0.5))[np.abs(values - 0.5) > 1e-5].any()
    assert (expected > 0.5).any()


@pytest.mark.parametrize("corner", [(0, 0), (2, 3), (5, 4)])
def test_part_of_a_mask_is_encoded_as_the_whole(corner):
    rng = np.random.default_rng(1)
    for density in (0, 0.3, 0.8, 1):
        mask = np.zeros((9, 8), np.uint8)
        part = rng.random((4, 4)) < density
        mask[corner[0] : corner[0] + 4, corner[1] : corner[1] + 4] = part
        assert rle.to_coco(rle.encode_part(part, corner, (9, 8))) == rle.to_coco(rle.encode(mask))
    full = rle.encode_part(np.ones((9, 8)), (0, 0), (9, 8))
    assert full.counts.tolist() == [0, 72]
