"""Which files are images, and which are sounds."""

import pytest

from resnet_jax.formats.file_kinds import IMAGE_FILES, OTHERS, SOUND_FILES

HEADS = {b"fLaC\0\0": "sound", b"OggS\0": "sound", b"RIFF1234WAVEfmt ": "sound", b"RF64\xff\xff\xff\xffWAVE": "sound"}
HEADS |= {b"RIFF1234WEBPVP8 ": "image", b"\x89PNG\r\n\x1a\n": "image", b"RIFF1234AVI LIST": "", b"fLa": "", b"": ""}


@pytest.mark.parametrize("head", HEADS)
def test_first_bytes_decide_where_the_extension_says_nothing(tmp_path, head):
    for name in ("a", "a.dat", "a.txt", ".a"):
        (tmp_path / name).write_bytes(head)
        for kind in (IMAGE_FILES, SOUND_FILES):
            is_known = HEADS[head] == kind.noun and name in ("a", "a.dat")
            assert kind.matches(str(tmp_path / name)) == is_known


def test_extensions_decide_without_a_look():
    assert SOUND_FILES.matches("none/a.WAV") and IMAGE_FILES.matches("none/a.JPG")
    assert not SOUND_FILES.matches("none/a.png") and not IMAGE_FILES.matches("none/a.flac")
    assert not SOUND_FILES.matches("none/a") and not SOUND_FILES.matches("none/.a.wav")


def test_no_extension_is_of_two_kinds():
    assert not SOUND_FILES.extensions & (IMAGE_FILES.extensions | SOUND_FILES.others)
    assert not IMAGE_FILES.extensions & OTHERS and IMAGE_FILES.extensions <= SOUND_FILES.others
