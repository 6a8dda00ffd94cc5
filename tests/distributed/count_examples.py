"""One of two processes that evaluate together: COORDINATOR PROCESS_ID. Its sums show which examples were counted."""

import sys

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax.data import MemoryLoader
from resnet_jax.distributed import processes as distributed
from resnet_jax.distributed.devices import Parallel
from resnet_jax.evaluation.evaluate import evaluate
from resnet_jax.metrics.confusion import Confusion
from resnet_jax.metrics.typed import Mean, reduce
from resnet_jax.training.core import Forward

MOST = 131  # a prime
MARKS = np.random.default_rng(0).integers(1, 10_000, (4, MOST)).astype(np.float32)  # their sums are exact


def step(state, batch):
    means = {str(i): Mean.of(jax.numpy.asarray(MARKS)[i, batch["label"]], batch["mask"]) for i in range(len(MARKS))}
    rows = {"label": batch["label"], "mask": batch["mask"]}
    return Forward({}, jax.lax.all_gather(rows, "data", tiled=True), reduce(means, "data"))


class Counter:
    """Counts the examples of each label."""

    def __init__(self):
        self.confusion = Confusion(tuple(map(str, range(MOST))))

    def update(self, outputs, batch):
        self.confusion.add(np.where(batch["mask"] > 0, batch["label"], -1), batch["label"])

    def result(self):
        return {}


# Both processes get the same values: nothing is random.
@settings(max_examples=40, derandomize=True, deadline=None, database=None)
@given(n=st.integers(1, MOST) | st.sampled_from([1, 2, 3, 5, 7, 127, MOST]), each=st.sampled_from([1, 2, 3, 5, 7, 11]))
def count(n, each):
    batch_size = each * len(PARALLEL.devices)
    source = MemoryLoader(np.zeros((n, 1, 1, 1), np.uint8), np.arange(n, dtype=np.int32), tuple(map(str, range(MOST))))
    counter = Counter()
    means = evaluate(MAPPED, STATE, source, counter, batch_size=batch_size, parallel=PARALLEL)
    np.testing.assert_array_equal(counter.confusion.matrix, np.diag(np.arange(MOST) < n))
    assert means.pop("images") == n
    assert means == {str(i): marks[:n].sum() / n for i, marks in enumerate(MARKS)}, (n, batch_size)


if __name__ == "__main__":
    distributed.start(coordinator=sys.argv[1], processes=2, process_id=int(sys.argv[2]))
    assert jax.process_count() == 2
    PARALLEL = Parallel()
    STATE, MAPPED = PARALLEL.replicate(np.zeros(())), PARALLEL.map(step)
    count()
    print("counted with", len(PARALLEL.devices), "devices")
