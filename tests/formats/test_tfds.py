import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from resnet_jax.data import default_splits, open_dataset, open_loader
from resnet_jax.data.sources.held_out import shared
from resnet_jax.errors import UnreadableImage
from resnet_jax.formats.tfds import open_tfds
from resnet_jax.images.decoding import read_image

COUNTS = {"train": 50, "validation": 7, "test": 10}


def picture(number, split):
    """Image `number` of a split, of another size than others, and its label."""
    rng = np.random.default_rng((number, list(COUNTS).index(split)))
    return rng.integers(0, 256, (8 + number % 5, 9 + number % 3, 3), np.uint8), number % 3


def encoded(image, kind):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **({"quality": 95} if kind == "jpeg" else {}))
    return buffer.getvalue()


class Pictures(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """StreamingLoader of different sizes."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = None
    kind = "png"
    keys = ("image", "label")

    def _info(self):
        image = tfds.features.Image(shape=(None, None, 3), encoding_format=self.kind)
        label = tfds.features.ClassLabel(names=["cat", "dog", "owl"])
        features = tfds.features.FeaturesDict(
            {"mask": tfds.features.Image(encoding_format="png"), **dict(zip(self.keys, (image, label), strict=True))}
        )
        return tfds.core.DatasetInfo(builder=self, description="-", features=features, supervised_keys=self.keys)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(self, split):
        for number in range(COUNTS[split]):
            image, label = picture(number, split)
            yield number, {"mask": encoded(image, "png"), self.keys[0]: encoded(image, self.kind), self.keys[1]: label}


class OurPngs(Pictures):
    pass


class OurJpegs(Pictures):
    kind = "jpeg"
    keys = ("photograph", "species")


class OurNumbers(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """No images at all."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = None

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, description="-", features=tfds.features.FeaturesDict({"n": tfds.features.Scalar(np.int64)})
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"n": 1}


def renamed(name, version):
    return type(name, (Pictures,), {"VERSION": tfds.core.Version(version)}, skip_registration=True)


def prepare(builder, data_dir, shards=None, file_format="array_record"):
    built = builder(data_dir=data_dir, file_format=file_format)
    config = tfds.download.DownloadConfig(num_shards=shards, try_download_gcs=False)
    built.download_and_prepare(download_config=config)
    return built


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    tfds.disable_progress_bar()
    folder = str(tmp_path_factory.mktemp("tfds"))
    prepare(OurPngs, folder, shards=3)
    prepare(OurJpegs, folder)
    prepare(OurNumbers, folder)
    return folder


def numbers(examples, split="train", kind="png"):
    """Which image each of them is, by its pixels; checks the labels."""
    known = {}
    for number in range(COUNTS[split]):
        image, label = picture(number, split)
        known[np.asarray(read_image(encoded(image, kind), "")).tobytes()] = number, label
    numbers = []
    for i in range(len(examples)):
        data, label = examples[i]
        number, expected = known[np.asarray(read_image(data, examples.name(i))).tobytes()]
        assert label == expected
        numbers.append(number)
    return numbers


@pytest.mark.parametrize("name, kind", [("our_pngs", "png"), ("our_jpegs", "jpeg")])
def test_a_prepared_set_is_read_by_its_name(data_dir, name, kind):
    """Every split and shard, whatever its columns are called; nobody here knows its builder."""
    data = open_tfds(name, data_dir)
    assert data.name == name and data.splits == COUNTS
    for split, count in COUNTS.items():
        examples = data.examples(split)
        assert examples.classes == ("cat", "dog", "owl") and len(examples) == count
        assert sorted(numbers(examples, split, kind)) == list(range(count))
        assert examples[2][0] == examples[2][0] and isinstance(examples[2][0], bytes)
        assert examples.name(2) == f"{name}, {split}, example 2"


def test_there_are_several_shards(data_dir):
    """So that the other tests are of them too."""
    files = [list(Path(data_dir, name).glob("1.0.0/*-train.array_record*")) for name in ("our_pngs", "our_jpegs")]
    assert [len(shard) for shard in files] == [3, 1]


def test_parts(data_dir):
    data = open_tfds("our_pngs", data_dir)
    whole = numbers(data.examples("train"))
    assert numbers(data.examples("train[:10%]")) == whole[:5]
    assert numbers(data.examples("train[10%:]")) == whole[5:]
    assert numbers(data.examples("train[-5:]")) == whole[-5:]
    both = data.examples("train[:5]+test")
    assert len(both) == 15
    assert [both[i] for i in range(5, 15)] == [data.examples("test")[i] for i in range(10)]
    assert len(data.examples("train+test[50%:]+validation")) == 62
    assert default_splits(data, "train", None) == ("train", "validation")
    assert default_splits(data, "train", "train[20%:40%]")[0] == "train[:20%]+train[40%:]"
    assert shared(data, "train[:60%]+test", "train[50%:]+validation") == 5


@pytest.mark.parametrize(
    "split, message",
    [
        ("trian", "our_pngs has no split 'trian'; did you mean train"),
        ("trian[:5]", "our_pngs has no split 'trian'; did you mean train"),
        ("train+tset", "our_pngs: split 'train+tset' cannot be understood: "),
        ("train[5:5]", "our_pngs: 'train[5:5]' is empty; 'train' has 50 images"),
        ("train[:0%]", "our_pngs: 'train[:0%]' is empty; 'train' has 50 images"),
        ("train[a:b]", "our_pngs: split 'train[a:b]' cannot be understood: "),
        ("train[:10%", "our_pngs: split 'train[:10%' cannot be understood: "),
        ("train[", "our_pngs: split 'train[' cannot be understood: "),
        ("train+", "our_pngs: split 'train+' cannot be understood: "),
        ("train[::2]", "our_pngs: split 'train[::2]' cannot be understood: "),
        ("train[:500]", "our_pngs: split 'train[:500]' cannot be understood: "),
        ("", "our_pngs has no split ''; expected train, validation or test"),
    ],
)
def test_a_split_that_cannot_be_gives_one_line(data_dir, split, message):
    with pytest.raises(ValueError) as caught:
        open_tfds("our_pngs", data_dir).examples(split)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_no_more_is_decoded_than_asked_for(data_dir, monkeypatch):
    """Neither the image nor another one beside it."""
    examples = open_tfds("our_pngs", data_dir).examples("train")
    monkeypatch.setattr(tfds.features.Image, "decode_example_np", lambda *_: pytest.fail("decoded"))
    assert examples[0][0].startswith(b"\x89PNG")


def test_the_newest_version_is_taken_and_others_by_number(data_dir, tmp_path):
    for version in ("1.0.0", "10.0.0", "9.0.0"):
        prepare(renamed("Versioned", version), str(tmp_path))
    assert str(open_tfds("versioned", str(tmp_path)).builder.version) == "10.0.0"
    assert str(open_tfds("versioned:9.0.0", str(tmp_path)).builder.version) == "9.0.0"


def refused(name, data_dir):
    with pytest.raises(ValueError) as caught:
        open_tfds(name, data_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["cifar10", "imagenet2012", "cifar10:3.0.2", "cifar10_corrupted/fog_2"])
def test_what_is_not_prepared_is_told_with_the_command_that_does_it(tmp_path, name):
    message = refused(name, str(tmp_path))
    assert f" is not prepared in {tmp_path}/{name.partition(':')[0]}" in message
    assert message.endswith(f"run: tfds build {name} --file_format=array_record --data_dir={tmp_path}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, message",
    [
        ("cifra10", "no TFDS dataset, file or folder 'cifra10'; did you mean cifar10"),
        ("no_such_thing_at_all", "no TFDS dataset, file or folder 'no_such_thing_at_all'; see tfds.list_builders()"),
        ("cifar10:0.0.1", "TFDS cannot open 'cifar10:0.0.1': "),
        ("cifar10/no_config", "TFDS cannot open 'cifar10/no_config': "),
        ("https://x.org/d", "'https://x.org/d' is an address; expected the name of a TFDS dataset, or a path"),
        ("Not A Name", "TFDS cannot open 'Not A Name': "),
        ("", "TFDS cannot open '': "),
        ("our_numbers", "our_numbers is not an image classification set"),
        ("imdb_reviews", "imdb_reviews is not an image classification set"),
    ],
)
def test_what_is_no_image_dataset_gives_one_line(data_dir, name, message):
    assert message in refused(name, data_dir)


def test_a_folder_that_is_named_as_a_dataset_is_a_path(tmp_path, monkeypatch, data_dir):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_pictures").mkdir()
    assert "has no dataset 'my_pictures'; expected path='my_pictures' for what lies" in refused("my_pictures", data_dir)


@pytest.mark.parametrize("known", [False, True])
def test_a_set_prepared_in_another_format_is_named(tmp_path, known):
    """tfrecord, TFDS's own choice, needs TensorFlow. It may be in the catalogue or not."""
    built = prepare(renamed("Cifar10" if known else "OurRecords", "3.0.2"), str(tmp_path))
    folder = built.data_path
    for file in folder.glob("*.array_record*"):
        file.rename(folder / file.name.replace("array_record", "tfrecord"))
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    message = refused(built.name, str(tmp_path))
    assert message.startswith(
        f"{built.name} lies in {folder} as tfrecord; expected array_record; once, with TensorFlow"
    )
    assert message.endswith(f"run: tfds convert_format --dataset_version_dir={folder} --out_file_format=array_record")


def test_a_set_that_was_converted_is_read(tmp_path):
    """`tfds convert_format` puts the ArrayRecord files beside the others."""
    folder = prepare(renamed("OurRecords", "1.0.0"), str(tmp_path)).data_path
    for file in folder.glob("*.array_record*"):
        (folder / file.name.replace("array_record", "tfrecord")).write_bytes(b"")
    info = json.loads((folder / "dataset_info.json").read_text())
    info |= {"fileFormat": "tfrecord", "alternativeFileFormats": ["array_record"]}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    assert sorted(numbers(open_tfds("our_records", str(tmp_path)).examples("test"), "test")) == list(range(10))


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
def test_a_damaged_description_is_named(tmp_path, name):
    folder = prepare(renamed("OurDamaged", "1.0.0"), str(tmp_path)).data_path
    (folder / name).write_bytes((folder / name).read_bytes()[:50])
    assert refused("our_damaged", str(tmp_path)).startswith(f"{folder} is corrupted: ")
    (folder / name).unlink()
    assert "our_damaged" in refused("our_damaged", str(tmp_path))


def test_a_damaged_file_makes_its_examples_unreadable(tmp_path):
    folder = prepare(renamed("OurDamaged", "1.0.0"), str(tmp_path), shards=2).data_path
    shard = sorted(folder.glob("*-train.array_record*"))[1]
    whole = shard.read_bytes()
    for damage in (lambda: shard.write_bytes(whole[:-100]), lambda: shard.write_bytes(b""), shard.unlink):
        damage()
        examples = open_tfds("our_damaged", str(tmp_path)).examples("train")
        assert isinstance(examples[0][0], bytes)
        with pytest.raises(UnreadableImage, match="^our_damaged, train, example 49: ") as caught:
            examples[49]
        assert "\n" not in str(caught.value)


def test_images_of_different_sizes_are_cropped_to_one(data_dir):
    data = open_dataset("our_pngs", data_dir=data_dir)
    with pytest.raises(ValueError, match="images differ in size: our_pngs, test, example 0 has .*; image_size=128"):
        open_loader(data, "test")
    source = open_loader(data, "test", image_size=6, threads=1)
    batches = list(source.eval_batches(4))
    assert [batch["image"].shape for batch in batches] == [(4, 6, 6, 3)] * 3
    assert sum(batch["mask"].sum() for batch in batches) == 10


def test_reading_needs_no_tensorflow(data_dir):
    code = (
        "import sys; from resnet_jax.formats.tfds import open_tfds\n"
        f"examples = open_tfds('our_jpegs', {data_dir!r}).examples('train[:5]+test')\n"
        "print(len(examples), len([examples[i] for i in range(15)]), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["15", "15", "False"], done.stderr
