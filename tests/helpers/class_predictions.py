"""Random predictions of classes, for tests."""

import numpy as np

from resnet_jax.tasks import Predictions


def predictions(seed=0, n=200, classes=7):
    """Predictions for n images with random labels, and their probabilities [n, K]."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal((n, classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.random.default_rng(9).integers(0, classes, n)
    outputs = {"log_probability": np.log(probabilities)}
    return Predictions([f"image {i}" for i in range(n)], labels, outputs, range(n)), probabilities
