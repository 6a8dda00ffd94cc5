import errno
import json
import os

import numpy as np
import pytest

from resnet_jax.files import check_inside, check_writable, replace_file, replaced, to_json


def test_numbers_that_json_does_not_have_are_null():
    value = {"a": [1.5, float("nan")], "b": {"c": (float("inf"), np.float64("nan"))}, "d": "NaN", "e": 3}
    assert json.loads(to_json(value)) == {"a": [1.5, None], "b": {"c": [None, None]}, "d": "NaN", "e": 3}


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    file = tmp_path / "a.json"
    replace_file(file, "before")
    with pytest.raises(KeyboardInterrupt), replaced(file) as new:
        new.write(b"af")
        raise KeyboardInterrupt
    assert file.read_text() == "before" and [path.name for path in tmp_path.iterdir()] == ["a.json"]
    with replaced(file) as new:
        new.write(b"after")
        assert file.read_text() == "before"
    assert file.read_text() == "after"
    with pytest.raises(OSError):
        replace_file(tmp_path / "nowhere" / "a.json", "text")


def test_a_place_without_a_folder_gets_one_and_one_below_a_file_is_refused(tmp_path):
    check_writable(tmp_path / "new" / "a.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["new"] and not any((tmp_path / "new").iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file/a.csv' cannot be written: "):
        check_writable(tmp_path / "file" / "a.csv")


def test_links_out_of_a_folder_are_refused(tmp_path):
    """As the hub's cache has them: links to other files of the same cache are fine."""
    cache = tmp_path / "cache"
    (cache / "blobs").mkdir(parents=True)
    (cache / "snapshots").mkdir()
    (cache / "blobs" / "abc").write_text("weights")
    (tmp_path / "secret").write_text("secret")
    (cache / "snapshots" / "inside").symlink_to("../blobs/abc")
    check_inside(cache / "snapshots" / "inside", cache)
    check_inside(cache / "snapshots" / "missing", cache)
    for name, target in {"link": tmp_path / "secret", "relative": "../../secret"}.items():
        (cache / "snapshots" / name).symlink_to(target)
        with pytest.raises(ValueError, match=f"^{name} leads out of .*cache', to .*secret'$"):
            check_inside(cache / "snapshots" / name, cache)
    with pytest.raises(ValueError, match="^secret leads out of "):
        check_inside(cache / ".." / "secret", cache)
    with pytest.raises(ValueError, match="^blobs is a folder or a device; expected a file$"):
        check_inside(cache / "blobs", cache)


def test_a_full_disk_is_reported_with_the_file(tmp_path, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device: '.*a.txt'$"):
        replace_file(tmp_path / "a.txt", "a")
    assert not list(tmp_path.iterdir())
