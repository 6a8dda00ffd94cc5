"""Labels in a file beside the images."""

import json

import pytest
from pictures import listed, open_all, picture, pictures, refused, write

CAT_DOG = [("images/a.png", 0), ("images/b.png", 1), ("images/c.png", 0)]


ROWS = [("a.png", "cat"), ("b.png", "dog"), ("c.png", "cat")]


def lines(*rows, separator=","):
    return "".join(separator.join(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    "name, text",
    [
        ("metadata.csv", lines(("file_name", "label"), *((f"images/{name}", label) for name, label in ROWS))),
        ("metadata.csv", "\ufeff" + lines(("label", "id"), *((label, name[0]) for name, label in reversed(ROWS)))),
        ("metadata.csv", lines(("Image Path", "n", "Category"), *((f"./images/{n}", "7", c) for n, c in ROWS))),
        ("metadata.tsv", lines(("filename", "class"), *ROWS, separator="\t")),
        ("metadata.csv", lines(("path", "label"), *((f"images\\{name}", c) for name, c in ROWS), separator=";")),
        ("metadata.csv", '"image","label"\r\n"a.png"," cat "\r\n\r\n"b.png","dog"\r\n"c.png","cat"\r\n'),
        ("metadata.jsonl", "\n".join(json.dumps({"file_name": n, "label": c, "more": [1]}) for n, c in ROWS)),
        ("images/metadata.csv", lines(("file_name", "label"), *ROWS)),
    ],
)
def test_a_file_of_labels_beside_the_images_is_read(tmp_path, name, text):
    pictures(tmp_path / "D", "images/a.png", "images/b.png", "images/c.png")
    file = write(tmp_path / "D" / name, text)
    options = {} if file.parent.name == "D" else {"labels": name}
    train = open_all(tmp_path / "D", **options).examples("train")
    assert train.classes == ("cat", "dog") and listed(train, tmp_path / "D") == CAT_DOG
    assert listed(open_all(file).examples("train"), tmp_path / "D") == CAT_DOG  # the file alone says as much


def test_splits_of_a_column_and_of_the_images_folders(tmp_path):
    names = [f"{split}/{name}.png" for split in ("training", "test_set") for name in "ab"]
    pictures(tmp_path, *names)
    write(tmp_path / "metadata.csv", "file_name,label\n" + "".join(f"{name},{name[-5]}\n" for name in names))
    data = open_all(tmp_path)
    assert data.splits == {"train": 2, "test": 2}
    assert listed(data.examples("test"), tmp_path) == [("test_set/a.png", 0), ("test_set/b.png", 1)]
    rows = [f"{names[i]},{i % 2},{split}\n" for i, split in enumerate("Train Train dev val".split())]
    write(tmp_path / "metadata.csv", "file_name,label,split\n" + "".join(rows))
    assert open_all(tmp_path).splits == {"train": 2, "validation": 1, "val": 1}
    write(tmp_path / "metadata.csv", "file_name,label,split\n" + "".join(rows).replace("Train", "fold1"))
    assert "column 'split' has fold1, val, validation; expected train" in refused(tmp_path)
    write(tmp_path / "metadata.csv", f"file_name,label\n{names[0]},0\nx/y.png,1\n")
    assert f"{names[0]} lies in the folder of a split, x/y.png of line 3 does not; expected all" in refused(tmp_path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is empty; expected a first line with the names of columns"),
        ("file_name,label\n", "has no rows"),
        (
            "file_name,label\na.png,cat\na.png,dog\n",
            "a.png has 'dog' in line 3 and 'cat' in line 2; expected one label",
        ),
        ("file_name,label\na.png,cat\nb.png,\n", "line 3: b.png has no label"),
        ("file_name,label\na.png,cat\n,dog\n", "line 3: nothing in column 'file_name'"),
        ("file_name,label\na.png,cat\nb.png,dog,big\n", "line 3: 3 values for 2 columns"),
        ("file_name,label\na.png,0.5\nb.png,1.25\n", "column 'label' has 0.5; expected names or whole numbers"),
        ("file_name,label\na.png,Cat\nb.png,cat\n", "has classes whose names differ by case alone: Cat, cat"),
        ("file_name,label\na.png,cat\nx.png,dog\ny.png,dog\n", "2 of 3 images of 'train' are missing, the first x.png"),
        ("file_name,label\nx.png,cat\n", "none of its 1 images is there, as x.png of line 2"),
        ('file_name,label\na.png,"cat\n', "cannot be read: unexpected end of data"),
        (
            "a.png,cat\nb.png,dog\n",
            "has the columns a.png, cat, none of them known for images; name it: image_column='NAME', "
            "or add a first line of column names",
        ),
        ("text,label\nfine,1\n", "name it: image_column='NAME'; to read texts: kind='text'"),
    ],
)
def test_files_that_cannot_be_used_give_one_line(tmp_path, text, message):
    pictures(tmp_path, "a.png", "b.png")
    file = write(tmp_path / "labels.csv", text)
    assert message in refused(tmp_path, labels=file) and str(file) in refused(tmp_path, labels=file)


def test_missing_images_may_be_skipped_and_repeated_rows_count_once(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    write(tmp_path / "metadata.csv", "file_name,label\na.png,1.0\na.png,1.0\nb.png,10\nx.png,2\n")
    data = open_all(tmp_path, skip_unreadable=True)
    assert data.splits == {"train": 2} and data.examples("train").classes == ("1", "2", "10")
    assert "1 of 3 images of 'train' in metadata.csv are missing" in data.notes
    assert "metadata.csv has 1 row of an image that it has already" in data.notes


def test_names_in_two_unicode_forms_are_one(tmp_path):
    picture(tmp_path / "cafe\u0301.png")
    picture(tmp_path / "b.png")
    write(tmp_path / "metadata.csv", "file_name,label\ncaf\u00e9.png,th\u00e9\nb.png,the\u0301\n")
    assert open_all(tmp_path).examples("train").classes == ("th\u00e9",)


@pytest.mark.parametrize(
    "text, message",
    [
        ("file,label,label\na.png,cat,dog\nb.png,dog,cat\n", "has several columns 'label'; expected one of a name"),
        ("file,label\na.png,-1\nb.png,1\n", "column 'label' has -1, which means no label, beside others; expected"),
    ],
)
def test_labels_that_may_mean_two_things_are_refused(tmp_path, text, message):
    pictures(tmp_path, "a.png", "b.png")
    write(tmp_path / "labels.csv", text)
    assert message in refused(tmp_path, labels="labels.csv")
