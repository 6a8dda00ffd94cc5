"""Files of safetensors, as views of the mapped file."""

import json
import struct

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save, save_file

from resnet_jax.errors import UnreadableWeights
from resnet_jax.weights.readers import read_weights
from resnet_jax.weights.wrappers import read_state


def test_a_file_without_averaged_weights_raises_for_ema(tmp_path):
    save_file({"a": np.zeros(2, np.float32)}, path := tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"^x.safetensors has no averaged weights; expected ema=None or ema=False$"):
        read_state(path, ema=True)
    assert read_state(path, ema=False)


def test_types_that_numpy_lacks_are_those_of_ml_dtypes(tmp_path):
    header = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\x38\xb8")
    assert read_weights(path).tensors["a"].dtype == ml_dtypes.float8_e4m3fn
    np.testing.assert_array_equal(read_state(path)["a"].astype(np.float32), [1, -1])


def file_of(entries, data=b"", end=b""):
    header = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(header)) + header + end + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


SOUND = save({"a": np.arange(2, dtype=np.float32), "b": np.ones((2, 2), np.float16)}, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SOUND[:-1], "'b' reaches beyond the file: bytes 8 to 16 of 15"),
        (SOUND + b"\0", "its arrays end at byte 16 of 17"),
        (struct.pack("<Q", 2**30) + b"{}", "header too large: 1,073,741,824 bytes"),
        (struct.pack("<Q", 99) + b"{}", "expected a header of 99 bytes in a file of 10"),
        (file_of({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)), "'b' overlaps another array"),
        (file_of({"a": entry(offsets=(4, 12))}, bytes(12)), "'a' begins 4 bytes behind the last one"),
        (file_of({"a": entry(offsets=(8, 0))}, bytes(8)), "'a' reaches beyond the file"),
        (file_of({"a": entry(shape=(-2, -1))}, bytes(8)), r"'a' has the shape \[-2, -1\]"),
        (file_of({"a": entry(shape=(2**62, 8))}, bytes(8)), "'a' has 8 bytes; expected 147,573,952,589,676,412,928"),
        (file_of({"a": entry(shape=(2**62, 0), offsets=(0, 0))}), "a tensor reaches beyond its storage"),
        (file_of({"a": entry(shape=(1,) * 99, offsets=(0, 4))}, bytes(4)), "expected at most 32 dimensions, got 99"),
        (file_of({"a": entry("F4", (4,))}, bytes(8)), "'a' has the unknown type 'F4'"),
        (file_of({"a": {"dtype": "F32"}}), "expected dtype, shape and data_offsets for 'a'"),
        (file_of({"__metadata__": {"a": 3}}), "expected names and values of text in __metadata__"),
        (file_of(b'{"a": %s, "a": %s}' % ((json.dumps(entry()).encode(),) * 2), bytes(8)), "two entries named 'a'"),
        (file_of(b'{"a": ' + b"[" * 100_000), "recursion"),
    ],
)
def test_corrupted_and_malicious_files_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(
        UnreadableWeights, match=f"^x.safetensors is not a valid .safetensors file: .*{message}"
    ) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)


def test_arrays_are_views_of_the_file(tmp_path):
    (path := tmp_path / "x.safetensors").write_bytes(SOUND)
    file = read_weights(path)
    assert (file.format, file.metadata) == ("safetensors", {"format": "pt"})
    array = np.asarray(file.tensors["a"])
    np.testing.assert_array_equal(array, [0, 1])
    assert not array.flags.owndata and not array.flags.writeable
