"""Files of labels in a folder: which are read, and how others relate to the folders."""

import pytest
from pictures import open_all, pictures, refused, write

from resnet_jax.formats import open_path


def test_another_file_is_read_when_it_is_named_and_its_columns_too(tmp_path, monkeypatch):
    pictures(tmp_path / "D", "train/a.png", "train/b.png", "test/x.png")
    write(tmp_path / "D" / "train.csv", "id,breed,weight\na,pug,3\nb,collie,9\n")
    write(tmp_path / "D" / "sample_submission.csv", "id,label\nx,0\n")
    message = refused(tmp_path / "D")
    assert "files of labels that are not read: sample_submission.csv; to read one: labels='sample_subm" in message
    message = refused(tmp_path / "D", labels="train.csv")
    assert (
        "train.csv has the columns id, breed, weight, none of them known for labels; name it: label_column='NAME'"
        in message
    )
    assert "has no column 'bread'; did you mean breed" in refused(
        tmp_path / "D", labels="train.csv", label_column="bread"
    )
    monkeypatch.chdir(tmp_path)
    for labels in ("train.csv", "D/train.csv", tmp_path / "D" / "train.csv"):
        data = open_all("D", labels=labels, label_column="breed")
        assert data.splits == {"train": 2} and data.examples("train").classes == ("collie", "pug")
    assert data.notes == (
        "labels of train.csv: images from column 'id', labels from 'breed'",
        "1 image has no row in train.csv and is not used: D/test/x.png ...",
        "1 file is not read (1 .csv)",
    )
    with pytest.raises(FileNotFoundError, match="no file 'gone.csv' of labels, neither here nor in D"):
        open_path("D", labels="gone.csv")


def test_folders_that_disagree_with_a_file_of_labels_are_not_taken_for_classes(tmp_path):
    """As photographs that were packed in two parts."""
    pictures(tmp_path, "part1/a.png", "part1/b.png", "part2/c.png")
    write(tmp_path / "ham.csv", "image_id,category\na,mole\nb,wart\nc,mole\n")
    message = refused(tmp_path)
    assert "has the folders part1, part2, and other labels in ham.csv; expected labels='ham.csv' to read" in message
    assert open_all(tmp_path, labels="ham.csv").examples("train").classes == ("mole", "wart")
    assert open_all(tmp_path, classes=("part1", "part2")).examples("train").classes == ("part1", "part2")
    write(tmp_path / "ham.csv", "image_id,category\na,0\nb,0\nc,1\n")  # the same parts under other names
    assert open_all(tmp_path).examples("train").classes == ("part1", "part2")
    write(tmp_path / "ham.csv", "name,label\npart1,good\npart2,bad\n")  # of something else
    assert open_all(tmp_path).examples("train").classes == ("part1", "part2")
    write(tmp_path / "ham.csv", "image,x,y,w,h\na,1,1,5,5\na,2,3,5,5\nc,1,3,5,5\n")  # boxes
    assert "labels" not in str(open_all(tmp_path).notes)
    for rows, relation in (("a,pug\nb,terrier\nc,tabby", "finer"), ("a,pet\nb,pet\nc,pet", "coarser")):
        write(tmp_path / "ham.csv", f"image_id,category\n{rows}\n")
        data = open_all(tmp_path)
        assert data.examples("train").classes == ("part1", "part2")
        assert f"ham.csv has {relation} labels than the folders; not read: labels='ham.csv' reads it" in data.notes
