"""Files that PyTorch wrote, read without it."""

import os
import pickle
import struct
import zipfile

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import recipe

from resnet_jax.errors import UnreadableWeights
from resnet_jax.weights.readers import read_weights
from resnet_jax.weights.wrappers import read_state

FILES = recipe.GOLDEN / "torch"
WHOLE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def test_arrays_of_a_file_equal_those_that_pytorch_wrote():
    state = read_state(FILES / "tiny.pth")
    np.testing.assert_array_equal(state["whole"], WHOLE)
    np.testing.assert_array_equal(state["view"], WHOLE[1].T)
    np.testing.assert_array_equal(state["parameter"], [1, 1])
    np.testing.assert_array_equal(state["brain"].astype(np.float32), [1.5, -2])
    assert state["double"] == [0.1] and state["double"].dtype == np.float64
    assert state["half"].dtype == np.float16 and state["empty"].shape == (0, 3)
    assert state["scalar"] == 7 and state["scalar"].shape == ()


def test_the_state_dict_of_a_training_checkpoint_is_read():
    np.testing.assert_array_equal(read_state(FILES / "wrapped.pth")["a"], [1, 1])


class Attack:
    def __reduce__(self):
        return os.system, ("touch attacked",)


def archive(path, content):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", content)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            pickle.dumps({"a": Attack()}),
            "system, which is not part of a state dict; in PyTorch, torch.save(net.state_dict()",
        ),
        (pickle.dumps({"a": 3}), "has other contents than a state dict of tensors"),
        (pickle.dumps([1]), "has other contents than a state dict of tensors"),
        (b"\x80\x04", "not a valid PyTorch state dict"),
    ],
)
def test_other_contents_are_refused_and_no_code_is_run(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as caught:
        read_state(archive(tmp_path / "x.pth", content))
    assert message in str(caught.value)
    assert not (tmp_path / "attacked").exists()


def test_a_truncated_file_is_named(tmp_path):
    path = tmp_path / "x.pth"
    path.write_bytes((FILES / "tiny.pth").read_bytes()[:-100])
    with pytest.raises(
        ValueError, match="x.pth is not a complete zip archive: the zip archive is truncated or corrupted"
    ):
        read_state(path)


def test_a_tensor_cannot_reach_beyond_its_storage(tmp_path):
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(FILES / "tiny.pth") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name)[: 8 if name.endswith("/data/0") else None])
    with pytest.raises(ValueError, match="a tensor reaches beyond its storage of 2 values"):
        read_state(path)


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def tensor(key, kind=b"torch\nFloatStorage", rebuild=b"v2", more=b""):
    """Opcodes of a tensor [2] with the storage `key`, as PyTorch writes them."""
    storage = b"((" + text("storage") + b"c" + kind + b"\n" + text(key) + text("cpu") + b"K\x02tQ"
    layout = b"K\x00K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_" + rebuild + b"\n" + storage + layout + more + b"tR"


def checkpoint(path, **entries):
    """A file with a state dict {"a": tensor} under each key: ones under the first key, twos under the next."""
    content = b"".join(text(key) + b"}" + text("a") + opcodes + b"s" for key, opcodes in entries.items())
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", b"\x80\x02}(" + content + b"u.")
        for number in range(len(entries)):
            file.writestr(f"x/data/{number}", np.full(2, number + 1, np.float32).tobytes())
    return path


def test_types_that_numpy_lacks_are_those_of_ml_dtypes(tmp_path):
    float8 = tensor("0", b"torch.storage\nUntypedStorage", b"v3", b"ctorch\nfloat8_e4m3fn\nN")
    path = checkpoint(tmp_path / "x.pth", state_dict=float8)
    assert read_state(path)["a"].dtype == ml_dtypes.float8_e4m3fn


def test_parameters_and_buffers_of_a_torchscript_archive_are_read():
    """tests/golden/torch/scripted.pt is one of torch 2.14, in half precision."""
    file = read_weights(FILES / "scripted.pt")
    assert (file.format, file.metadata["size"]) == ("torchscript", "3")
    assert np.asarray(file.tensors["visual.conv.weight"]).ravel().tolist() == [1, -2]
    assert np.asarray(file.tensors["visual.bn.running_mean"]).tolist() == [3, 4]
    assert file.tensors["embedding"].dtype == np.float16 and np.asarray(file.tensors["input_resolution"]) == 224


def changed(path, **members):
    """tiny.pth with other or further members."""
    with zipfile.ZipFile(FILES / "tiny.pth") as old, zipfile.ZipFile(path, "w") as new:
        contents = {name: old.read(name) for name in old.namelist()} | {f"tiny/{k}": v for k, v in members.items()}
        for name, content in contents.items():
            new.writestr(name, content)
    return path


def test_values_of_a_big_endian_machine_are_read(tmp_path):
    path = changed(tmp_path / "x.pth", byteorder=b"big", **{"data/0": WHOLE.astype(">f4").tobytes()})
    state = read_state(path)
    np.testing.assert_array_equal(state["whole"], WHOLE)
    np.testing.assert_array_equal(state["view"], WHOLE[1].T)
    assert (
        np.frombuffer(state["brain"].tobytes(), ">u2").tolist() == np.array([1.5, -2], jnp.bfloat16).view("u2").tolist()
    )
    with pytest.raises(ValueError, match="expected byteorder little or big, got b'middle'"):
        read_state(changed(tmp_path / "y.pth", byteorder=b"middle"))


def test_a_changed_byte_is_detected_when_the_array_is_read(tmp_path):
    content = bytearray((FILES / "tiny.pth").read_bytes())
    content[content.index(WHOLE.tobytes())] ^= 1
    (path := tmp_path / "x.pth").write_bytes(content)
    file = read_weights(path)
    assert np.asarray(file.tensors["double"]) == 0.1
    with pytest.raises(UnreadableWeights, match="^x.pth is corrupted: tiny/data/0 differs from its checksum$"):
        np.asarray(file.tensors["view"])


def test_a_file_without_checksums_is_read(tmp_path):
    """As `torch.serialization.set_crc32_options(False)` writes it: 0 for every checksum."""
    with zipfile.ZipFile(FILES / "tiny.pth") as archive:
        checksums = {struct.pack("<I", member.CRC) for member in archive.infolist()}
    content = (FILES / "tiny.pth").read_bytes()
    for checksum in checksums:
        content = content.replace(checksum, bytes(4))
    (path := tmp_path / "x.pth").write_bytes(content)
    np.testing.assert_array_equal(read_state(path)["whole"], WHOLE)


def test_training_arguments_are_ignored(tmp_path):
    namespace = b"cargparse\nNamespace\n)\x81}" + text("lr") + b"K\x01sb"
    path = checkpoint(tmp_path / "x.pth", state_dict=tensor("0"))
    with zipfile.ZipFile(path) as file:
        pickled = file.read("x/data.pkl")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", pickled[:-2] + text("args") + namespace + b"u.")
        file.writestr("x/data/0", bytes(8))
    assert read_state(path).keys() == {"a"}
