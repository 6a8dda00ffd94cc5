"""IDX files of a few images, as MNIST has them."""

import gzip
import struct

import numpy as np

RNG = np.random.default_rng(0)


IMAGES, LABELS = RNG.integers(0, 256, (12, 5, 4), np.uint8), np.arange(12) % 3


def idx(array, dimensions=None):
    array = np.asarray(array, np.uint8)
    shape = array.shape if dimensions is None else dimensions
    return b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def write_idx(root, files, zipped=False):
    for name, data in files.items():
        (root / (name + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)
    return root


def mnist(**changed):
    return {
        "train-images-idx3-ubyte": idx(IMAGES),
        "train-labels-idx1-ubyte": idx(LABELS),
        "t10k-images-idx3-ubyte": idx(IMAGES[:5]),
        "t10k-labels-idx1-ubyte": idx(LABELS[:5]),
    } | {name.replace("_", "-"): data for name, data in changed.items()}
