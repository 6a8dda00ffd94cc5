"""Arrays that are read when they are used."""

from pathlib import Path

import numpy as np
import pytest

from resnet_jax.errors import UnreadableWeights
from resnet_jax.weights.readers import StoredArray
from resnet_jax.weights.readers.weight_file import reading

VALUES = np.ones(2, np.float32)


def test_a_stored_array_is_read_by_numpy_alone_when_it_is_used():
    reads = []

    def read():
        reads.append(1)
        return VALUES

    stored = StoredArray((2,), VALUES.dtype, read)
    assert (stored.ndim, stored.shape, stored.dtype) == (1, (2,), np.float32) and not reads
    assert np.asarray(stored) is VALUES and len(reads) == 1
    assert np.asarray(stored, np.float64).dtype == np.float64
    copied = np.array(stored)
    assert copied is not VALUES and (copied == VALUES).all()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("expected\nnumbers"), "^x.npz is not a valid file of numbers: expected numbers$"),
        (RecursionError(), "^x.npz is not a valid file of numbers: RecursionError"),
        (UnreadableWeights("x.npz is empty"), "^x.npz is empty$"),
    ],
)
def test_whatever_corrupted_contents_raise_is_one_error_with_the_files_name(error, message):
    with pytest.raises(UnreadableWeights, match=message), reading(Path("a/x.npz"), "file of numbers"):
        raise error
