import errno
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_jax.data import open_dataset, open_loader, packing
from resnet_jax.data.packing import PackOptions, pack
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.errors import DataError, UnreadableImage
from resnet_jax.images.decoding import pixels, read_image

OPTIONS = PackOptions(size=8, threads=1)


def encoded(number, mode="RGB", side=9):
    rng = np.random.default_rng(number)
    image = Image.fromarray(rng.integers(0, 256, (side + number % 4, side + number % 5, 3), np.uint8)).convert(mode)
    image.save(buffer := io.BytesIO(), "png")
    return buffer.getvalue()


def folder_set(root, count=7, splits=("train", "val")):
    """Class folders of small images of several sizes."""
    for split in splits:
        for number in range(count):
            file = root / split / ("cat", "dog")[number % 2] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encoded(number + 100 * (split == "val")))
    return root


@pytest.fixture(autouse=True)
def small_shards_and_a_quick_disk(monkeypatch):
    monkeypatch.setattr(packing, "SHARD", 3)
    monkeypatch.setattr(os, "fsync", lambda file: None)


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_evaluation_sees_the_pixels_of_the_files_and_so_does_training_if_none_is_larger(tmp_path):
    files = open_dataset(path=str(folder_set(tmp_path / "set")))
    for size in (8, 12):  # all images are larger; none is
        packed = pack(files, tmp_path / f"out{size}", PackOptions(size, threads=2))
        assert packed.is_new and packed.manifest.splits.keys() == {"train", "val"}
        dataset = open_dataset(path=str(tmp_path / f"out{size}"))
        assert dataset.splits == {"train": 7, "val": 7} and dataset.examples("val").classes == ("cat", "dog")
        served = [open_loader(one, "val", image_size=6, resize=size, threads=1) for one in (files, dataset)]
        for a, b in zip(*(loader.eval_batches(4) for loader in served), strict=True):
            assert all(np.array_equal(a[name], b[name]) for name in a)
        train = [
            open_loader(one, "train", image_size=6, threads=1).batches(0, batch_size=5) for one in (files, dataset)
        ]
        a, b = next(train[0]), next(train[1])
        assert np.array_equal(a["label"], b["label"]) and np.array_equal(a["image"], b["image"]) == (size == 12)
        assert a["image"].shape == b["image"].shape


def test_the_set_has_the_identity_of_what_was_packed(tmp_path):
    files = open_dataset(path=str(folder_set(tmp_path / "set", splits=("train",))))
    files = open_dataset(path=str(tmp_path / "set" / "train"))
    pack(files, tmp_path / "out", OPTIONS)
    dataset = open_dataset(path=str(tmp_path / "out"))
    for part in ("train", "train[held-out]", "train[training]", "train[:3]", "train[1:2]+train[4:]"):
        before, now = files.examples(part), dataset.examples(part)
        assert len(before) == len(now)
        for kind in ("contents", "names"):
            a, b = (source.identity(np.arange(len(source)), kind) for source in (before, now))
            assert a.digests == b.digests and np.array_equal(a.names, b.names)
    assert "packed from" in dataset.notes[0] and dataset.examples("train").name(0).endswith("/cat/0.png")


def test_labels_of_every_kind_and_places_of_a_set_that_never_changes(tmp_path):
    images = [encoded(number) for number in range(5)]
    for kind, labels in {
        "multi-hot": np.eye(5, 4, dtype=np.float32),
        "targets": np.arange(10, dtype=np.float32).reshape(5, 2) / 3,
    }.items():
        names = tuple("abcd"[: labels.shape[1]])
        source = StoredDataset("set", {"train": ArraySource(images, labels, names, "set.parquet")}, fixed=True)
        pack(source, tmp_path / kind, PackOptions(8, label_kind=kind, threads=1))
        dataset = open_dataset(path=str(tmp_path / kind), label_kind=kind)
        packed = dataset.examples("train[3:]")
        assert dataset.fixed and packed.classes == names
        np.testing.assert_array_equal(packed.labels, labels[3:])
        assert packed.labels.dtype == np.float32 and np.array_equal(packed[1][1], labels[4])
        with pytest.raises(ValueError, match=f"prepared with label_kind='{kind}'; expected --task multi|--task regr"):
            open_dataset(path=str(tmp_path / kind))
    with pytest.raises(ValueError, match="expected labels of whole images .* got label_kind='pixels'"):
        pack(source, tmp_path / "dense", PackOptions(8, label_kind="pixels"))


def test_images_are_read_as_training_reads_them(tmp_path):
    """Grey ones stay grey, 16 bits keep their high byte, EXIF and transparency are applied."""
    deep, turned, clear = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.fromarray(np.arange(90, dtype=np.uint16).reshape(9, 10) * 700).save(deep, "png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.arange(9 * 12 * 3, dtype=np.uint8).reshape(9, 12, 3)).save(turned, "png", exif=exif)
    Image.fromarray(np.full((9, 9, 4), 77, np.uint8)).save(clear, "png")
    images = [deep.getvalue(), turned.getvalue(), clear.getvalue(), encoded(3, "L")]
    source = ArraySource(images, np.zeros(4, np.int32), ("a",), "set.parquet")
    pack(StoredDataset("set", {"train": source}), tmp_path / "out", PackOptions(30))
    packed = open_dataset(path=str(tmp_path / "out")).examples("train")
    for number, image in enumerate(images):
        np.testing.assert_array_equal(packed[number][0], pixels(read_image(image, "x")))
    assert [packed[number][0].shape for number in range(3)] == [(9, 10, 1), (12, 9, 3), (9, 9, 3)]


def test_a_broken_image_stops_and_is_skipped_on_demand(tmp_path):
    images = [encoded(number) for number in range(7)]
    images[4] = images[4][:-40]
    source = ArraySource(images, np.arange(7) % 2, ("a", "b"), "set.parquet")
    dataset = StoredDataset("set", {"train": source})
    with pytest.raises(UnreadableImage, match="set.parquet, image 4"):
        pack(dataset, tmp_path / "out", OPTIONS)
    with pytest.raises(ValueError, match="is not complete: prepare was interrupted; the same command resumes"):
        open_dataset(path=str(tmp_path / "out"))
    packed = pack(dataset, tmp_path / "new", PackOptions(8, skip_unreadable=True))
    assert len(packed.skipped) == 1 and "set.parquet, image 4" in packed.skipped[0]
    opened = open_dataset(path=str(tmp_path / "new"))
    assert opened.splits == {"train": 6} and "1 images of train could not be read" in opened.notes[-1]
    assert opened.examples("train").labels.tolist() == [0, 1, 0, 1, 1, 0]
    wrong = StoredDataset("set", {"train": ArraySource(images[:2], np.array([0, 5]), ("a", "b"), "s")})
    with pytest.raises(DataError, match="s, image 1 has label 5"):
        pack(wrong, tmp_path / "wrong", OPTIONS)


class Killed(BaseException):
    """No code of the package catches it."""


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_interrupted_at_any_moment_it_is_not_complete_and_resumes(tmp_path, monkeypatch, call):
    dataset = open_dataset(path=str(folder_set(tmp_path / "set", 4, splits=("train",)) / "train"))
    expected, out = pack(dataset, tmp_path / "whole", OPTIONS).folder, tmp_path / "out"
    original, moment, runs = getattr(os, call), 0, 0

    def stops(*arguments):
        nonlocal runs
        runs += 1
        if runs > moment:
            raise Killed
        return original(*arguments)

    while True:
        shutil.rmtree(out, ignore_errors=True)
        runs = 0
        monkeypatch.setattr(os, call, stops)
        try:
            pack(dataset, out, OPTIONS)
            break
        except Killed:
            monkeypatch.setattr(os, call, original)
            if (out / packing.MANIFEST).exists():  # the last moment: all is there
                assert open_dataset(path=str(out)).splits == {"train": 4}
            elif (out / packing.PLAN).exists():
                with pytest.raises(ValueError, match="not complete"):
                    open_dataset(path=str(out))
            pack(dataset, out, OPTIONS)
            assert contents(out) == contents(expected)
        moment += 1
    assert moment > 5


def test_complete_shards_stay_and_a_complete_set_is_not_written_again(tmp_path, monkeypatch):
    dataset, out, reads = open_dataset(path=str(folder_set(tmp_path / "set"))), tmp_path / "out", []
    original = ImageFileSource.__getitem__
    monkeypatch.setattr(ImageFileSource, "__getitem__", lambda self, i: (reads.append(i), original(self, i))[1])
    monkeypatch.setattr(packing, "_estimated_bytes", lambda source, size: 0)
    monkeypatch.setattr(packing, "depth_note", lambda source: None)

    def stop(done, total):
        assert total == 14
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack(dataset, out, OPTIONS, progress=stop)
    reads.clear()
    assert pack(dataset, out, OPTIONS).is_new
    assert len(reads) == 7  # the first two shards of three were complete, and the third, of one image
    reads.clear()
    before = contents(out)
    assert not pack(dataset, out, OPTIONS).is_new
    assert not reads and contents(out) == before


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_shard_with_corrupted_rows_is_written_again(tmp_path, monkeypatch, damage):
    dataset = open_dataset(path=str(folder_set(tmp_path / "set", 4, splits=("train",)) / "train"))
    expected, out = contents(pack(dataset, tmp_path / "whole", OPTIONS).folder), tmp_path / "out"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(packing, "write_manifest", lambda *_: (_ for _ in ()).throw(Killed))
        pack(dataset, out, OPTIONS)
    rows = out / "train-00000.npz"
    data = bytearray(rows.read_bytes())
    data[200] ^= 1  # of the values of an array
    rows.write_bytes({"cut": bytes(data[:-9]), "flipped": bytes(data), "empty": b""}[damage])
    pack(dataset, out, OPTIONS)
    assert contents(out) == expected


def test_a_set_that_another_process_completes_meanwhile_is_checked_under_the_lock(tmp_path, monkeypatch):
    """The other process ends between the first look at the folder and the lock."""
    dataset, out, original = open_dataset(path=str(folder_set(tmp_path / "set", 2))), tmp_path / "out", packing._locked

    def late(folder):
        monkeypatch.setattr(packing, "_locked", original)
        pack(dataset, out, OPTIONS)
        return original(folder)

    monkeypatch.setattr(packing, "_locked", late)
    with pytest.raises(ValueError, match="has another packed set"):
        pack(dataset, out, PackOptions(7, threads=1))
    shutil.rmtree(out)
    monkeypatch.setattr(packing, "_locked", late)
    assert not pack(dataset, out, OPTIONS).is_new


def test_another_set_is_not_overwritten(tmp_path):
    dataset = open_dataset(path=str(folder_set(tmp_path / "set")))
    pack(dataset, tmp_path / "out", OPTIONS, splits=("val",))
    before = contents(tmp_path / "out")
    for other in (PackOptions(7), OPTIONS):
        with pytest.raises(ValueError, match="has another packed set; expected a new or an empty folder"):
            pack(dataset, tmp_path / "out", other)
    assert contents(tmp_path / "out") == before
    with pytest.raises(ValueError, match="is not empty, it has train; expected a new or an empty folder"):
        pack(dataset, tmp_path / "set", OPTIONS)
    with pytest.raises(ValueError, match="is a file"):
        pack(dataset, tmp_path / "set" / "train" / "cat" / "0.png", OPTIONS)
    with pytest.raises(ValueError, match="has no split 'vall'; did you mean val"):
        pack(dataset, tmp_path / "new", OPTIONS, splits=("vall",))
    assert not (tmp_path / "new").exists()


def test_one_process_writes_and_what_does_not_fit_is_not_started(tmp_path, monkeypatch):
    dataset, out = open_dataset(path=str(folder_set(tmp_path / "set"))), tmp_path / "out"
    out.mkdir()
    with packing._locked(out), pytest.raises(ValueError, match="is written by another process"):
        pack(dataset, out, OPTIONS)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(ValueError, match="expected space for about [0-9.]+ kB, got 0 bytes"):
        pack(dataset, out, OPTIONS)
    assert not list(out.iterdir())


@pytest.mark.parametrize("name", ["train-00000.pixels", "val-00002.npz"])
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_complete_set_that_is_corrupted_is_not_taken_as_it_was(tmp_path, name, damage):
    dataset = open_dataset(path=str(folder_set(tmp_path / "set")))
    file = pack(dataset, tmp_path / "out", OPTIONS).folder / name
    data = file.read_bytes()
    file.unlink()
    if damage == "cut":
        file.write_bytes(data[:-1])
    with pytest.raises(ValueError, match=f"{name} is corrupted.*; remove .*out and prepare the set again"):
        pack(dataset, tmp_path / "out", OPTIONS)


def test_a_complete_set_on_a_disk_that_is_read_only(tmp_path, monkeypatch):
    dataset = open_dataset(path=str(folder_set(tmp_path / "set")))
    pack(dataset, tmp_path / "out", OPTIONS)

    def read_only(path, **_):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", read_only)
    assert not pack(dataset, tmp_path / "out", OPTIONS).is_new


def test_skipped_reasons_that_are_corrupted_are_written_again(tmp_path, monkeypatch):
    images = [encoded(number) for number in range(4)]
    images[1] = b"none"
    dataset = StoredDataset("set", {"train": ArraySource(images, np.arange(4) % 2, ("a", "b"), "set.parquet")})
    options, out = PackOptions(8, skip_unreadable=True, threads=1), tmp_path / "out"
    expected = contents(pack(dataset, tmp_path / "whole", options).folder)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(packing, "write_manifest", lambda *_: (_ for _ in ()).throw(Killed))
        pack(dataset, out, options)
    rows = out / "train-00000.npz"
    data = rows.read_bytes()
    rows.write_bytes(data.replace(b"not an image", b"not an omage", 1))
    pack(dataset, out, options)
    assert contents(out) == expected


def test_a_split_without_an_image_that_can_be_read_is_not_packed(tmp_path):
    dataset = StoredDataset("set", {"train": ArraySource([b"", b""], np.arange(2), ("a", "b"), "set.parquet")})
    with pytest.raises(DataError, match="none of the 2 images of train could be read; the last: set.parquet, image 1"):
        pack(dataset, tmp_path / "out", PackOptions(8, skip_unreadable=True, threads=1))
    assert not (tmp_path / "out" / packing.MANIFEST).exists()


def test_a_place_that_is_no_folder_and_a_plan_that_is_no_record_are_refused(tmp_path):
    dataset, out = open_dataset(path=str(folder_set(tmp_path / "set"))), tmp_path / "out"
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="link' is a broken link; expected a new or an empty folder"):
        pack(dataset, tmp_path / "link", OPTIONS)
    out.mkdir()
    for text in ("[1]", "[" * 100_000):
        (out / packing.PLAN).write_text(text)
        with pytest.raises(ValueError, match="packing.json is corrupted; remove .*out and start over"):
            pack(dataset, out, OPTIONS)


def stopped(dataset, out, options, monkeypatch):
    """Packs all shards, and is stopped before the set is complete."""
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(packing, "write_manifest", lambda *_: (_ for _ in ()).throw(Killed))
        pack(dataset, out, options)


@pytest.mark.parametrize("change", ["same size", "repaired", "removed", "added"])
def test_shards_of_images_that_have_changed_since_an_interruption_are_written_again(tmp_path, monkeypatch, change):
    root, out = folder_set(tmp_path / "set", 10, splits=("train",)), tmp_path / "out"
    file = root / "train" / "dog" / "9.png"
    picture = Image.fromarray(np.full((9, 9, 3), 7, np.uint8))
    picture.save(file, "bmp")
    stopped(open_dataset(path=str(root / "train")), out, OPTIONS, monkeypatch)
    first_shard = (out / "train-00000.npz").stat().st_ino
    if change == "same size":
        Image.fromarray(np.full((9, 9, 3), 9, np.uint8)).save(file, "bmp")
    elif change == "repaired":
        file.write_bytes(encoded(50))
    elif change == "removed":
        for name in ("5", "7", "9"):  # a shard less
            file.with_name(f"{name}.png").unlink()
    else:
        (root / "train" / "dog" / "95.png").write_bytes(encoded(51))
    dataset = open_dataset(path=str(root / "train"))
    pack(dataset, out, OPTIONS)
    assert contents(out) == contents(pack(dataset, tmp_path / "whole", OPTIONS).folder)
    assert (out / "train-00000.npz").stat().st_ino == first_shard


def test_a_part_of_another_set_of_the_same_classes_is_not_overwritten(tmp_path, monkeypatch):
    first, out = open_dataset(path=str(folder_set(tmp_path / "set", 7))), tmp_path / "out"
    stopped(first, out, OPTIONS, monkeypatch)
    for file in (tmp_path / "set").rglob("*.png"):
        file.rename(file.with_stem(f"other{file.stem}"))
    before = contents(out)
    with pytest.raises(ValueError, match="has a part of another packed set, which differs in splits"):
        pack(open_dataset(path=str(tmp_path / "set")), out, OPTIONS)
    assert contents(out) == before


def test_the_advice_on_a_broken_image_resumes_the_set(tmp_path):
    """Both to skip it and to repair it."""
    root = folder_set(tmp_path / "set", 7, splits=("train",)) / "train"
    good = (root / "dog" / "5.png").read_bytes()
    (root / "dog" / "5.png").write_bytes(b"none")
    dataset, skips = open_dataset(path=str(root)), PackOptions(8, skip_unreadable=True, threads=1)
    for out in (tmp_path / "skipped", tmp_path / "repaired"):
        with pytest.raises(UnreadableImage):
            pack(dataset, out, OPTIONS)
        assert (out / "train-00000.npz").exists()
    assert len(pack(dataset, tmp_path / "skipped", skips).skipped) == 1
    again = pack(dataset, tmp_path / "skipped", skips)
    assert not again.is_new and len(again.skipped) == 1
    (root / "dog" / "5.png").write_bytes(good)
    dataset = open_dataset(path=str(root))
    assert pack(dataset, tmp_path / "repaired", OPTIONS).manifest.count("train") == 7


def test_an_image_that_was_skipped_and_is_repaired_is_packed(tmp_path, monkeypatch):
    root = folder_set(tmp_path / "set", 7, splits=("train",)) / "train"
    good = (root / "dog" / "5.png").read_bytes()
    (root / "dog" / "5.png").write_bytes(b"none")
    skips = PackOptions(8, skip_unreadable=True, threads=1)
    stopped(open_dataset(path=str(root)), tmp_path / "out", skips, monkeypatch)
    (root / "dog" / "5.png").write_bytes(good)
    packed = pack(open_dataset(path=str(root)), tmp_path / "out", skips)
    assert packed.manifest.count("train") == 7 and not packed.skipped


def test_a_complete_set_whose_images_have_changed_in_place_is_not_taken_as_it_was(tmp_path):
    root, file = folder_set(tmp_path / "set"), tmp_path / "set" / "val" / "cat" / "0.png"
    for colour in (7, 9):
        Image.fromarray(np.full((9, 9, 3), colour, np.uint8)).save(file, "bmp")
        if colour == 7:
            assert pack(open_dataset(path=str(root)), tmp_path / "out", OPTIONS).is_new
    with pytest.raises(ValueError, match="images of val have changed since .*out was prepared; remove .*out and"):
        pack(open_dataset(path=str(root)), tmp_path / "out", OPTIONS)
