"""Folders of LibriSpeech."""

import pytest
from sounds import sounds

from resnet_jax.formats.audio import open_audio


def chapter(root, place, *texts, missing=()):
    """A chapter SUBSET/SPEAKER/CHAPTER with a sound for each text."""
    folder, name = root / place, "-".join(place.split("/")[-2:])
    sounds(folder, *(f"{name}-{i:04}.flac" for i in range(len(texts)) if i not in missing))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.trans.txt").write_text("".join(f"{name}-{i:04} {text}\n" for i, text in enumerate(texts)))


def opened(root, **options):
    data = open_audio(root, label_kind="transcript", **options)
    return data, {split: data.examples(split).labels.tolist() for split in data.splits}


def test_subsets_are_splits(tmp_path):
    chapter(tmp_path, "train-clean-100/1/2", "NO ONE", "IT'S")
    chapter(tmp_path, "train-other-500/3/4", "TEN")
    chapter(tmp_path, "dev-clean/5/6", "TOE")
    data, texts = opened(tmp_path)
    assert texts == {"train": ["NO ONE", "IT'S", "TEN"], "validation": ["TOE"]}
    assert data.examples("validation").classes == ("<blank>", *" 'EINOST")
    assert "split 'train': train-clean-100, train-other-500" in data.notes
    chapter(tmp_path, "dev-other/5/7", "ONE")
    assert set(opened(tmp_path)[1]) == {"train", "dev-clean", "dev-other"}


def test_a_subset_alone_is_for_training(tmp_path):
    chapter(tmp_path, "1/2", "NO", "ON")
    chapter(tmp_path, "1/3", "OO")
    assert opened(tmp_path)[1] == {"train": ["NO", "ON", "OO"]}


def test_missing_sounds_are_named_or_skipped(tmp_path):
    chapter(tmp_path, "1/2", "NO", "ON", missing=[1])
    with pytest.raises(ValueError, match=r"1-2.trans.txt, line 2: 1 of 2 sounds of 'train' are missing, this"):
        opened(tmp_path)
    data, texts = opened(tmp_path, skip_unreadable=True)
    assert texts == {"train": ["NO"]} and data.notes == ("1 of 2 sounds of 'train' are missing",)


@pytest.mark.parametrize(
    "chapters, message",
    [
        ({"1/2": ["NO", ""]}, r"1-2.trans.txt, line 2: expected an identifier and a transcript, got '1-2-0001 '"),
        ({"test-clean/1/2": ["NO"]}, "has test-clean, but no training set, as train-clean-100"),
        ({"train-a/1/2": ["NO"], "more/1/2": ["NO"]}, "has more beside train-a; expected folders of subsets alone"),
        ({"train-a/1/2": ["NO"], "dev/1/3": ["NÖ"]}, "1-3.trans.txt, line 1: the transcript has 'Ö', which no transc"),
    ],
)
def test_transcripts_that_do_not_fit_are_refused(tmp_path, chapters, message):
    for place, texts in chapters.items():
        chapter(tmp_path, place, *texts)
    with pytest.raises(ValueError, match=message):
        opened(tmp_path)


def test_a_sound_with_two_transcripts_is_refused(tmp_path):
    chapter(tmp_path, "1/2", "NO")
    (tmp_path / "1/2/1-2.trans.txt").write_text("1-2-0000 NO\n1-2-0000 ON\n")
    with pytest.raises(ValueError, match="line 2: 1-2-0000 has a transcript already"):
        opened(tmp_path)
