import jax
import jax.numpy as jnp
import numpy as np
from box_cases import FILE, codings, random_boxes

from resnet_jax.ops.boxes import box_area, box_iou, generalized_iou_loss, paired_iou


def test_overlaps_are_those_of_numpy_to_the_bit(strict_dtypes):
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 60, np.float32), random_boxes(rng, 80, np.float32)
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    both = np.maximum(sides, 0).prod(-1)
    areas = [(x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (a, b)]
    iou = both / (areas[0][:, None] + areas[1] - both)
    np.testing.assert_array_equal(jax.jit(box_area)(a), areas[0])
    np.testing.assert_array_equal(jax.jit(box_iou)(a, b), iou)
    np.testing.assert_array_equal(paired_iou(a, jnp.asarray(b[:60])), iou.diagonal())


def test_generalized_iou_loss_equals_torchvision(x64):
    boxes, anchors, _ = codings()
    with np.load(FILE) as file:
        np.testing.assert_allclose(generalized_iou_loss(boxes, anchors), file["generalized_iou_loss"], rtol=1e-12)


def test_empty_boxes_have_finite_losses_and_gradients():
    boxes = jnp.asarray([[0, 0, 0, 0], [3, 3, 3, 3], [1, 2, 3, 4]], jnp.float32)
    assert box_iou(boxes, boxes).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]

    def loss(a, b):
        return box_iou(a, b).sum() + paired_iou(a, b).sum() + generalized_iou_loss(a, b).sum()

    for other in (boxes, boxes[::-1]):
        assert all(jnp.isfinite(x).all() for x in jax.jit(jax.grad(loss, (0, 1)))(boxes, other))
