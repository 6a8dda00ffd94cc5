"""The lists of Speech Commands."""

import pytest
from sounds import sounds

from resnet_jax.formats.audio import open_audio

NAMES = ("yes/1.wav", "yes/2.wav", "yes/3.wav", "no/1.wav", "no/2.wav")


def commands(
    root, validation="yes/2.wav\nno/1.wav\n", test="yes/3.wav\r\n", names=(*NAMES, "_background_noise_/a.wav")
):
    sounds(root, *names)
    (root / "validation_list.txt").write_text(validation)
    (root / "testing_list.txt").write_text(test)
    return root


def names(data, split):
    return [path.relative_to(data.name).as_posix() for path in data.examples(split).paths]


def test_the_lists_make_the_splits(tmp_path):
    data = open_audio(commands(tmp_path))
    assert data.splits == {"train": 2, "validation": 2, "test": 1}
    assert data.examples("train").classes == ("no", "yes")
    assert names(data, "train") == ["no/2.wav", "yes/1.wav"] and names(data, "test") == ["yes/3.wav"]
    assert names(data, "validation") == ["yes/2.wav", "no/1.wav"]
    assert data.examples("validation").labels.tolist() == [1, 0]
    assert "_background_noise_ is no class; data.audio.noise=" in data.notes[-1]


@pytest.mark.parametrize(
    "lists, message",
    [
        ({"test": "yes/2.wav\n"}, "validation_list.txt and testing_list.txt both have yes/2.wav"),
        ({"test": "yes/3.wav\nyes/3.wav"}, "testing_list.txt has yes/3.wav twice"),
        ({"test": "\n"}, "testing_list.txt is empty; expected a sound a line"),
        ({"test": "yes/1.wav\nyes/3.wav\nno/2.wav"}, "name all sounds; none is left to train on"),
        ({"test": "yes/3.wav\nup/3.wav"}, "testing_list.txt: 1 of its sounds are missing, the first up/3.wav; go"),
    ],
)
def test_lists_that_do_not_fit_are_refused(tmp_path, lists, message):
    with pytest.raises(ValueError) as caught:
        open_audio(commands(tmp_path, **lists)).examples("test")
    assert message in str(caught.value)


def test_missing_sounds_may_be_skipped(tmp_path):
    data = open_audio(commands(tmp_path, test="yes/3.wav\nup/3.wav"), skip_unreadable=True)
    assert names(data, "test") == ["yes/3.wav"] and "1 of 2 sounds of testing_list.txt are missing" in data.notes


def test_a_list_that_is_no_text_is_refused(tmp_path):
    (commands(tmp_path) / "testing_list.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="testing_list.txt is not UTF-8 text"):
        open_audio(tmp_path)
