import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.metrics.typed import Last, Mean, Sum, merge, results
from resnet_jax.training import metrics


def test_means_are_the_sums_divided_by_the_count_of_all_batches():
    batches = [{"loss": jnp.float32(6), "count": jnp.float32(4)}, {"loss": np.float32(3), "count": np.float32(2)}]
    assert metrics.mean(batches) == {"loss": 1.5}


@pytest.mark.parametrize("batches", [[], [{"loss": np.float32(0), "count": np.float32(0)}]])
def test_no_examples_is_an_error(batches):
    with pytest.raises(ValueError, match="expected at least one example"):
        metrics.mean(batches)


def test_a_number_of_a_step_is_weighted_by_its_examples():
    norms = [{"norm": metrics.over_examples(jnp.float32(x), jnp.float32(n))} for x, n in ((2, 3), (6, 1), (9, 0))]
    assert results(merge(merge(*norms[:2]), norms[2]))["norm"] == 3.0


def test_each_type_is_reported_as_it_is_and_a_mean_of_no_examples_as_none():
    typed = {
        "count": Sum(jnp.float32(4)),
        "loss": Mean(jnp.float32(6), jnp.float32(4)),
        "pixels": Mean(jnp.float32(50), jnp.float32(100)),
        "boxes": Mean(jnp.float32(0), jnp.float32(0)),
        "rate": Last(jnp.float32(0.5)),
        "positives": Sum(jnp.float32(3)),
    }
    expected = {"loss": 1.5, "pixels": 0.5, "boxes": None, "rate": 0.5, "positives": 3.0}
    assert metrics.reported(typed) == expected and metrics.example_count(typed) == 4
