"""TFDS datasets with boxes and masks, prepared without TensorFlow."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from dense_sets import encoded

from resnet_jax.data import default_splits, open_dataset, open_loader
from resnet_jax.errors import DataError

HEIGHT, WIDTH = 20, 40


class Annotated(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Images with two objects and a mask each, 20 high and 40 wide."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = None

    def _info(self):
        objects = {
            "bbox": tfds.features.BBoxFeature(),
            "label": tfds.features.ClassLabel(names=["cat", "dog"]),
            "is_crowd": tfds.features.Tensor(shape=(), dtype=np.bool_),
        }
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "segmentation_mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
            "objects": tfds.features.Sequence(objects),
        }
        return tfds.core.DatasetInfo(builder=self, description="-", features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(8)}

    def _generate_examples(self, count):
        for number in range(count):
            image = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            mask[number], mask[-1] = 2, 255
            ends = 0.5 if number != 3 else 0.25  # the box of example 3 has no area
            boxes = [tfds.features.BBox(0.25, 0.125, ends, 0.5), tfds.features.BBox(0.0, 0.0, 1.0, 1.0)]
            objects = [{"bbox": box, "label": i, "is_crowd": bool(i)} for i, box in enumerate(boxes)]
            yield (
                number,
                {"image": encoded(image), "segmentation_mask": encoded(mask), "objects": objects},
            )


class Unannotated(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = None

    def _info(self):
        features = {"image": tfds.features.Image(encoding_format="png"), "text": tfds.features.Text()}
        return tfds.core.DatasetInfo(builder=self, description="-", features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": iter([(0, {"image": encoded(np.zeros((2, 2, 3), np.uint8)), "text": ""})])}

    def _generate_examples(self):
        raise NotImplementedError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    tfds.disable_progress_bar()
    folder = str(tmp_path_factory.mktemp("tfds"))
    for builder in (Annotated, Unannotated):
        builder(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


def test_boxes(data_dir):
    dataset = open_dataset("annotated", data_dir=data_dir, label_kind="boxes", skip_invalid=True)
    assert default_splits(dataset, "train", None) == ("train[:80%]", "train[80%:]")
    source = dataset.examples("train")
    counts = [len(source.annotations(i)) for i in range(8)]
    assert sorted(counts) == [1] + [2] * 7 and source.classes == ("cat", "dog")
    whole = source.annotations(counts.index(2))
    np.testing.assert_array_equal(whole.boxes, [[5, 5, 20, 10], [0, 0, WIDTH, HEIGHT]])
    assert whole.labels.tolist() == [0, 1] and whole.crowd.tolist() == [False, True] and whole.size == (HEIGHT, WIDTH)
    with pytest.raises(DataError, match=r"annotated, train, example \d: the box 5 5 20 5 .* of object 0 has no area"):
        list(map(open_dataset("annotated", data_dir=data_dir, label_kind="boxes").examples("train").label, range(8)))
    batch = next(open_loader(dataset, "train", image_size=32).batches(0, batch_size=8))
    assert batch["label"].shape == (8, 2) and batch["size"].tolist() == [[16, 32]] * 8
    part = open_loader(dataset, "train[:50%]", image_size=32, classes=("dog",))
    assert part.num_examples == 4 and part.labels.tolist() == [[1.0]] * 4


def test_masks(data_dir):
    source = open_dataset("annotated", data_dir=data_dir, label_kind="pixels").examples("train")
    assert source.classes == ("0", "1", "2") and source.label(0).shape == (HEIGHT, WIDTH)
    assert (source.label(0)[-1] == 255).all() and (source.label(0) == 2).sum() == WIDTH
    np.testing.assert_array_equal(source.presence(), [[1, 0, 1]] * 8)


def test_sets_without_boxes_are_refused(data_dir):
    with pytest.raises(ValueError, match="unannotated has the features image, text; expected an image and objects"):
        open_dataset("unannotated", data_dir=data_dir, label_kind="boxes")
