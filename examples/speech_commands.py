"""The list of twelve commands in Speech Commands (Warden 2018): ten words, "unknown" and "silence".

    tar xzf speech_commands_v0.01.tar.gz -C speech_commands
    python examples/speech_commands.py speech_commands

Writes commands.csv into the folder, with the columns file_name, label and split, which configs/speech_commands_res8.py
reads. The splits are those of validation_list.txt and testing_list.txt. As in the task of the set's authors, other
words are "unknown" and pieces of the background noise are "silence", a tenth of the number of the ten words each. Which
words these are depends on a hash of their names. The pieces are written to _silence_/: of one second, of a random
volume, for training from the first 80 % of each noise, for validation and testing from the next and the last 10 %.
"""

import argparse
import csv
import hashlib
import math
from pathlib import Path

import numpy as np
import soundfile

from resnet_jax.formats.audio import open_audio
from resnet_jax.formats.audio.speech_commands import NOISE

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
SHARE = 0.1  # of unknown words and of silence, compared with the words
PARTS = {"train": (0.0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1.0)}  # of each noise
SILENCE = "_silence_"


def digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=8).digest()


def rows_of(root: Path, split: str, paths: list[Path]) -> list[tuple[str, str, str]]:
    """The rows of a split: its words, and unknown words."""
    names = [path.relative_to(root).as_posix() for path in paths]
    chosen = [name for name in names if name.partition("/")[0] in WORDS]
    others = sorted((name for name in names if name.partition("/")[0] not in WORDS), key=digest)
    unknown = others[: math.ceil(SHARE * len(chosen))]
    return [(name, name.partition("/")[0], split) for name in chosen] + [(name, "unknown", split) for name in unknown]


def write_silence(root: Path, split: str, count: int) -> list[tuple[str, str, str]]:
    """Writes pieces of the noises, and returns their rows."""
    noises = [soundfile.read(file, dtype="float32") for file in sorted((root / NOISE).glob("*.wav"))]
    if not noises:
        raise SystemExit(f"{root / NOISE} has no .wav files; expected the noises of Speech Commands")
    rng = np.random.default_rng(int.from_bytes(digest(split), "big"))
    (root / SILENCE).mkdir(exist_ok=True)
    rows = []
    for number in range(count):
        samples, rate = noises[number % len(noises)]
        first, last = (round(bound * len(samples)) for bound in PARTS[split])
        start = first + int(rng.integers(max(1, last - first - rate + 1)))
        name = f"{SILENCE}/{split}_{number:04}.wav"
        soundfile.write(root / name, rng.uniform() * samples[start : min(start + rate, last)], rate, subtype="PCM_16")
        rows.append((name, "silence", split))
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the unpacked set")
    root = parser.parse_args(arguments).folder
    dataset = open_audio(root)
    rows = []
    for split in PARTS:
        if split not in dataset.splits:
            raise SystemExit(f"{root} has no split {split!r}; expected validation_list.txt and testing_list.txt")
        some = rows_of(root, split, list(dataset.examples(split).paths))
        words = sum(label in WORDS for _, label, _ in some)
        some += write_silence(root, split, math.ceil(SHARE * words))
        print(f"{split}: {words:,} of {len(WORDS)} words, {len(some) - words:,} unknown or silence")
        rows += some
    with (root / "commands.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("file_name", "label", "split"), *rows])
    print(f"wrote {root / 'commands.csv'}: {len(rows):,} sounds")


if __name__ == "__main__":
    main()
