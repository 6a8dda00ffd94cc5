"""What lies at a path: which format it is, and what is none."""

import pytest
from idx_files import mnist, write_idx
from pictures import picture, pictures, refused

from resnet_jax.data.sources.formats import open_path
from resnet_jax.files import expanded


def test_nothing_and_no_dataset_give_one_line(tmp_path):
    assert "has no images; expected a folder" in refused(tmp_path)
    assert f"no file or folder '{tmp_path}/gone'; expected a folder" in refused(tmp_path / "gone", FileNotFoundError)
    (tmp_path / "notes.txt").write_text("hello")
    assert "notes.txt is no dataset; expected a folder" in refused(tmp_path / "notes.txt")


def test_messages_on_arrow_files_and_archives_say_what_to_do(tmp_path):
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
    idx = write_idx(tmp_path, mnist())
    with pytest.raises(ValueError, match="has no columns; image_column='x' is for Parquet"):
        open_path(idx, image_column="x")


def test_an_empty_path_is_not_the_current_folder(tmp_path):
    assert refused("").startswith("path='': expected a path")
    assert refused(tmp_path, labels="").startswith("labels='': expected a path")
    with pytest.raises(ValueError, match="expected a file or a folder, .* got an empty path"):
        expanded("")


def test_a_dataset_in_an_inner_folder_is_suggested(tmp_path):
    (tmp_path / "MNIST/raw").mkdir(parents=True)
    write_idx(tmp_path / "MNIST/raw", mnist())
    assert f"has no images; did you mean {tmp_path}/MNIST/raw?" in refused(tmp_path)
