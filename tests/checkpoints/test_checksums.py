"""Every changed, cut, longer or missing file of a checkpoint is detected, and every changed array."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax import load_checkpoint
from resnet_jax.checkpoints import reader
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.errors import CorruptedCheckpoint


def corrupted(data, draw):
    """The contents with a flipped bit, without their end, empty, or with an extra byte."""
    kind, at = draw(st.sampled_from(["flipped", "cut", "emptied", "longer"])), draw(st.integers(0, len(data) - 1))
    flipped = bytes([data[at] ^ (1 << draw(st.integers(0, 7)))])
    return {
        "flipped": data[:at] + flipped + data[at + 1 :],
        "cut": data[:at],
        "emptied": b"",
        "longer": data[:at] + b"\0" + data[at:],
    }[kind]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(draw=st.data())
def test_corruption_of_any_file_is_detected(run, draw):
    folder = run / "checkpoints" / "5"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file = draw.draw(st.sampled_from(files))
    original = file.read_bytes()
    try:
        file.write_bytes(corrupted(original, draw.draw))
        with pytest.raises(CorruptedCheckpoint) as caught:
            open_checkpoint(run, 5)
        assert str(folder) in str(caught.value) and "\n" not in str(caught.value)
    finally:
        file.write_bytes(original)


def test_any_missing_file_is_detected(run, tmp_path):
    folder = run / "checkpoints" / "5"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(files) > 10
    for file in files:
        file.rename(tmp_path / "away")
        with pytest.raises(CorruptedCheckpoint, match="corrupted|interrupted"):
            open_checkpoint(run, 5)
        (tmp_path / "away").rename(file)
    assert open_checkpoint(run, 5).step == 5


def test_arrays_are_verified_too(run, monkeypatch):
    """All arrays of the checkpoint, not only those that are returned, even if every file is valid."""
    read = reader.read_arrays

    def bent(folder):
        arrays = read(folder)
        arrays["key"] = arrays["key"] ^ 1
        return arrays

    monkeypatch.setattr(reader, "read_arrays", bent)
    with pytest.raises(CorruptedCheckpoint, match="5 is corrupted: array key: expected uint32.2. .*, got uint32.2. "):
        load_checkpoint(run, 5)
