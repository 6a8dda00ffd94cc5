"""Arrays that are read when they are used."""

import numpy as np

from resnet_jax.weights.readers import StoredArray

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
