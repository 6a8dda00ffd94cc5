"""Limits on what is read into memory."""

import pytest

from resnet_jax.data.sources.limits import EXPANSION, MEMORY, check_size


def test_a_file_holds_no_more_than_its_size_allows(tmp_path):
    file = tmp_path / "a.npz"
    file.write_bytes(bytes(1000))
    check_size(file, 2**26)  # small files may be drawings of one colour
    with pytest.raises(ValueError, match="a.npz is corrupted or malicious: its 1,000 bytes claim to hold 67,108,865"):
        check_size(file, 2**26 + 1)
    with file.open("r+b") as stream:
        stream.truncate(MEMORY // EXPANSION + 2)
    with pytest.raises(ValueError, match="expected at most 8 GiB of unpacked images, got more; use a folder"):
        check_size(file, MEMORY + 1)
