"""Files that PyTorch wrote before 1.6."""

import struct

import numpy as np
import pytest
import recipe

from resnet_jax.errors import UnreadableWeights
from resnet_jax.weights.readers import read_weights
from resnet_jax.weights.readers.torch_legacy import MAGIC
from resnet_jax.weights.wrappers import read_state

FILE = recipe.GOLDEN / "torch" / "legacy.pth"
WHOLE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
START = b"\x80\x02" + MAGIC + b"\x80\x02M\xe9\x03." + b"\x80\x02}."


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def tensor(size=b"K\x02\x85", stride=b"K\x01\x85", length=b"K\x02", view=b"N", kind=b"Float", key="k"):
    storage = (
        b"((" + text("storage") + b"ctorch\n" + kind + b"Storage\n" + text(key) + text("cpu") + length + view + b"tQ"
    )
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + storage + b"K\x00" + size + stride + b"\x89NtR"


def written(*tensors, keys=("k",), values=(2,)):
    """A file with these tensors, and for each key as many ones."""
    state = b"\x80\x02}(" + b"".join(text(f"t{n}") + opcodes for n, opcodes in enumerate(tensors)) + b"u."
    storages = b"".join(struct.pack("<q", n) + np.arange(n, dtype=np.float32).tobytes() for n in values)
    return START + state + b"\x80\x02](" + b"".join(map(text, keys)) + b"e." + storages


def test_arrays_of_a_file_equal_those_that_pytorch_wrote():
    """torch 2.14 wrote it, in the old format."""
    file, state = read_weights(FILE), read_state(FILE)
    assert (file.format, file.metadata["epoch"]) == ("torch before 1.6", "3")
    np.testing.assert_array_equal(state["whole"], WHOLE)
    np.testing.assert_array_equal(state["view"], WHOLE[1].T)
    np.testing.assert_array_equal(state["brain"].astype(np.float32), [1.5, -2])
    assert state["double"] == [0.1] and state["half"].dtype == np.float16 and state["scalar"] == 7
    assert state["parameter"].tolist() == [1, 1] and state["empty"].shape == (0, 3)
    assert not state["view"].flags.owndata


def test_a_part_of_a_storage_is_the_storage_of_a_tensor(tmp_path):
    (path := tmp_path / "x.pth").write_bytes(
        written(tensor(length=b"K\x05", view=b"(" + text("v") + b"K\x02K\x02t"), values=(5,))
    )
    assert read_state(path)["t0"].tolist() == [2, 3]
    one, other = (tensor(length=b"K\x05", view=b"(" + text("v") + place + b"K\x02t") for place in (b"K\x00", b"K\x03"))
    path.write_bytes(written(one, other, values=(5,)))
    assert [x.tolist() for x in read_state(path).values()] == [[0, 1], [3, 4]]


@pytest.mark.parametrize("end", [8, 40, 200, 1000, 1500, -1])
def test_a_truncated_file_is_named(tmp_path, end):
    (path := tmp_path / "x.pth").write_bytes(FILE.read_bytes()[:end])
    with pytest.raises(UnreadableWeights, match="^x.pth is not a valid (PyTorch state dict|pickle of arrays): "):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (written(tensor(), values=(1,)), "storage 'k' has 1 values by its header"),
        (written(tensor(length=b"J\xff\xff\xff\x7f"), values=(2,)), "storage 'k' has 2 values by its header"),
        (written(tensor(size=b"K\x03\x85")), "a tensor reaches beyond its storage of 2 values"),
        (written(tensor(view=b"(" + text("v") + b"K\x01K\x02t")), "a tensor reaches beyond its storage of 2 values"),
        (written(tensor(view=b"(" + text("v") + b"J\xff\xff\xff\xffK\x02t")), "reaches beyond its storage"),
        (written(tensor(), tensor(kind=b"Long")), "storage 'k' has two types or sizes"),
        (written(tensor(), keys=("other",)), "its storages are not those of its tensors"),
        (written(tensor(), keys=("k", "k"), values=(2, 2)), "expected a list of different names of storages"),
        (written(tensor(kind=b"QInt8")), "storage k .QInt8Storage.; quantised weights must be dequantised first"),
        (START.replace(b"M\xe9\x03", b"M\xe8\x03") + b"}.", "expected protocol 1001 of PyTorch's files, got 1000"),
        (written(b"cposix\nsystem\n(" + text("touch attacked") + b"tR"), "it imports posix.system, which is not part"),
    ],
)
def test_corrupted_and_malicious_files_are_refused_in_one_line(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    (path := tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(UnreadableWeights, match=f"^x.pth is not a valid PyTorch state dict: .*{message}") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value) and not (tmp_path / "attacked").exists()
