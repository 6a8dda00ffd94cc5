"""Members of zip archives."""

import struct
import zipfile

import pytest

from resnet_jax.weights.readers.archive import Archive


@pytest.fixture
def path(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("a", b"first")
        file.writestr("b", b"other")
    return tmp_path / "x.zip"


def test_members_are_parts_of_the_file(path):
    archive = Archive(path)
    assert bytes(archive.stored("a")) == b"first" and archive.beginning("b", 2) == b"ot"
    archive.verifier("a")()
    with pytest.raises(ValueError, match="it has no c"):
        archive.stored("c")


def test_members_that_overlap_are_refused(path):
    content = path.read_bytes()
    second = content.rindex(b"PK\1\2")
    path.write_bytes(content[: second + 42] + struct.pack("<I", 0) + content[second + 46 :])
    with pytest.raises(ValueError, match="overlaps another member of the zip archive"):
        Archive(path)


def test_members_of_the_same_name_are_refused(path):
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as file:
        file.writestr("a", b"again")
    with pytest.raises(ValueError, match="two members of the zip archive have the same name"):
        Archive(path)


def test_compressed_members_are_not_parts_of_the_file(path):
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("c", bytes(100))
    archive = Archive(path)
    with pytest.raises(ValueError, match="c is compressed or encrypted; PyTorch writes neither"):
        archive.stored("c")
    assert bytes(archive.inflated("c")) == bytes(100) and archive.beginning("c", 3) == bytes(3)


@pytest.mark.parametrize(("start", "end"), [(0, -10), (30, None), (0, 40)])
def test_a_truncated_archive_is_refused(path, start, end):
    path.write_bytes(path.read_bytes()[start:end])
    with pytest.raises(ValueError, match="truncated or corrupted|has no header"):
        Archive(path)
