"""Fingerprints of images, what is held out by them, and what has changed between two sets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.held_out import held_out, shared
from resnet_jax.data.sources.identity import (
    Identity,
    differences,
    file_fingerprints,
    fingerprint,
)
from resnet_jax.data.sources.image_files import ImageFileSource
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.data.sources.subsets import RelabelledSource, Subset, identify, select_classes

IMAGES = st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 3)), min_size=1, max_size=60)


def sides(images):
    held = held_out(np.array([one for one, _ in images], np.uint64), np.array([label for _, label in images]))
    return {one: bool(side) for (one, _), side in zip(images, held, strict=True)}


@settings(deadline=None, max_examples=80)
@given(images=IMAGES, others=IMAGES)
def test_an_image_stays_on_its_side_when_others_come_and_go(images, others):
    """Within each class that has images on either side of the limit before and after; in whatever order they are."""
    limit = int(0.2 * 2.0**64)

    def divided(images):
        by_class = {label: {one < limit for one, other in images if other == label} for _, label in images}
        return {label for label, halves in by_class.items() if len(halves) == 2}

    before, after = sides(images), sides((images + others)[::-1])
    for one, label in images:
        if (
            label in divided(images) & divided(images + others)
            and sum(one == other for other, _ in images + others) == 1
        ):
            assert before[one] == after[one] == (one < limit)


@settings(deadline=None, max_examples=80)
@given(images=IMAGES)
def test_every_class_has_images_on_both_sides_and_copies_are_on_one(images):
    images = [(one * 4 // 4 // 4 * 4 + label if one >= 4 else label, label) for one, label in images]  # no class shares
    copied = [*images, *images[:5]]
    side_of, labels = sides(copied), np.array([label for _, label in copied])
    held = held_out(np.array([one for one, _ in copied], np.uint64), labels)
    for (one, _), side in zip(copied, held, strict=True):
        assert side_of[one] == side
    for label in set(labels):
        distinct = {one for one, other in copied if other == label}
        assert not held[labels == label].all()
        assert held[labels == label].any() == (len(distinct) > 1)


def test_a_fifth_is_held_out_on_average():
    images = np.arange(20_000, dtype=np.uint16).view(np.uint8).reshape(-1, 1, 2, 1)
    stored = StoredDataset("set", {"train": ArraySource(images, np.arange(20_000) % 4, tuple("abcd"), "x.npz")})
    training, held = stored.examples("train[training]"), stored.examples("train[held-out]")
    assert len(held) == pytest.approx(4_000, abs=250) and len(training) + len(held) == 20_000
    np.testing.assert_allclose(np.bincount(held.labels), 1_000, atol=120)
    assert shared(stored, "train[training]", "train[held-out]") == 0
    assert shared(stored, "train[held-out]", "train[:50%]") == len(
        set(held.places) & set(stored.places("train[:50%]")["train"])
    )
    assert len(stored.examples("train[training]+train[held-out]")) == 20_000


def test_a_fingerprint_is_of_the_contents_wherever_they_are(tmp_path):
    """Long files by eight pieces from their beginning to their end, so that like borders do not make them one."""
    rng = np.random.default_rng(0)
    long = bytearray(rng.bytes(300_000))
    contents = [b"", b"a", rng.bytes(70_000), bytes(long)]
    long[150_000:170_000] = bytes(20_000)
    contents.append(bytes(long))
    paths = [tmp_path / f"{i}.png" for i in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    fingerprints = file_fingerprints(paths)
    assert fingerprints.tolist() == [fingerprint(data) for data in contents] and len(set(fingerprints.tolist())) == 5
    copies = [tmp_path / "elsewhere" / path.name for path in paths]
    (tmp_path / "elsewhere").mkdir()
    assert len({*file_fingerprints(copies)}) == 5  # none is there: each has that of its name
    for path, copy in zip(paths, copies, strict=True):
        copy.write_bytes(path.read_bytes())
    np.testing.assert_array_equal(file_fingerprints(copies), fingerprints)
    first, second = (tmp_path / root / "cat" for root in "ab")
    for folder in (first, second):
        folder.mkdir(parents=True)
        (folder / "im.png").write_bytes(b"abc")
    one, moved = (
        identify(ImageFileSource([root / "cat" / "im.png"], np.array([0]), ("cat",), str(root)), "names")
        for root in (tmp_path / "a", tmp_path / "b")
    )
    assert one.fingerprints == moved.fingerprints
    (second / "im.png").write_bytes(b"abcd")
    larger = identify(ImageFileSource([second / "im.png"], np.array([0]), ("cat",), str(tmp_path / "b")), "names")
    assert one.names == larger.names and one.fingerprints != larger.fingerprints
    deeper = identify(ImageFileSource([first / "im.png"], np.array([0]), ("cat",), str(tmp_path)), "names")
    assert deeper.names != one.names  # so that train/cat/im.png is not test/cat/im.png
    pixels = np.arange(12, dtype=np.uint8)
    assert fingerprint(pixels.reshape(2, 2, 3)) != fingerprint(pixels.reshape(4, 1, 3))


def test_identities_follow_the_examples(tmp_path):
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    items = ArraySource(images, np.arange(10) % 3, tuple("abc"), "x.npz")
    whole = identify(items, "contents")
    chosen = select_classes(items, ("c", "a"), 2)
    np.testing.assert_array_equal(identify(chosen, "names").fingerprints, whole.fingerprints[[0, 2, 3, 5]])
    assert identify(chosen, "contents").labels.tolist() == [1, 0, 1, 0]
    few = Subset(RelabelledSource(items, ("d", *"abc")), np.array([7, 2]))
    np.testing.assert_array_equal(identify(few, "contents").fingerprints, whole.fingerprints[[7, 2]])
    assert few[0] == (images[7], 2) and few.name(0) == "x.npz, image 7" and len(few) == 2
    both = StoredDataset("set", {"train": items, "val": items.take(np.array([9, 4]))}).examples("train[:5]+val")
    order = [images[:, 0, 0, 0].tolist().index(both[i][0].item()) for i in range(len(both))]
    np.testing.assert_array_equal(identify(both, "contents").fingerprints, whole.fingerprints[order])
    index = np.array([6, 0, 5])
    np.testing.assert_array_equal(both.identity(index, "contents").fingerprints, whole.fingerprints[order][index])
    assert order[-2:] == [9, 4] and both.name(6) == "x.npz, image 4"
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").write_bytes(b"a")
    files = ImageFileSource([tmp_path / "cat" / "a.png"], np.array([0]), ("cat",))
    by_contents, by_name = identify(files, "contents"), identify(files, "names")
    assert by_contents.fingerprints != by_name.fingerprints and by_contents.names == by_name.names != 0
    assert (by_contents.kind, by_name.kind) == ("contents", "names")


def test_what_has_changed_is_counted():
    def identity(rows, kind="contents"):
        return Identity(
            kind, *(np.array(x, t) for x, t in zip(zip(*rows, strict=True), ("u8", "u8", "i4"), strict=True))
        )

    before = identity([(1, 11, 0), (2, 12, 0), (3, 13, 1), (4, 14, 1)])
    assert differences(before, before) == []
    now = identity([(1, 99, 0), (3, 13, 0), (4, 14, 1), (4, 15, 1), (5, 16, 1), (6, 17, 1)])
    assert differences(before, now) == ["3 added", "1 removed", "1 renamed", "1 with another label"]
    assert differences(before, identity([(1, 1, 1)], "places")) == []
    swapped = identity([(2, 12, 0), (1, 11, 0), (3, 13, 1), (4, 14, 1)])
    assert before.digests["set"] == swapped.digests["set"] and before.digests["order"] != swapped.digests["order"]
    assert before.digests["set"] != identity([(1, 11, 0), (2, 12, 0), (3, 13, 1), (4, 14, 0)]).digests["set"]
