"""The binary archives of CIFAR's authors."""

import numpy as np
import pytest
from pictures import open_all, refused

from resnet_jax.formats import open_path

RNG = np.random.default_rng(0)


cifar_files = {
    1: ([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"], "batches.meta.txt"),
    2: (["train.bin", "test.bin"], "fine_label_names.txt"),
}


def cifar(root, names, meta, labels):
    root.mkdir()
    for number, name in enumerate(names):
        rows = np.concatenate([np.full((2, labels), number, np.uint8), RNG.integers(0, 256, (2, 3072), np.uint8)], 1)
        (root / name).write_bytes(rows.tobytes())
    (root / meta).write_text("\n".join(f"class{n}" for n in range(10)) + "\n\n")
    return root


@pytest.mark.parametrize("labels", [1, 2])
def test_the_binary_archives_of_cifar(tmp_path, labels):
    files, meta = cifar_files[labels]
    root = cifar(tmp_path / "cifar", files, meta, labels)
    data = open_all(root)
    assert data.splits == {"train": 2 * (len(files) - 1), "test": 2}
    test = data.examples("test")
    assert test.classes == tuple(f"class{n}" for n in range(10)) and list(test.labels) == [len(files) - 1] * 2
    stored = np.frombuffer((root / files[-1]).read_bytes(), np.uint8).reshape(2, -1)[0, labels:]
    assert test.images.shape == (2, 32, 32, 3) and (test.images[0, 0, 1] == stored[[1, 1025, 2049]]).all()
    whole = (root / files[-1]).read_bytes()
    (root / files[-1]).write_bytes(bytes([200] * labels) + whole[labels:])
    with pytest.raises(ValueError, match=f"{files[-1]} is corrupted: an image has label 200; labels of 10 "):
        open_path(root).examples("test")
    (root / files[-1]).write_bytes(bytes(3000))
    with pytest.raises(ValueError, match="is truncated or corrupted: 3,000 bytes are not a multiple"):
        open_path(root).examples("test")
    names = (root / meta).read_text()
    for wrong in ("", "cat dog cat"):
        (root / meta).write_text(wrong)
        assert f"{meta}: expected names of classes, each once, got " in refused(root)
    (root / meta).write_text(names)
    (root / files[-1]).unlink()
    assert f"{files[-1]} is missing; expected " in refused(root)


def test_the_pickles_of_cifar_are_not_opened(tmp_path):
    (tmp_path / "data_batch_1").touch()
    (tmp_path / "batches.meta").touch()
    message = "holds Python pickles, which are not read; expected the binary version, cifar-10-binary.tar.gz"
    assert message in refused(tmp_path)
