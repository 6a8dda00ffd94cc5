import jax.numpy as jnp
import pytest

from resnet_jax.metrics.typed import Last, Mean, Sum
from resnet_jax.training import metrics


def test_sums_over_examples_are_means_times_the_count():
    typed = {
        "loss": Mean(jnp.float32(6), jnp.float32(4)),
        "pixels": Mean(jnp.float32(50), jnp.float32(100)),  # by another weight
        "rate": Last(jnp.float32(0.5)),
        "skipped": Sum(jnp.float32(1)),
        "count": Sum(jnp.float32(4)),
    }
    sums = {name: float(x) for name, x in metrics.as_sums(typed).items()}
    assert sums == {"loss": 6.0, "pixels": 2.0, "rate": 2.0, "skipped": 1.0, "count": 4.0}
    assert metrics.mean([sums, sums]) == {"loss": 1.5, "pixels": 0.5, "rate": 0.5, "skipped": 0.25}


def test_no_examples_is_an_error():
    with pytest.raises(ValueError, match="expected at least one example"):
        metrics.mean([])
