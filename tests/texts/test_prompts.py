"""Labels and templates for CLIP."""

import hashlib

import pytest

from resnet_jax.texts.clip.prompts import check_names, check_templates, read_names, read_templates


def test_the_published_prompts_and_names_of_imagenet():
    templates, names = read_templates("imagenet"), read_names("imagenet")
    assert (
        len(set(templates)) == 80 and templates[0] == "a bad photo of a {}." and templates[-1] == "a tattoo of the {}."
    )
    assert len(names) == 1000 and names[:2] == ("tench", "goldfish") and names[-1] == "toilet paper"


def test_the_published_prompts_and_names_are_as_they_were():
    """Digests of the lists that open_clip 3.3.0 has; update them only with the published lists."""
    lists = ("\n".join(read("imagenet")).encode() for read in (read_templates, read_names))
    assert [hashlib.sha256(one).hexdigest()[:16] for one in lists] == ["4f976686fb651bb5", "571ae1c583b4be7d"]


@pytest.mark.parity
def test_the_prompts_and_names_of_imagenet_are_open_clips():
    open_clip = pytest.importorskip("open_clip")
    assert read_templates("imagenet") == tuple(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES)
    assert read_names("imagenet") == tuple(open_clip.IMAGENET_CLASSNAMES)


def test_lines_of_a_file_are_labels(tmp_path):
    file = tmp_path / "labels.txt"
    file.write_bytes("\ufeffa cat\r\n\n  Käfer \n".encode())
    assert read_names(str(file)) == ("a cat", "Käfer")
    file.write_text("{} here\n a {}.")
    assert read_templates(str(file)) == ("{} here", "a {}.")


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_names, b"cat\n", "expected at least two labels, got 1"),
        (read_names, b"cat\ndog\ncat", "expected different labels, got 'cat' twice"),
        (read_names, b"\xff\xfe\x00", "--labels-file: expected a text file in UTF-8"),
        (read_names, "cat\ndog".encode("utf-16-le"), "--labels-file: expected a text file in UTF-8"),
        (read_templates, b"", "expected templates, got none"),
        (read_templates, b"a photo\n", "such as 'a photo of a {}.', got 'a photo'"),
        (read_templates, b"{} and {}\n", "for the label once"),
        (read_templates, None, "--templates: no file .*; expected a text file, or imagenet"),
    ],
)
def test_mistakes_in_files_are_named(tmp_path, read, content, message):
    file = tmp_path / "lines.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read(str(file))


def test_a_name_that_is_nearly_imagenet_gets_a_suggestion():
    with pytest.raises(FileNotFoundError, match="no file 'ImageNet'; did you mean imagenet?"):
        read_names("ImageNet")


def test_empty_labels_and_templates_are_refused():
    with pytest.raises(ValueError, match="expected a text in each label, got an empty one"):
        check_names(["cat", " "])
    with pytest.raises(ValueError, match="expected templates, got none"):
        check_templates([])
