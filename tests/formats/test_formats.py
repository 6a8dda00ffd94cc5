"""The format of the files at a path is recognised, and other files are refused."""

import os
import struct
import zipfile

import pytest
from corrupted_files import check_corrupted, check_other_contents, check_traps
from idx_files import mnist, write_idx
from pictures import picture, pictures, refused
from trap_files import deflated, lying_zip, npy_header, repeated, zeros, zipped

from resnet_jax.data import open_loader
from resnet_jax.errors import DataError
from resnet_jax.files import expanded
from resnet_jax.formats import open_path


def test_nothing_and_no_dataset_give_one_line(tmp_path):
    assert "has no images; expected a folder" in refused(tmp_path)
    assert f"no file or folder '{tmp_path}/gone'; expected a folder" in refused(tmp_path / "gone", FileNotFoundError)
    (tmp_path / "notes.txt").write_text("hello")
    assert "notes.txt is no dataset; expected a folder" in refused(tmp_path / "notes.txt")


def test_messages_on_arrow_files_and_archives_say_what_to_do(tmp_path):
    picture(tmp_path / "D/train/x.png")
    (tmp_path / "D/dataset_dict.json").write_text("{}")
    (tmp_path / "D/train/data-00000-of-00001.arrow").touch()
    assert "holds Arrow files of Hugging Face's save_to_disk; expected Parquet: " in refused(tmp_path / "D")
    (tmp_path / "p.zip").touch()
    assert "p.zip is no dataset; expected a folder of images" in refused(tmp_path / "p.zip")
    assert "unpack it first" in refused(tmp_path / "p.zip")


def test_columns_are_refused_where_there_are_none(tmp_path):
    pictures(tmp_path / "D", "a/1.png", "b/1.png")
    with pytest.raises(ValueError, match="label_column='x' is for Parquet files and files of labels; to read one"):
        open_path(tmp_path / "D", label_column="x")
    idx = write_idx(tmp_path, mnist())
    with pytest.raises(ValueError, match="has no columns; image_column='x' is for Parquet"):
        open_path(idx, image_column="x")


def test_an_empty_path_is_not_the_current_folder(tmp_path):
    assert refused("").startswith("path='': expected a path")
    assert refused(tmp_path, labels="").startswith("labels='': expected a path")
    with pytest.raises(ValueError, match="expected a file or a folder, .* got an empty path"):
        expanded("")


def test_a_dataset_in_an_inner_folder_is_suggested(tmp_path):
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    write_idx(tmp_path / "MNIST/raw", mnist())
    assert f"has no images; did you mean {tmp_path}/MNIST/raw?" in refused(tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["idx", "gzip", "npz", "npy", "parquet"])
def test_corrupted_files_are_read_correctly_or_named(tmp_path_factory, kind):
    check_corrupted(tmp_path_factory.mktemp("run"), kind)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["idx", "gzip", "npz", "parquet"])
def test_other_contents_under_a_files_name_are_named(tmp_path, kind):
    check_other_contents(tmp_path, kind)


def test_a_small_file_that_claims_to_be_huge_takes_no_memory(tmp_path):
    deflate = {"compression": zipfile.ZIP_DEFLATED}
    five = npy_header((5,)) + b"01210"
    start = b"\0\0\x08\x03" + struct.pack(">3I", 2**8, 2**10, 2**10)
    files = {
        "claims.npz": (
            zipped({"x.npy": npy_header((10**9, 10**9)), "y.npy": five}),
            "0 bytes for uint8 .1000000000, 1",
        ),
        "minus.npz": (zipped({"x.npy": npy_header((-3, -3)) + bytes(9), "y.npy": five}), "9 bytes for uint8 .-3, -3."),
        "none.npz": (
            zipped(
                {"x.npy": npy_header((5, 1, 1)) + b"01234", "y.npy": five, "classes.npy": npy_header((10**12,), "|S0")}
            ),
            "array 'classes' is truncated or corrupted: 0 bytes for .S0 .1000000000000.",
        ),
        "lies.npz": (
            lying_zip(npy_header((2**28, 2, 2)), 2**30),
            "corrupted or malicious: its .* bytes claim to hold 1,07",
        ),
        "zeros.npz": (
            zipped({"x.npy": npy_header((2**17, 24, 24)) + bytes(2**17 * 24**2), "y.npy": five}, **deflate),
            "corrupted or malicious",
        ),
        "zeros-idx3-ubyte.gz": (b"\x1f\x8b\x08" + bytes(7) + deflated(start) + zeros(2**8), "corrupted or malicious"),
        "claims-idx3-ubyte": (b"\0\0\x08\x03" + b"\xff" * 12 + b"few", "3 values for shape .4294967295"),
        "ones-idx1-ubyte": (b"\0\0\x08\x64" + b"\0\0\0\x01" * 100 + b"a", "claims to have 100 dimensions"),
        "rows.parquet": (repeated(10**6, bytes(2**20)), "corrupted or malicious"),
        "small.parquet": (repeated(3 * 10**6, b"little"), "corrupted or malicious"),
    }
    check_traps(tmp_path, files)


def test_pipes_and_devices_are_refused_at_once(tmp_path):
    (tmp_path / "cat").mkdir()
    os.mkfifo(tmp_path / "cat" / "a.png")
    with pytest.raises(DataError, match="cat/a.png: not a file$"):
        open_loader(open_path(tmp_path), "train")
    with pytest.raises(ValueError, match="^/dev/null is no dataset; expected "):
        open_path("/dev/null")


def test_the_home_of_nobody_is_not_there():
    with pytest.raises(FileNotFoundError, match="no file or folder '~nobody_of_that_name/pictures'"):
        open_path("~nobody_of_that_name/pictures")
