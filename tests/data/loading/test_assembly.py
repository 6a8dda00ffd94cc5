import numpy as np
import pytest

from resnet_jax.data.loading.assembly import PART, BatchAssembly
from resnet_jax.data.loading.threads import in_threads


def row(number):
    return {"image": np.full((2, 2, 3), number, np.uint8), "label": np.int32(number), "mask": np.float32(1)}


@pytest.mark.parametrize("size", [1, 5, 7, 8, 12, 22, 32])
def test_batches_have_their_examples_in_order(size):
    assembly = BatchAssembly(size)
    assert 1 <= assembly.part <= PART and assembly.part * assembly.parts == size
    parts = in_threads(
        lambda part: assembly.write(part, map(row, assembly.examples(part))), 3 * assembly.parts, threads=3
    )
    batches = list(assembly.batches(parts))
    assert len(batches) == 3 and not assembly._batches
    assert [batch["label"].tolist() for batch in batches] == np.arange(3 * size).reshape(3, size).tolist()
    assert all((batch["image"] == batch["label"][:, None, None, None]).all() for batch in batches)
    dtypes = {name: values.dtype for name, values in batches[0].items()}
    assert dtypes == {"image": np.uint8, "label": np.int32, "mask": np.float32}


def test_an_error_of_a_part_is_raised_with_its_batch():
    assembly = BatchAssembly(16)

    def rows(part):
        if part == 3:
            raise KeyError("broken")
        return map(row, assembly.examples(part))

    batches = assembly.batches(assembly.write(part, rows(part)) for part in range(6))
    assert next(batches)["label"][-1] == 15
    with pytest.raises(KeyError, match="broken"):
        next(batches)
