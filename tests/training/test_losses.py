import jax.numpy as jnp
import numpy as np

from resnet_jax.training.losses import cross_entropy

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
    wanted = -(smooth * log_softmax(LOGITS.astype(float))).sum(-1)
    for labels in (LABELS, one_hot):
        ours = cross_entropy(jnp.asarray(LOGITS), jnp.asarray(labels), label_smoothing=0.1)
        np.testing.assert_allclose(ours, wanted, rtol=1e-6)


def test_large_logits_do_not_overflow(strict_dtypes):
    loss = cross_entropy(jnp.array([[1e4, -1e4]]), jnp.array([0]))
    np.testing.assert_array_equal(loss, 0)
