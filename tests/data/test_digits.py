import hashlib
import os
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest

from resnet_jax import data


def stored():
    with (resources.files("resnet_jax.data.digits") / "digits.npz").open("rb") as file:
        return dict(np.load(file))


def test_the_images_are_scikit_learns():
    images = stored()["image"]
    assert images.shape == (1797, 8, 8) and images.dtype == np.uint8 and images.max() == 16
    # The first image of sklearn.datasets.load_digits(), as its documentation prints it.
    np.testing.assert_array_equal(images[0, :2], [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]])
    digest = hashlib.sha256(images.tobytes() + stored()["label"].tobytes()).hexdigest()
    assert digest == "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


def test_the_split_is_stratified_and_stored():
    label, test = stored()["label"], stored()["test"]
    assert test.sum() == 360 and (~test).sum() == 1437
    np.testing.assert_allclose(np.bincount(label[test]), np.bincount(label) * 360 / 1797, atol=1)


def test_prepared_images_are_the_stored_ones(tfds_dir):
    """Of every split each once, in the order in which version 0.1.0 had them from TFDS, which its runs resume in."""
    raw = stored()
    scaled = np.round(raw["image"] * (255 / 16)).astype(np.uint8)
    for split, chosen in (("train", ~raw["test"]), ("test", raw["test"])):
        source = data.load("digits", split, data_dir=tfds_dir)
        assert source.image_shape == (8, 8, 1)
        assert source.classes == tuple("0123456789")
        ours = sorted((image.tobytes(), int(label)) for image, label in zip(source.images, source.labels, strict=True))
        theirs = sorted((i.tobytes(), int(n)) for i, n in zip(scaled[chosen], raw["label"][chosen], strict=True))
        assert ours == theirs
        digest = hashlib.sha256(source.images.tobytes() + source.labels.astype(np.uint8).tobytes()).hexdigest()
        assert digest[:16] == {"train": "bdb8ecd54b1d685c", "test": "e303d1bbd6bb4f78"}[split]


def test_reading_needs_no_tfds_and_writes_nothing(tmp_path):
    """So any number of processes can start at once, and a home folder may be missing or read-only."""
    code = (
        "import sys; from resnet_jax import data; print(data.load('digits', 'test').num_examples);"
        "print(any(name.startswith('tensorflow') for name in sys.modules))"
    )
    path = ":".join(filter(None, sys.path))
    environment = {
        "HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stdout.split() == ["360", "False"], done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("digits", "tset", "digits has no split 'tset'; did you mean test"),
        ("cifra10", "train", "no TFDS dataset, file or folder 'cifra10'; did you mean cifar10"),
        ("cifar10", "train", "run: tfds build cifar10 --file_format=array_record --data_dir="),
    ],
)
def test_what_is_not_there_is_told_with_what_to_do(tfds_dir, name, split, message):
    with pytest.raises(ValueError) as caught:
        data.load(name, split, data_dir=tfds_dir)
    assert message in str(caught.value)


def test_what_cannot_be_trained_on_yet_is_an_error(tfds_dir):
    for name, message in (("imagenet2012", "is not prepared"), ("imdb_reviews", "not an image classification set")):
        with pytest.raises(ValueError, match=message):
            data.load(name, "train", data_dir=tfds_dir)


def test_sub_splits(tfds_dir):
    """By place, in the stored order, rounded as TFDS does."""
    whole = data.load("digits", "train", data_dir=tfds_dir).images
    for split, first, last in (("train[:10%]", 0, 144), ("train[-30%:-10%]", 1006, 1293), ("train[1400:]", 1400, 1437)):
        np.testing.assert_array_equal(data.load("digits", split, data_dir=tfds_dir).images, whole[first:last])
    assert data.load("digits", "train[:10%]+test[5:9]", data_dir=tfds_dir).num_examples == 148


def test_labels_of_other_kinds_are_derived_from_the_digit():
    digits = data.open_dataset("digits").examples("train").labels
    attributes = data.open_dataset("digits", label_kind="multi-hot").examples("train")
    assert attributes.classes == ("even", "prime", "loop", "large") and attributes.labels.dtype == np.float32
    np.testing.assert_array_equal(attributes.labels[:, 0], digits % 2 == 0)
    np.testing.assert_array_equal(attributes.labels[:, 3], digits >= 5)
    values = data.open_dataset("digits", label_kind="targets").examples("train")
    assert values.classes == ("value",)
    np.testing.assert_array_equal(values.labels[:, 0], digits)


@pytest.mark.parametrize("path", ["/data/pets", "../pets", "~/pets"])
def test_a_path_leads_to_open_dataset(path):
    with pytest.raises(ValueError, match=rf"expected the name of a dataset, got '{path}'; open_dataset\(path="):
        data.load(path, "train")
