"""Files of weights are read by their contents; corrupted ones and others are named."""

import os
import struct
import zipfile

import pytest
from corrupted_files import check_corrupted, check_other_contents, check_traps
from trap_files import header_of, state, tensor, text, zipped

from resnet_jax.errors import UnreadableWeights
from resnet_jax.weights.readers import read_weights

OTHERS = ["torch before 1.6", "torchscript", "numpy pickle", "npz weights"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS: `git lfs pull` gets the file"),
        (b"<!DOCTYPE html>", "a page of a web site, as a failed download leaves"),
        (b"\n<html>", "a page of a web site, as a failed download leaves"),
        (b"\x1f\x8b\x08", "an archive of tar or gzip, which must be unpacked first"),
        (b"Not Found", "not a file of weights: it begins with b'Not Foun'"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, content, kind):
    (path := tmp_path / "x.bin").write_bytes(content)
    with pytest.raises(UnreadableWeights) as caught:
        read_weights(path)
    assert str(caught.value).startswith(f"x.bin is {kind}; expected a file of weights (")


def test_pipes_and_folders_are_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(UnreadableWeights, match="is a folder or a device"):
            read_weights(path)
    with pytest.raises(FileNotFoundError, match="no file .*missing"):
        read_weights(tmp_path / "missing")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["safetensors", "torch", "pickle", *OTHERS])
def test_corrupted_files_are_read_correctly_or_named(tmp_path_factory, kind):
    check_corrupted(tmp_path_factory.mktemp("run"), kind)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["safetensors", "torch", *OTHERS])
def test_other_contents_under_a_files_name_are_named(tmp_path, kind):
    check_other_contents(tmp_path, kind)


def test_a_small_file_that_claims_to_be_huge_takes_no_memory(tmp_path):
    deflate = {"compression": zipfile.ZIP_DEFLATED}
    files = {
        "length.safetensors": (struct.pack("<Q", 2**40) + b"{}", "header too large"),
        "claims.safetensors": (header_of("F32", [2**40], 2**42), "is not a valid .safetensors file: .*"),
        "none.safetensors": (header_of("F32", [2**62, 0], 0), "reaches beyond its storage"),
        "ones.safetensors": (header_of("U8", [1] * 99, 1) + b"a", "is not a valid .safetensors file: .*99"),
        "tiny.safetensors": (header_of("F4", [2], 1) + b"a", "has the unknown type .F4"),
        "memo.pth": (zipped({"x/data.pkl": b"\x80\x02}r\xff\xff\xff\x7f."}), "has other contents than a state dict"),
        "bytes.pth": (zipped({"x/data.pkl": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"."}), "but only 1 remain"),
        "array.pth": (zipped({"x/data.pkl": b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b"."}), "but only 1 remain"),
        "frame.pth": (zipped({"x/data.pkl": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"}."}), "not a valid"),
        "stride.pth": (state(tensor((10**6, 10**6), (0, 0))), "a tensor reaches beyond its storage of 2 values"),
        "beyond.pth": (state(tensor((1, 2), (1, 2))), "a tensor reaches beyond its storage of 2 values"),
        "many.pth": (state(tensor((1,) * 99, (1,) * 99)), "not a valid PyTorch state dict: .*99"),
        "twice.pth": (state(tensor((5,), (1,), tensor((5, 0), (1, 1)))), "tensor 'a' has no storage"),
        "zeros.pth": (
            zipped(
                {"x/data.pkl": b"\x80\x02}" + text("a") + tensor((2,), (1,)) + b"s.", "x/data/0": bytes(2**20)},
                **deflate,
            ),
            "x/data.pkl is compressed",
        ),
        "dots.pth": (zipped({"x/data.pkl": b"." * 2**20}, **deflate), "x/data.pkl is compressed"),
        "empty.pth": (zipped({}), "it has no data.pkl"),
    }
    check_traps(tmp_path, files)
