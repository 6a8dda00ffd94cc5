import io
import os
import re
import subprocess
import sys
import time
from itertools import islice

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from resnet_jax.data import open_dataset, open_loader
from resnet_jax.data.loading.samplers import ShuffleSampler
from resnet_jax.data.loading.statistics import infer_channels, pixel_moments
from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.errors import UnreadableImage
from resnet_jax.images.crops import centre_crop
from resnet_jax.images.decoding import read_image

NUMBER = 23  # a prime


def encoded(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png")
    return buffer.getvalue()


def picture(number, channels=3):
    rng = np.random.default_rng(number)
    image = rng.integers(0, 256, (9 + number % 4, 8 + number % 5, channels), np.uint8)
    return image if channels == 3 else image[..., 0]


def files(folder, broken=(), channels=3, count=NUMBER):
    """Images in files, class i % 3; those in `broken` are cut off."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:02}.png" for number in range(count)]
    for number, path in enumerate(paths):
        data = encoded(picture(number, channels))
        path.write_bytes(data[:-40] if number in broken else data)
    return ImageFileSource(paths, np.arange(count) % 3, ("a", "b", "c"))


def items():
    return ArraySource(
        [encoded(picture(n)) for n in range(NUMBER)], np.arange(NUMBER) % 3, ("a", "b", "c"), "set.parquet"
    )


class OurPhotographs(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The same images."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = None

    def _info(self):
        image = tfds.features.Image(shape=(None, None, 3), encoding_format="png")
        label = tfds.features.ClassLabel(names=["a", "b", "c"])
        features = tfds.features.FeaturesDict({"image": image, "label": label})
        return tfds.core.DatasetInfo(
            builder=self, description="-", features=features, supervised_keys=("image", "label"), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number in range(NUMBER):
            yield number, {"image": encoded(picture(number)), "label": number % 3}


@pytest.fixture(scope="module")
def storage(tmp_path_factory):
    """The same images in files, in memory and in ArrayRecord."""
    folder = tmp_path_factory.mktemp("photographs")
    tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(try_download_gcs=False, num_shards=2)
    OurPhotographs(data_dir=str(folder), file_format="array_record").download_and_prepare(download_config=config)
    records = open_dataset("our_photographs", data_dir=str(folder)).examples("train")
    return {"files": files(folder / "png"), "items": items(), "tfds": records}


def served(examples, threads=1, **options):
    return StreamingLoader(examples, 6, 7, threads=threads, **options)


def assert_same(some, others):
    for a, b in zip(some, others, strict=True):
        assert a.keys() == b.keys() == {"image", "label", "mask"}
        for name in a:
            assert a[name].dtype == b[name].dtype
            np.testing.assert_array_equal(a[name], b[name])


def take(iterator, number):
    return list(islice(iterator, number))


# Training.


@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize("where", ["files", "items", "tfds"])
def test_batch_k_is_a_function_of_seed_and_k(storage, where, threads):
    """Wherever the images lie, however many threads there are, and across the ends of epochs."""
    straight = take(served(storage["items"]).batches(3, batch_size=5), 11)  # four batches an epoch
    source = served(storage[where], threads)
    assert_same(take(source.batches(3, batch_size=5), 11), straight)
    for start in (1, 3, 4, 7, 8):
        assert_same(take(source.batches(3, start, batch_size=5), 3), straight[start : start + 3])
    assert all(batch["mask"].all() and batch["image"].shape == (5, 6, 6, 3) for batch in straight)


def test_batches_far_into_a_run_are_there():
    source = served(items())
    assert_same(
        take(source.batches(0, 10**9 + 1, batch_size=5), 1), take(source.batches(0, 10**9, batch_size=5), 2)[1:]
    )


def test_seeds_and_epochs_differ_and_an_epoch_has_no_image_twice():
    source = served(items())
    one, other = (take(source.batches(seed, batch_size=5), 8) for seed in (0, 1))
    assert all((a["image"] != b["image"]).any() for a, b in zip(one, other, strict=True))
    order = ShuffleSampler(NUMBER, 0, 5)
    for k, batch in enumerate(one):
        np.testing.assert_array_equal(batch["label"], order.batch(k) % 3)
    assert len({int(i) for k in range(4) for i in order.batch(k)}) == 20


def test_an_image_is_cropped_anew_every_time():
    alone = ArraySource([encoded(picture(5))], np.array([0]), ("a",), "set.parquet")
    crops = [batch["image"].tobytes() for batch in take(served(alone).batches(0, batch_size=1), 20)]
    assert len(set(crops)) > 15


def test_a_batch_is_of_arrays_a_step_takes():
    batch = next(served(items()).batches(0, batch_size=5))
    assert {name: value.dtype.name for name, value in batch.items()} == {
        "image": "uint8",
        "label": "int32",
        "mask": "float32",
    }
    assert batch["label"].shape == batch["mask"].shape == (5,)


# Evaluation.


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("batch_size", [1, 2, 7, 22, 23, 24, 64])
def test_evaluation_serves_every_image_once_in_order(storage, batch_size, threads):
    for examples in storage.values():
        batches = list(served(examples, threads).eval_batches(batch_size))
        assert len(batches) == -(-NUMBER // batch_size) and {len(batch["label"]) for batch in batches} == {batch_size}
        mask, label, image = (np.concatenate([batch[name] for batch in batches]) for name in ("mask", "label", "image"))
        np.testing.assert_array_equal(mask, np.arange(len(mask)) < NUMBER)
        np.testing.assert_array_equal(label[:NUMBER], np.arange(NUMBER) % 3)
        assert not image[NUMBER:].any() and not label[NUMBER:].any()
        expected = [centre_crop(Image.fromarray(picture(n)), resize=7, size=6) for n in range(NUMBER)]
        np.testing.assert_array_equal(image[:NUMBER], expected)


def test_moments_are_those_of_the_images_as_evaluation_has_them():
    source = served(items(), threads=2)
    batch = next(source.eval_batches(NUMBER))
    assert source.moments() == pixel_moments(batch["image"])


# What cannot be read.


@pytest.mark.parametrize("threads", [1, 8])
def test_an_unreadable_image_stops_the_run_and_is_named(tmp_path, threads):
    examples = files(tmp_path, broken=[11])
    source = served(examples, threads)
    for batches in (source.eval_batches(5), source.batches(0, batch_size=5)):
        with pytest.raises(UnreadableImage, match=f"^{re.escape(str(tmp_path / '11.png'))}: ") as caught:
            take(batches, 10)
        assert "\n" not in str(caught.value)
    assert not source.skipped
    batch = next(source.eval_batches(5))  # the batches before it are served
    assert batch["mask"].all()


def test_a_file_that_has_gone_is_unreadable(tmp_path):
    examples = files(tmp_path)
    (tmp_path / "03.png").unlink()
    with pytest.raises(UnreadableImage, match="/03.png: No such file"):
        take(served(examples).eval_batches(5), 1)
    source = served(examples, skip_unreadable=True)
    assert take(source.eval_batches(5), 1)[0]["mask"].tolist() == [1, 1, 1, 0, 1]
    assert source.name(4) == str(tmp_path / "04.png")


@pytest.mark.parametrize("threads", [1, 8])
def test_unreadable_images_are_skipped_on_request_and_counted(tmp_path, threads):
    broken = [2, 11, 12, 22]
    source = served(files(tmp_path, broken), threads, skip_unreadable=True)
    assert not source.skipped
    batches = list(source.eval_batches(5))
    mask, image = (np.concatenate([batch[name] for batch in batches]) for name in ("mask", "image"))
    np.testing.assert_array_equal(mask, [n < NUMBER and n not in broken for n in range(25)])
    assert not image[mask == 0].any()
    assert set(source.skipped) == {str(tmp_path / f"{n:02}.png") for n in broken}
    assert all(message.startswith(name) for name, message in source.skipped.items())
    whole = next(served(items()).eval_batches(NUMBER))["image"]
    np.testing.assert_array_equal(image[mask == 1], np.delete(whole, broken, 0))
    np.testing.assert_allclose(source.moments(), pixel_moments(np.delete(whole, broken, 0)))


def test_in_training_the_next_image_that_can_be_read_stands_in(tmp_path):
    broken = [2, 11, 12, 22]
    whole = take(served(items()).batches(3, batch_size=5), 9)
    for threads in (1, 8):
        source = served(files(tmp_path, broken), threads, skip_unreadable=True)
        for k, (batch, other) in enumerate(zip(take(source.batches(3, batch_size=5), 9), whole, strict=True)):
            order = ShuffleSampler(NUMBER, 3, 5).batch(k)
            gone = np.isin(order, broken)
            np.testing.assert_array_equal(batch["image"][~gone], other["image"][~gone])
            stand_in = {2: 3, 11: 13, 12: 13, 22: 0}
            labels = [items().labels[stand_in.get(int(i), int(i))] for i in order]
            np.testing.assert_array_equal(batch["label"], labels)
            assert batch["mask"].all() and batch["image"].any((1, 2, 3)).all()
        assert len(source.skipped) == 4


def test_an_error_says_that_no_image_can_be_read(tmp_path):
    source = served(files(tmp_path, range(NUMBER)), skip_unreadable=True)
    with pytest.raises(ValueError, match=r"none of 23 images could be read: .*\d\d.png: "):
        source.moments()
    with pytest.raises(UnreadableImage, match=r"none of 23 images could be read; the last: .*\d\d.png: "):
        next(source.batches(0, batch_size=5))


# Channels and labels.


class Whole:
    """A dataset of one split."""

    name = "set"

    def __init__(self, examples):
        self.splits, self.whole = {"train": len(examples)}, examples

    def examples(self, split):
        return self.whole


def test_channels_are_inferred_and_made_on_request(tmp_path):
    grey, colour = files(tmp_path / "grey", channels=1), files(tmp_path / "colour")
    assert infer_channels(grey) == 1 and infer_channels(colour) == 3
    for examples, channels, expected in (
        (grey, None, 1),
        (colour, None, 3),
        (grey, 3, 3),
        (colour, 1, 1),
        (grey, 1, 1),
        (colour, 3, 3),
    ):
        source = open_loader(Whole(examples), "train", image_size=6, resize=7, channels=channels, threads=1)
        assert source.image_shape == (6, 6, expected)
        batch = next(source.eval_batches(NUMBER))
        assert batch["image"].shape == (NUMBER, 6, 6, expected)
        seen = [read_image(path.read_bytes(), "", expected) for path in examples.paths]
        np.testing.assert_array_equal(batch["image"], [centre_crop(image, resize=7, size=6) for image in seen])


def test_a_colour_that_was_not_expected_is_an_error_that_names_the_image(tmp_path):
    examples = files(tmp_path, channels=1)
    source = open_loader(Whole(examples), "train", image_size=6, threads=1)
    examples.paths[20].write_bytes(encoded(picture(20)))  # as if it were beyond the sample
    with pytest.raises(ValueError, match=r"^/.*/20.png has colours, .* are grey: channels=1 "):
        list(source.eval_batches(5))
    source = open_loader(Whole(examples), "train", image_size=6, threads=1, skip_unreadable=True)
    assert source.image_shape == (6, 6, 3)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_out_of_range_is_named(label):
    whole = items()
    wrong = ArraySource(whole.images, np.where(np.arange(NUMBER) == 7, label, whole.labels), whole.classes, whole.file)
    for skip in (False, True):
        with pytest.raises(ValueError) as caught:
            list(served(wrong, skip_unreadable=skip).eval_batches(5))
        assert str(caught.value) == f"set.parquet, image 7 has label {label}; labels of 3 classes are 0 to 2"


def test_pixels_are_cropped_too():
    """A .npz of images larger than they are expected."""
    images = np.random.default_rng(0).integers(0, 256, (5, 12, 10, 1), np.uint8)
    source = open_loader(
        Whole(ArraySource(images, np.zeros(5, int), ("a",), "a.npz")), "train", image_size=6, threads=1
    )
    assert source.image_shape == (6, 6, 1) and source.resize == 7
    batch = next(source.eval_batches(5))
    expected = [centre_crop(Image.fromarray(image[..., 0]), resize=7, size=6) for image in images]
    np.testing.assert_array_equal(batch["image"], expected)


# The process.


@pytest.mark.parametrize("end", ["pass", "raise SystemExit(3)", "next(bad.batches(0, batch_size=5))"])
def test_a_process_ends_at_once_while_batches_are_read_ahead(tmp_path, end):
    """Whether it is done, leaves, or an image cannot be read."""
    good, bad = files(tmp_path / "good"), files(tmp_path / "bad", broken=range(NUMBER))
    code = (
        "import pathlib, sys, time\n"
        "import numpy as np\n"
        "from resnet_jax.data.sources.image_files import ImageFileSource\n"
        "from resnet_jax.data.loading.streaming import StreamingLoader\n"
        "def source(folder):\n"
        "    paths = sorted(pathlib.Path(folder).iterdir())\n"
        "    return StreamingLoader(ImageFileSource(paths, np.zeros(len(paths), int), ('a',)), 64, 70, threads=8)\n"
        f"bad = source({str(bad.paths[0].parent)!r})\n"
        f"batches = source({str(good.paths[0].parent)!r}).batches(0, batch_size=20)\n"
        "next(batches)\n"
        "print('reading', time.time(), flush=True)\n" + end
    )
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    ended = time.time()
    assert done.returncode == {"p": 0, "r": 3, "n": 1}[end[0]], done.stderr
    assert done.stdout.startswith("reading ")
    assert ended - float(done.stdout.split()[1]) < 5
    if end[0] == "n":
        assert re.search(r"UnreadableImage: .*/bad/\d\d.png: ", done.stderr)
    else:
        assert not done.stderr


def test_shares_of_two_processes_are_the_batches_of_one():
    source = served(items())
    for of in (
        lambda share: take(source.batches(3, 2, batch_size=6, share=share), 5),
        lambda share: list(source.eval_batches(6, share=share)),
    ):
        whole, first, second = of((0, 1)), of((0, 2)), of((1, 2))
        assert len(whole) == len(first) == len(second)
        for batch, *halves in zip(whole, first, second, strict=True):
            for name, rows in batch.items():
                np.testing.assert_array_equal(np.concatenate([half[name] for half in halves]), rows)


def test_scaled_decoding_is_for_training_alone():
    y, x = np.mgrid[:300, :400]
    waves = np.stack([128 + 90 * np.sin(x / (17 + c)) * np.cos(y / 23) for c in range(3)], -1).astype(np.uint8)
    Image.fromarray(waves).save(buffer := io.BytesIO(), "jpeg")
    source = ArraySource([buffer.getvalue()] * 8, np.zeros(8, np.int32), ("a",), "set.parquet")
    full, scaled = (StreamingLoader(source, 16, 18, decode=decode, threads=1) for decode in ("full", "scaled"))
    assert_same(full.eval_batches(4), scaled.eval_batches(4))
    a, b = next(full.batches(0, batch_size=8)), next(scaled.batches(0, batch_size=8))
    assert (a["image"] != b["image"]).any()
    assert np.abs(a["image"].astype(float) - b["image"]).mean() < 4
