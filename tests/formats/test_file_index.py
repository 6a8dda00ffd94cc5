"""Image files by the names that a file of labels has for them."""

from pictures import open_all, pictures, refused, write


def test_an_image_that_a_name_does_not_tell_from_another_is_an_error(tmp_path):
    pictures(tmp_path, "x/a.png", "y/a.png", "../outside.png")
    write(tmp_path / "metadata.csv", "file_name,label\na.png,cat\n")
    assert "metadata.csv, line 2: 'a.png' may be " in refused(tmp_path, labels="metadata.csv")
    write(tmp_path / "metadata.csv", "file_name,label\nx/a.png,cat\n../outside.png,dog\n")
    assert len(open_all(tmp_path, labels="metadata.csv").examples("train")) == 2


def lines(*rows, separator=","):
    return "".join(separator.join(row) + "\n" for row in rows)


def test_one_image_under_several_spellings_is_one(tmp_path, monkeypatch):
    pictures(tmp_path / "D", "a.png", "b.png")
    pictures(tmp_path / "beside", "c.png")
    (tmp_path / "link").symlink_to(tmp_path / "D")
    spelt = ["a.png", str(tmp_path / "D" / "a.png"), "../D/a.png", "../link/a.png"]
    outside = ["../beside/c.png", str(tmp_path / "beside" / "c.png")]
    rows = [(name, "cat") for name in [*spelt, *outside]] + [("b.png", "dog")]
    file = write(tmp_path / "D" / "metadata.csv", lines(("file_name", "label"), *rows))
    for path in ("D", tmp_path / "D"):
        monkeypatch.chdir(tmp_path)
        assert open_all(path).splits == {"train": 3}
    for one, other in ((spelt[0], spelt[1]), (spelt[2], spelt[3]), outside):
        write(file, lines(("file_name", "label"), (one, "cat"), (other, "dog")))
        assert "expected one label an image" in refused(tmp_path / "D")
