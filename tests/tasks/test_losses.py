import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.tasks.losses import cross_entropy, label_weights

LOGITS = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
LABELS = np.array([0, 6, 3, 3, 1])


def log_softmax(x):
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_equals_the_definition(strict_dtypes):
    ours = cross_entropy(jnp.asarray(LOGITS), jnp.asarray(LABELS))
    np.testing.assert_allclose(ours, -log_softmax(LOGITS.astype(float))[range(5), LABELS], rtol=1e-6)


def test_smoothing_and_soft_targets(strict_dtypes):
    one_hot = np.eye(7, dtype=np.float32)[LABELS]
    smooth = one_hot * 0.9 + 0.1 / 7
    expected = -(smooth * log_softmax(LOGITS.astype(float))).sum(-1)
    for labels in (LABELS, one_hot):
        ours = cross_entropy(jnp.asarray(LOGITS), jnp.asarray(labels), label_smoothing=0.1)
        np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_class_weights(strict_dtypes):
    """As PyTorch's CrossEntropyLoss(weight=..., label_smoothing=...), whose mean is divided by the labels' weights."""
    weights = np.array([1.0, 0.0, 2.0, 0.5, 1.0, 3.0, 4.0])
    class_weights = tuple(weights)
    one_hot = np.eye(7, dtype=np.float32)[LABELS]
    losses = -log_softmax(LOGITS.astype(float))
    smooth = 0.9 * weights[LABELS] * losses[range(5), LABELS] + 0.1 / 7 * (losses @ weights)
    for labels in (LABELS, one_hot):
        ours = cross_entropy(
            jnp.asarray(LOGITS), jnp.asarray(labels), label_smoothing=0.1, class_weights=tuple(weights)
        )
        np.testing.assert_allclose(ours, smooth, rtol=1e-6)
        np.testing.assert_allclose(label_weights(jnp.asarray(labels), class_weights), weights[LABELS], rtol=1e-7)
    mixed = label_weights(jnp.asarray((one_hot + one_hot[::-1]) / 2), class_weights)
    np.testing.assert_allclose(mixed, (weights[LABELS] + weights[LABELS[::-1]]) / 2, rtol=1e-7)


def test_large_logits_do_not_overflow(strict_dtypes):
    loss = cross_entropy(jnp.array([[1e4, -1e4]]), jnp.array([0]))
    np.testing.assert_array_equal(loss, 0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_outside_the_classes_give_nan_to_their_own_example_alone(strict_dtypes, smoothing):
    """Also as uint8, which is too small for the number of classes."""
    for logits, labels, bad in (
        (LOGITS, np.int32([0, 7, 3, -1, 1]), [1, 3]),
        (np.zeros((2, 1000), np.float32), np.uint8([255, 0]), []),
    ):

        def loss(x, labels=labels):
            return cross_entropy(x, jnp.asarray(labels), label_smoothing=smoothing)

        gradient = jax.grad(lambda x: loss(x).sum())(jnp.asarray(logits))
        for values in (loss(jnp.asarray(logits)), gradient.sum(-1)):
            np.testing.assert_array_equal(np.flatnonzero(np.isnan(values)), bad)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((5, 1), np.int32), r"got int32 \[5, 1\]; labels\[:, 0\] has the shape"),
        (np.zeros(5, np.float32), r"got float32 \[5\]; labels.astype\('int32'\)"),
        (np.zeros(5, bool), r"got bool \[5\]"),
        (np.zeros((5, 7), np.int32), r"got int32 \[5, 7\]; labels.astype\('float32'\)"),
        (np.zeros((5, 6), np.float32), r"got float32 \[5, 6\]$"),
        (np.zeros((1, 7), np.float32), r"got float32 \[1, 7\]$"),
        (np.zeros(4, np.int32), r"got int32 \[4\]"),
        (np.zeros((), np.int32), r"got int32 \[\]$"),
    ],
)
def test_labels_of_another_type_or_shape_are_refused(labels, message):
    with pytest.raises(ValueError, match=r"^expected labels int \[5\] or soft targets float \[5, 7\], " + message):
        cross_entropy(jnp.asarray(LOGITS), jnp.asarray(labels))


def test_class_weights_that_are_not_one_finite_number_per_class_are_refused():
    for wrong in (-1.0, np.nan, np.inf, 0.0):
        with pytest.raises(ValueError, match=f"expected finite class weights of at least 0, not all 0, got {wrong}, 0"):
            cross_entropy(jnp.asarray(LOGITS), jnp.asarray(LABELS), class_weights=[wrong] + [0.0] * 6)
    for count in (1, 6):
        with pytest.raises(ValueError, match=f"expected 7 class weights, one per class, got {count}"):
            cross_entropy(jnp.asarray(LOGITS), jnp.asarray(LABELS), class_weights=[1.0] * count)


def test_fewer_than_two_classes_are_refused():
    for classes in (0, 1):
        with pytest.raises(ValueError, match=rf"at least two classes, got \[5, {classes}\]; or pass a loss"):
            cross_entropy(jnp.zeros((5, classes)), jnp.zeros(5, int))
