import gzip
import io
import os
import re
import struct
import zipfile

import numpy as np
import pytest
from pictures import listed, open_all, picture, pictures
from PIL import Image

from resnet_jax.data.sources.formats import open_path, read_idx
from resnet_jax.data.sources.formats.listing import is_image, subfolders
from resnet_jax.data.sources.formats.splits import split_of

RNG = np.random.default_rng(0)


def refused(path, kind=ValueError):
    """What is message: one line that begins with the path."""
    with pytest.raises(kind) as caught:
        open_all(path)
    message = str(caught.value)
    assert "\n" not in message
    if kind is ValueError:
        assert message.startswith(str(path))
    return message


# Folders.


def test_a_folder_per_class_has_its_images_in_order_of_name(tmp_path):
    pictures(tmp_path, "cat/b.JPG", "cat/a.png", "dog/deep/down/c.Jpeg", "dog/b.webp", ".git/x.png", "cat/.hidden.png")
    pictures(tmp_path, "dog/.deep/y.png", "cat/notes.txt", "readme.md", "dog/thumbs.db")
    for run in ("run1", "dog/run2"):  # a run's folder has pictures too
        pictures(tmp_path, f"{run}/evaluation/confusion.png")
        (tmp_path / run / "config.json").write_text('{"config": {}, "versions": {}}')
    data = open_path(tmp_path)
    assert data.splits == {"train": 4}
    train = data.examples("train")
    assert train.classes == ("cat", "dog")
    assert listed(train, tmp_path) == [
        ("cat/a.png", 0),
        ("cat/b.JPG", 0),
        ("dog/b.webp", 1),
        ("dog/deep/down/c.Jpeg", 1),
    ]
    assert train[0] == ((tmp_path / "cat/a.png").read_bytes(), 0)
    assert open_path(str(tmp_path)).splits == data.splits


@pytest.mark.parametrize(
    "names, splits",
    [
        ("train/a/0 train/b/1 val/a/2 val/b/3", {"train": 2, "val": 2}),
        ("train/a/0 train/b/1 test/b/3", {"train": 2, "test": 1}),
        ("train/a/0 train/b/1 validation/a/2 test/b/3 test/b/4", {"train": 2, "validation": 1, "test": 2}),
        ("train/a/0 train/b/1", {"train": 2}),
    ],
)
def test_folders_of_splits(tmp_path, names, splits):
    """A class that is missing outside of train keeps its number."""
    data = open_path(pictures(tmp_path, *(f"{name}.png" for name in names.split())))
    assert data.splits == splits
    for split in splits:
        part = data.examples(split)
        assert part.classes == ("a", "b")
        assert all(label == "ab".index(part.paths[i].parent.name) for i, label in enumerate(part.labels))


@pytest.mark.parametrize(
    "names, message",
    [
        ("train/a/0.png val/a/1.png val/c/2.png", "/val has classes that .*/train has not: c$"),
        ("a/0.png b/notes.txt", "^class folder .*/b has no images"),
        ("train/a/0.png train/b/x.txt", "^class folder .*/train/b has no images"),
        ("train/a/0.png val/a/x.txt", "/val has no images$"),
        ("Cat/0.png cat/1.png dog/2.png", "has classes whose names differ by case alone: Cat, cat$"),
        (
            "0.png 1.PNG",
            "has images, but no sub-folder of them per class, and no metadata.csv of labels; labels='FILE'",
        ),
        ("notes.txt", "has no images; expected a folder of images, of IDX"),
        ("val/a/0.png", "has a folder 'val', but none of training images"),
    ],
)
def test_folders_that_are_no_dataset_give_one_line(tmp_path, names, message):
    pictures(tmp_path, *names.split())
    if len(list(tmp_path.iterdir())) < len({name.split("/")[0] for name in names.split()}):
        pytest.skip("this file system does not tell Cat from cat")
    with pytest.raises(ValueError, match=message) as caught:
        open_all(tmp_path)
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_nothing_and_no_dataset_give_one_line(tmp_path):
    assert "has no images; expected a folder" in refused(tmp_path)
    assert f"no file or folder '{tmp_path}/gone'; expected a folder" in refused(tmp_path / "gone", FileNotFoundError)
    (tmp_path / "notes.txt").write_text("hello")
    assert "notes.txt is no dataset; expected a folder" in refused(tmp_path / "notes.txt")


# IDX.


def idx(array, dimensions=None):
    array = np.asarray(array, np.uint8)
    shape = array.shape if dimensions is None else dimensions
    return b"\0\0\x08" + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


IMAGES, LABELS = RNG.integers(0, 256, (12, 5, 4), np.uint8), np.arange(12) % 3


def write_idx(root, files, zipped=False):
    for name, data in files.items():
        (root / (name + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)
    return root


def mnist(**changed):
    return {
        "train-images-idx3-ubyte": idx(IMAGES),
        "train-labels-idx1-ubyte": idx(LABELS),
        "t10k-images-idx3-ubyte": idx(IMAGES[:5]),
        "t10k-labels-idx1-ubyte": idx(LABELS[:5]),
    } | {name.replace("_", "-"): data for name, data in changed.items()}


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files(tmp_path, zipped):
    data = open_path(write_idx(tmp_path, mnist(), zipped))
    assert data.splits == {"train": 12, "test": 5}
    train = data.examples("train")
    np.testing.assert_array_equal(train.images, IMAGES[..., None])
    np.testing.assert_array_equal(train.labels, LABELS)
    assert train.classes == data.examples("test").classes == ("0", "1", "2")
    assert train.name(3) == f"{tmp_path}/train-images-idx3-ubyte{'.gz' * zipped}, image 3"


def test_idx_of_other_spelling(tmp_path):
    files = {"train-images.idx3-ubyte": idx(IMAGES), "train-labels.idx1-ubyte": idx(LABELS)}
    assert open_path(write_idx(tmp_path, files)).splits == {"train": 12}


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_that_are_cut_off_are_named(tmp_path, zipped):
    whole = gzip.compress(idx(LABELS)) if zipped else idx(LABELS)
    file = tmp_path / ("train-labels-idx1-ubyte" + ".gz" * zipped)
    for cut in range(len(whole)):
        file.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=f"^{re.escape(str(file))} (cannot be read|is no IDX file|is truncated)"):
            read_idx(file)
    file.write_bytes(whole)
    np.testing.assert_array_equal(read_idx(file), LABELS)


HUGE = (2**32 - 1,) * 3


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"train_images_idx3_ubyte": b"\x89PNG" + b"0" * 50}, "/train-images-idx3-ubyte is no IDX file of unsigned"),
        ({"train_images_idx3_ubyte": b"\0\0\x0d" + idx(IMAGES)[3:]}, "/train-images-idx3-ubyte is no IDX file of uns"),
        (
            {"train_images_idx3_ubyte": idx(IMAGES, HUGE)},
            "is truncated or corrupted: 240 values for shape .4294967295",
        ),
        ({"train_images_idx3_ubyte": idx(IMAGES, (0, 5, 4))}, "is truncated or corrupted: more than 0 values"),
        (
            {"train_images_idx3_ubyte": idx(IMAGES) + b"0"},
            "is truncated or corrupted: more than 240 values for shape .12, 5, 4.$",
        ),
        ({"train_images_idx3_ubyte": b"\0\0\x08\xff" + b"\0" * 90}, "is truncated or corrupted: "),
        (
            {"train_images_idx3_ubyte": idx(IMAGES[:0])},
            "/train-images-idx3-ubyte is truncated or corrupted: 0 values for shape",
        ),
        ({"train_images_idx3_ubyte": idx(LABELS)}, "/train-images-idx3-ubyte: expected images .*, got uint8 .12."),
        ({"train_labels_idx1_ubyte": idx(LABELS[:7])}, "/train-images-idx3-ubyte: 12 images, but labels are uint8 .7."),
        (
            {"t10k_labels_idx1_ubyte": idx([0, 1, 2, 3, 0])},
            "image 3 of 'test' has label 3; labels of 3 classes are 0 to 2",
        ),
    ],
)
def test_idx_files_that_do_not_fit_are_named(tmp_path, changed, message):
    write_idx(tmp_path, mnist(**changed))
    with pytest.raises(ValueError, match=message):
        open_all(tmp_path)


def test_an_idx_file_that_is_missing_is_named(tmp_path):
    write_idx(tmp_path, mnist())
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    assert "/t10k-images-idx3-ubyte has no file of labels beside it" in refused(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").unlink()
    (tmp_path / "train-images-idx3-ubyte").unlink()
    assert "/train-labels-idx1-ubyte has no file of images beside it" in refused(tmp_path)
    for file in tmp_path.iterdir():
        file.unlink()
    write_idx(tmp_path, {name: data for name, data in mnist().items() if name.startswith("t10k")})
    assert "has test, but nothing to train on" in refused(tmp_path)


# NumPy.


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


X, Y = RNG.integers(0, 256, (10, 6, 5, 3), np.uint8), np.arange(10) % 4


@pytest.mark.parametrize(
    "arrays, splits",
    [
        ({"x_train": X, "y_train": Y}, {"train": 10}),
        ({"x_train": X, "y_train": Y, "x_test": X[:4], "y_test": Y[:4]}, {"train": 10, "test": 4}),
        (
            {f"{split}_{kind}": a for split in ("train", "val", "test") for kind, a in (("images", X), ("labels", Y))},
            {"train": 10, "val": 10, "test": 10},
        ),
        ({"images": X, "labels": Y}, {"train": 10}),
        ({"image": X, "label": Y}, {"train": 10}),
        ({"x": X, "y": Y, "more": Y}, {"train": 10}),
        ({"x": X, "y": Y[:, None]}, {"train": 10}),
        ({"x": X, "y": Y.astype(np.uint8)}, {"train": 10}),
    ],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_in_every_layout(tmp_path, arrays, splits, save):
    save(tmp_path / "set.npz", **arrays)
    data = open_path(tmp_path / "set.npz")
    assert data.splits == splits
    train = data.examples("train")
    assert train.classes == ("0", "1", "2", "3")
    np.testing.assert_array_equal(train.images, X)
    np.testing.assert_array_equal(train.labels, Y)


def test_npz_of_grey_images_and_with_names(tmp_path):
    file = npz(tmp_path / "set.npz", x=X[..., 0], y=Y, classes=np.array(list("abcdef")))
    train = open_path(file).examples("train")
    assert train.images.shape == (10, 6, 5, 1) and train.classes == tuple("abcdef")
    assert train.name(7) == f"{file}, train, image 7"


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"x": X.astype(np.float32) / 255, "y": Y}, "got float32 .10, 6, 5, 3."),
        ({"x": X.astype(int), "y": Y}, "got int64 .10, 6, 5, 3."),
        ({"x": np.concatenate([X, X[..., :1]], -1), "y": Y}, "got uint8 .10, 6, 5, 4."),
        ({"x": X[..., 0, 0], "y": Y}, "got uint8 .10, 6."),
        ({"x": X, "y": Y.astype(np.float32)}, "10 images, but labels are float32 .10."),
        ({"x": X, "y": Y.astype(str)}, "10 images, but labels are <U21 .10."),
        ({"x": X, "y": Y[:9]}, "10 images, but labels are int64 .9."),
        ({"x": X, "y": np.eye(4, dtype=int)[Y]}, "10 images, but labels are int64 .10, 4."),
        ({"x": X, "y": Y - 1}, "labels run from -1 to 2; expected 0 for the first class"),
        ({"x": X, "y": Y + 70000}, "labels run from 70000 to 70003; expected"),
        ({"x": X, "y": Y, "classes": np.array(["a", "b"])}, "image 2 of 'train' has label 2; labels of 2 classes are"),
        ({"x": X, "y": Y, "classes": np.array("a")}, "image 1 of 'train' has label 1; labels of 1 classes are 0 to 0"),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1}, "image 3 of 'test' has label 4; labels of 4"),
        ({"x": X, "y": Y, "classes": np.array(["a", "b", "c", "a"])}, "'classes' has the name 'a', empty or twice"),
        ({"x": X[:0], "y": Y[:0]}, "there are no images"),
        ({"x": X[:, :0], "y": Y}, "there are no images"),
        ({"x_train": X}, "has the arrays x_train; expected x_train and y_train; or"),
        ({"x_test": X, "y_test": Y}, "has the arrays x_test, y_test; expected x_train"),
        ({}, "has the arrays .none.; expected"),
    ],
)
def test_npz_that_do_not_fit_give_one_line(tmp_path, arrays, message):
    file = npz(tmp_path / "set.npz", **arrays)
    assert re.search(message, refused(file))


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("name", ["x", "y", "classes"])
def test_pickled_objects_are_refused_and_not_run(tmp_path, name):
    evil = np.array([Evil(str(tmp_path / "ran"))], object)
    file = npz(tmp_path / "set.npz", **({"x": X, "y": Y} | {name: evil}))
    assert "Object arrays cannot be loaded" in refused(file)
    assert not (tmp_path / "ran").exists()
    np.load(file, allow_pickle=True)[name]
    assert (tmp_path / "ran").exists()  # so it would have


def test_npz_that_are_damaged_give_one_line(tmp_path):
    file = npz(tmp_path / "set.npz", x=X[:2, :2], y=Y[:2])
    whole = file.read_bytes()
    for cut in [*range(0, len(whole), 7), *range(len(whole) - 30, len(whole))]:
        file.write_bytes(whole[:cut])
        refused(file)
    for place in range(0, len(whole), 3):  # the checksum is the archive's
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        file.write_bytes(damaged)
        try:
            open_path(file)
        except ValueError as error:
            assert str(error).startswith(str(file)) and "\n" not in str(error)


def test_other_files_called_npz_give_one_line(tmp_path):
    file = tmp_path / "set.npz"
    buffer = io.BytesIO()
    np.save(buffer, X)
    for data in (buffer.getvalue(), b"hello", b"\x80\x04K\x01.", b""):
        file.write_bytes(data)
        assert "is no .npz file, or is truncated" in refused(file)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x", b"hello")
        archive.writestr("y", b"hello")
    assert "has the arrays (none); expected x_train" in refused(file)
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 10**9)}
    with zipfile.ZipFile(file, "w") as archive, archive.open("x.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
    assert "has the arrays x; expected" in refused(file)
    with zipfile.ZipFile(file, "a") as archive, archive.open("y.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
    refused(file)


def test_a_folder_called_like_a_split_among_classes_is_a_class_or_named(tmp_path):
    pictures(tmp_path / "classes", "bus/1.png", "train/1.png", "valid/1.png")
    assert open_path(tmp_path / "classes").examples("train").classes == ("bus", "train", "valid")
    pictures(tmp_path / "mixed", "train/steam/1.png", "bus/1.png")
    with pytest.raises(ValueError, match="mixed has the split 'train' beside bus; expected a folder per class"):
        open_path(tmp_path / "mixed")


def test_a_link_back_to_its_own_folder_is_followed_once(tmp_path):
    pictures(tmp_path, "a/1.png", "a/2.png", "a/3.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    assert len(open_path(tmp_path).examples("train")) == 3


# Splits under other names, and folders that are no classes.


@pytest.mark.parametrize(
    "train, test, name",
    [
        ("Train", "Test", "test"),
        ("training", "testing", "test"),
        ("training_set", "test_set", "test"),
        ("TRAIN", "VAL", "val"),
        ("train_set", "val_set", "val"),
        ("train2017", "val2017", "val"),
        ("Training", "Validation", "validation"),
        ("train-images", "dev", "validation"),
        ("train", "test1", "test"),
        ("seg_train/seg_train", "seg_test/seg_test", "test"),
        ("train", "evaluation", "validation"),
        ("train", "valid", "valid"),
    ],
)
def test_splits_have_many_names(tmp_path, train, test, name):
    pictures(tmp_path, f"{train}/cat/1.png", f"{train}/dog/1.png", f"{test}/dog/1.png", "annotations/cat.xml")
    data = open_all(tmp_path)
    assert data.splits == {"train": 2, name: 1} and data.examples("train").classes == ("cat", "dog")
    assert data.notes == ("folders beside those of splits are not read: annotations",)


@pytest.mark.parametrize(
    "names, message",
    [
        ("Train/a/1 train_set/a/1", "Train and train_set both name the split 'train'; expected one of them"),
        ("fold1/a/1 fold1/b/1 fold2/a/1 fold2/b/1", "fold1, fold2 look like splits: each has the folders a, b; expec"),
        ("seg_one/seg_one/a/1 seg_one/seg_one/b/1 seg_two/seg_two/a/1 seg_two/seg_two/b/1", "look like splits"),
        ("cat/train/1 cat/val/1 dog/train/1 dog/val/1", "each of cat, dog has the splits train, val; expected"),
        ("PetImages/cat/1 PetImages/dog/1", "has one folder of folders; did you mean .*/PetImages.$"),
        ("dataset/train/a/1 dataset/val/a/1", "has one folder of folders; did you mean .*/dataset.$"),
        ("train/1 test1/1", "/train has images, but no sub-folder of them per class, and no metadata.csv"),
        ("train/fold1/a/1 train/fold1/b/1 train/fold2/a/1 train/fold2/b/1", "/train: fold1, fold2 look like splits"),
    ],
)
def test_folders_that_are_no_classes_give_one_line(tmp_path, names, message):
    pictures(tmp_path, *(f"{name}.png" for name in names.split()))
    with pytest.raises(ValueError, match=message):
        open_all(tmp_path)
    folders = subfolders(tmp_path)
    if not any(map(split_of, folders)):  # whoever names them means them
        assert open_all(tmp_path, classes=tuple(folders)).examples("train").classes == tuple(folders)


def test_a_folder_of_images_in_each_class_is_no_sign_of_splits(tmp_path):
    pictures(tmp_path, "n1/images/1.png", "n2/images/1.png", "n3/old/1.png", "n3/new/1.png", "n3/2.png")
    assert open_all(tmp_path).examples("train").classes == ("n1", "n2", "n3")


@pytest.mark.parametrize(
    "names, reason",
    [
        ("test/images/1.png test/images/2.png", "/test has 2 images, but no sub-folder of them per class$"),
        ("test/1.png test/2.png", "/test has 2 images, but no sub-folder of them per class$"),
        ("test/a/1.png  test/zebra/1.png", "/test has classes that .*/train has not: zebra$"),
        ("test/a/x.txt", "/test has no images$"),
    ],
)
def test_a_split_that_cannot_be_used_is_reported_when_it_is_asked_for(tmp_path, names, reason):
    data = open_path(pictures(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png", *names.split()))
    assert len(data.examples("train")) == 2 and len(data.examples("val")) == 1
    assert ("test" in data.splits) == ("1.png test" not in names)  # a split without labels is none to test on
    with pytest.raises(ValueError, match=reason):
        data.examples("test")


def test_classes_whose_images_all_lie_a_level_deeper_get_a_note(tmp_path):
    pictures(tmp_path / "D", "shapes/circle/1.png", "shapes/square/1.png", "other/cross/1.png", "other/ring/1.png")
    pictures(tmp_path / "S", "val/cat/1.png", "val/dog/1.png")
    pictures(tmp_path / "S/train", "cat/grey/1.png", "cat/red/1.png", "dog/big/1.png", "dog/small/1.png")
    for path, train, first in (("D", "D", "other"), ("S", "S/train", "cat")):
        (note,) = open_all(tmp_path / path).notes
        assert note.endswith(f"; did you mean {tmp_path / train / first}?")
    message = "classes are other, shapes, but images lie deeper, as in other/cross, shapes/circle; did you mean"
    assert open_all(tmp_path / "D").notes[0].startswith(message)
    pictures(tmp_path / "D", "shapes/1.png")  # a class whose images do not
    assert open_all(tmp_path / "D").notes == ()


def test_what_systems_leave_behind_is_skipped(tmp_path):
    pictures(tmp_path, "cat/1.png", "dog/1.png", "__MACOSX/cat/._1.png", "__MACOSX/x.png", "@eaDir/y.png")
    pictures(tmp_path, "cat/@eaDir/1.png/THUMB.png", "cat/.ipynb_checkpoints/1-checkpoint.png", "cat/Thumbs.db")
    data = open_all(tmp_path)
    assert data.splits == {"train": 2} and data.notes == ()
    pictures(tmp_path / "in", "train/cat/1.png", "train/dog/1.png", "__MACOSX/x.png")
    assert open_all(tmp_path / "in").notes == ()


def test_files_that_are_not_read_are_counted_and_images_without_an_extension_are_known(tmp_path):
    pictures(tmp_path, "cat/1.png", "dog/1.png", "dog/2", "dog/3.jpg_large", "dog/4.jpg?w=100", "5.png")
    for name, content in (("6.heic", b"ftypheic"), ("7.heic", b""), ("8", b"text"), ("9.txt", b"\x89PNG\r\n\x1a\n")):
        (tmp_path / "dog" / name).write_bytes(content)
    os.mkfifo(tmp_path / "dog" / "pipe")  # which is not waited for
    data = open_all(tmp_path)
    assert [name for name, _ in listed(data.examples("train"), tmp_path)] == [
        *("cat/1.png", "dog/1.png", "dog/2", "dog/3.jpg_large", "dog/4.jpg?w=100")
    ]
    assert data.notes == (
        "5 files are not read (2 .heic, 2 without an extension, 1 .txt)",
        "images beside the class folders are not read: 5.png (1)",
    )
    (tmp_path / "owl").mkdir()
    (tmp_path / "owl" / "1.heic").touch()
    with pytest.raises(ValueError, match="/owl has no images .*; 1 file is not read .1 .heic.$"):
        open_path(tmp_path)


@pytest.mark.parametrize("encode", "png jpeg webp gif bmp tiff".split())
def test_every_format_is_known_by_its_first_bytes(tmp_path, encode):
    Image.new("RGB", (4, 4)).save(tmp_path / "image", encode)
    assert is_image(str(tmp_path / "image"))


def test_links_into_other_parts_of_the_data_are_not_followed(tmp_path):
    pictures(tmp_path / "D", "cat/1.png", "dog/1.png", "dog/2.png")
    pictures(tmp_path, "store/more/3.png", "store/owl/4.png")
    for name, target in (("loop", ".."), ("others", "../dog"), ("more", tmp_path / "store/more"), ("up", tmp_path)):
        (tmp_path / "D" / "cat" / name).symlink_to(target)
    (tmp_path / "D" / "owl").symlink_to(tmp_path / "store/owl")
    data = open_all(tmp_path / "D")
    assert [name for name, _ in listed(data.examples("train"), tmp_path / "D")] == [
        *("cat/1.png", "cat/more/3.png", "dog/1.png", "dog/2.png", "owl/4.png")
    ]
    assert data.notes == (f"links to other parts of the data are not followed: {tmp_path}/D/cat/loop and 2 more",)
    (tmp_path / "D" / "wolf").symlink_to("dog")
    with pytest.raises(ValueError, match="has several links to one folder: dog, wolf"):
        open_path(tmp_path / "D")


def test_a_name_in_two_unicode_forms_is_one_class(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    data = open_all(pictures(tmp_path / "a", f"train/{composed}/1.png", "train/tea/1.png", f"val/{decomposed}/2.png"))
    assert data.examples("train").classes == data.examples("val").classes == (composed, "tea")
    assert list(data.examples("val").labels) == [0]
    pictures(tmp_path / "b", f"{composed}/1.png", "tea/1.png")
    if len(subfolders(pictures(tmp_path / "b", f"{decomposed}/1.png"))) == 3:  # else the file system composes
        with pytest.raises(ValueError, match="has classes whose names differ by Unicode form alone: "):
            open_path(tmp_path / "b")


def test_classes_that_are_numbers_are_in_their_order_and_images_in_that_of_the_files(tmp_path):
    train = open_all(pictures(tmp_path, "0/1.png", "1/1.png", "10/1.png", "2/1.png")).examples("train")
    assert train.classes == ("0", "1", "2", "10")
    assert listed(train, tmp_path) == [("0/1.png", 0), ("1/1.png", 1), ("10/1.png", 3), ("2/1.png", 2)]


def test_arrow_files_and_archives_are_told_what_to_do(tmp_path):
    picture(tmp_path / "D/train/x.png")
    (tmp_path / "D/dataset_dict.json").write_text("{}")
    (tmp_path / "D/train/data-00000-of-00001.arrow").touch()
    assert "holds Arrow files of Hugging Face's save_to_disk; expected Parquet: " in refused(tmp_path / "D")
    (tmp_path / "p.zip").touch()
    assert "p.zip is no dataset; expected a folder of images" in refused(tmp_path / "p.zip")
    assert "unpack it first" in refused(tmp_path / "p.zip")


def test_columns_are_refused_where_there_are_none(tmp_path):
    pictures(tmp_path / "D", "a/1.png", "b/1.png")
    with pytest.raises(ValueError, match="label_column='x' is for Parquet files and files of labels; to read one"):
        open_path(tmp_path / "D", label_column="x")
    with pytest.raises(ValueError, match="has no columns; image_column='x' is for Parquet"):
        open_path(npz(tmp_path / "a.npz", x=X, y=Y), image_column="x")


# EMNIST's names, CIFAR's archives, arrays of other splits.


def test_idx_files_of_a_named_set_counted_from_one(tmp_path):
    files = {f"emnist-letters-{name}": data for name, data in mnist().items() if name.startswith("train")}
    files["emnist-letters-train-labels-idx1-ubyte"] = idx(LABELS + 1)
    files |= {
        "emnist-letters-test-images-idx3-ubyte": idx(IMAGES),
        "emnist-letters-test-labels-idx1-ubyte": idx(LABELS + 1),
    }
    data = open_all(write_idx(tmp_path, files, zipped=True))
    assert data.splits == {"train": 12, "test": 12}
    assert data.examples("train").classes == data.examples("test").classes == ("1", "2", "3")
    np.testing.assert_array_equal(data.examples("test").labels, LABELS)
    write_idx(tmp_path, mnist())
    assert "has the IDX files of several sets: one without a name, emnist-letters; expected one" in refused(tmp_path)


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


cifar_files = {
    1: ([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"], "batches.meta.txt"),
    2: (["train.bin", "test.bin"], "fine_label_names.txt"),
}


def test_the_pickles_of_cifar_are_not_opened(tmp_path):
    (tmp_path / "data_batch_1").touch()
    (tmp_path / "batches.meta").touch()
    message = "holds Python pickles, which are not read; expected the binary version, cifar-10-binary.tar.gz"
    assert message in refused(tmp_path)
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    write_idx(tmp_path / "MNIST/raw", mnist())
    for name in ("data_batch_1", "batches.meta"):
        (tmp_path / name).unlink()
    assert f"has no images; did you mean {tmp_path}/MNIST/raw?" in refused(tmp_path)


def test_npz_splits_under_other_names_and_without_labels(tmp_path):
    arrays = {"X_train": X, "Y_train": Y, "x_valid": X[:4], "y_valid": Y[:4], "x_test": X[:5], "y_test": np.full(5, -1)}
    data = open_all(npz(tmp_path / "a.npz", **arrays))
    assert data.splits == {"train": 10, "valid": 4}
    assert data.notes == (f"split 'test' is not used: {tmp_path}/a.npz: y_test has no labels, it is -1 everywhere",)
    arrays = {"training_images": X, "training_labels": Y, "dev_images": X[:4], "dev_labels": Y[:4]}
    assert open_all(npz(tmp_path / "a.npz", **arrays)).splits == {"train": 10, "validation": 4}
