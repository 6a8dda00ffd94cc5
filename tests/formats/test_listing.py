"""Which files in folders are images, and what is not read."""

import os

import pytest
from pictures import listed, open_all, pictures
from PIL import Image

from resnet_jax.formats import open_path
from resnet_jax.formats.file_kinds import IMAGE_FILES


def test_a_link_back_to_its_own_folder_is_followed_once(tmp_path):
    pictures(tmp_path, "a/1.png", "a/2.png", "a/3.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    assert len(open_path(tmp_path).examples("train")) == 3


def test_a_link_to_itself_is_no_folder(tmp_path):
    pictures(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "cat" / "loop").symlink_to("loop")
    assert len(open_path(tmp_path).examples("train")) == 2


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
    (tmp_path / "owl" / "2.wav").touch()
    with pytest.raises(ValueError, match=r"1 \.wav\); to read sounds: kind='audio'$"):
        open_path(tmp_path)


@pytest.mark.parametrize("encode", "png jpeg webp gif bmp tiff".split())
def test_every_format_is_known_by_its_first_bytes(tmp_path, encode):
    Image.new("RGB", (4, 4)).save(tmp_path / "image", encode)
    assert IMAGE_FILES.matches(str(tmp_path / "image"))


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
