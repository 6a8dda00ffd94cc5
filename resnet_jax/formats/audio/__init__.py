"""Sounds in the user's files: folders and lists of WAV, FLAC and Ogg files, Speech Commands, LibriSpeech, Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnet_jax.data.sources.label_kinds import LabelKind
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.files import expanded
from resnet_jax.formats.audio import librispeech, speech_commands
from resnet_jax.formats.file_kinds import SOUND_FILES
from resnet_jax.formats.folders import open_folders
from resnet_jax.formats.label_files import DEFAULT_FILES, default_file
from resnet_jax.formats.labels import open_labels
from resnet_jax.formats.options import ReadOptions, label_columns, label_file
from resnet_jax.formats.parquet_sequences import open_parquet_sequences, parquet_files
from resnet_jax.formats.tables import SUFFIXES

__all__ = ["open_audio"]

KINDS = ("class", "multi-hot", "targets", "transcript")


def open_audio(
    path: str | Path,
    *,
    labels: str | Path | None = None,
    label_column: str | Sequence[str] | None = None,
    audio_column: str | None = None,
    label_kind: LabelKind = "class",
    classes: tuple[str, ...] | None = None,
    skip_unreadable: bool = False,
) -> StoredDataset:
    """The set of sounds at a path, by what is there. No sound is read.

    - a folder with a sub-folder of sounds per class, or such a folder each for train and for val or test
    - a folder of sounds and a file of their labels or transcripts (.csv, .tsv, .jsonl), or that file
    - Speech Commands: class folders, validation_list.txt and testing_list.txt
    - LibriSpeech: folders with *.trans.txt, for transcripts
    - a .parquet file, or a folder of them; see `open_parquet_sequences`

    Args:
      labels: the file of labels, from the current folder or from `path`; None: metadata.csv there, where there are no
        class folders, or for labels that folders cannot have.
      label_column, audio_column: of that file; None: the first there of the usual names.
      label_kind: "class", "multi-hot", "targets" or "transcript".
      classes: those that will be chosen; where they are the names of sub-folders, these are classes, not splits.
      skip_unreadable: go without files that a list names and that are missing, and missing shards.

    Raises:
      FileNotFoundError: nothing there.
      ValueError: nothing that can be understood, or sounds and labels that do not fit; the message names the file.
    """
    for name, value in {"path": path, "labels": labels}.items():
        if value is not None and not str(value):
            raise ValueError(f"{name}='': expected a path, as . for the current folder")
    if label_kind not in KINDS:
        raise ValueError(f"label_kind={label_kind!r}: sounds have labels of the kinds {', '.join(KINDS)}")
    path, columns = expanded(path), label_columns(label_column, label_kind)
    options = ReadOptions(label_kind, columns, audio_column, skip_unreadable, SOUND_FILES)
    if not path.exists():
        raise FileNotFoundError(f"no file or folder {str(path)!r}; expected {SOUND_FILES.expected}")
    if labels is not None:
        return open_labels(path if path.is_dir() else path.parent, label_file(path, labels), options)
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return open_labels(path.parent, path, options)
    if parquet_files(path):
        return open_parquet_sequences(
            path,
            "audio",
            label_kind=label_kind,
            label_column=columns,
            item_column=audio_column,
            skip_unreadable=skip_unreadable,
        )
    if not path.is_dir():
        hint = "; a sound alone has no label: predict takes it" if SOUND_FILES.matches(str(path)) else ""
        raise ValueError(f"{path} is no set of sounds; expected {SOUND_FILES.expected}{hint}")
    if label_kind == "class" and speech_commands.is_there(path):
        options.check_no_columns(path, "folders of classes", "; to read one: labels='FILE'")
        return speech_commands.open_lists(path, skip_missing=skip_unreadable)
    if label_kind == "transcript" and (transcripts := librispeech.transcript_files(path)):
        options.check_no_columns(path, f"transcripts in {transcripts[0].name}", "; to read one: labels='FILE'")
        return librispeech.open_transcripts(path, transcripts, skip_missing=skip_unreadable)
    usual = [path / name for name in DEFAULT_FILES if (path / name).is_file()]
    if label_kind != "class" and (file := default_file(usual)):
        return open_labels(path, file, options)  # its columns may have other names, which is reported
    return open_folders(path, classes, options)
