"""Lists of spoken telephone prompts in five languages, out of Debian's packages: languages, and English transcripts.

    apt-get download asterisk-core-sounds-{en,es,fr,it,ru}-wav asterisk-core-sounds-en asterisk-prompt-it-menardi-wav \
        asterisk-prompt-fr-armelle asterisk-prompt-es-co
    for file in *.deb; do dpkg-deb -x $file packages; done
    python examples/voice_prompts.py packages prompts

Each core package has one speaker (CC BY-SA 3.0, the Russian one CC BY 3.0; the English and the Spanish speaker are the
same person). The last three have a second speaker of Italian, French and Spanish.

prompts/languages has the sounds and a metadata.csv with the columns file_name, label, speaker and split: "train";
"test_seen", prompts that are held out of the same speakers, a fifth by a hash of their names, so that a prompt is held
out in all languages; "test_unseen", all prompts of the second speakers. Two of these are stored as GSM 06.10, so every
sound is coded so and decoded again: otherwise a net hears the codec and not the speaker. Spelt letters are skipped.

prompts/english has the English sounds as they are, and a metadata.csv with file_name, text and split: a fifth, by a
hash of the sentence, is "test". Texts have the letters a to z, apostrophes and spaces; numbers are written in words.
Prompts of more than eight seconds are skipped.

Prompts without words (silence, tones, monkeys) are skipped in both, and so are repeated recordings of a speaker.
"""

import argparse
import csv
import gzip
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

RATE = 8000  # Hz
SILENT = 1e-3  # largest sample of a sound without words
LONGEST = 8.0  # seconds of a prompt with a transcript
SHARE = 0.2  # of the prompts that is held out
SPELT = ("letters/", "phonetic/")
WORDLESS = re.compile(r"silence/.*|beep|beeperr|.*-2tone|tt-monkeys")
NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
TRANSCRIPTS = "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"


class Speaker(NamedTuple):
    """One speaker's folder below usr/share/asterisk/sounds."""

    folder: str
    language: str
    is_second: bool  # of the language, for tests alone


SPEAKERS = (
    *(Speaker("en_US_f_Allison", "en", False), Speaker("es_MX_f_Allison", "es", False)),
    *(Speaker("fr_CA_f_June", "fr", False), Speaker("it_IT_m_Carlo", "it", False)),
    *(Speaker("ru_RU_f_IvrvoiceRU", "ru", False), Speaker("es", "es", True)),
    *(Speaker("fr", "fr", True), Speaker("it_IT_f_Menardi", "it", True)),
)


class Prompt(NamedTuple):
    """A recording: its name as the packages have it, as "digits/1", and samples float32 [l]."""

    name: str
    samples: np.ndarray


def prompts_of(packages: Path, speaker: Speaker, counts: Counter[str]) -> Iterator[Prompt]:
    """A speaker's prompts with words, each once; `counts` gets how many there are, and why others are skipped."""
    folder = packages / "usr/share/asterisk/sounds" / speaker.folder
    files = sorted(file for file in folder.rglob("*") if file.suffix in (".wav", ".gsm"))
    if not files:
        raise SystemExit(f"{folder} has no .wav or .gsm files; expected the package unpacked in {packages}")
    seen: set[bytes] = set()
    for file in files:
        name = file.relative_to(folder).with_suffix("").as_posix()
        raw = {"format": "RAW", "subtype": "GSM610", "channels": 1, "samplerate": RATE}
        samples, rate = soundfile.read(file, dtype="float32", **(raw if file.suffix == ".gsm" else {}))
        if rate != RATE or samples.ndim != 1:
            raise SystemExit(f"{file}: expected one channel at {RATE} Hz, got {samples.shape} at {rate} Hz")
        if WORDLESS.fullmatch(name) or not len(samples) or np.abs(samples).max() < SILENT:
            counts["without words"] += 1
        elif (content := samples.tobytes()) in seen:
            counts["repeated"] += 1
        else:
            seen.add(content)
            yield Prompt(name, samples)


def is_held_out(text: str) -> bool:
    """Whether a hash of the text is in its lowest fifth."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest() < int(SHARE * 2**64).to_bytes(8, "big")


def coded(samples: np.ndarray) -> np.ndarray:
    """The samples as GSM 06.10 leaves them: float32 [l]."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE, format="WAV", subtype="GSM610")
    buffer.seek(0)
    return soundfile.read(buffer, dtype="float32")[0][: len(samples)]  # without what fills the last frames


def write_languages(packages: Path, folder: Path) -> None:
    rows = []
    for speaker in SPEAKERS:
        counts: Counter[str] = Counter()
        for name, samples in prompts_of(packages, speaker, counts):
            if name.startswith(SPELT):
                counts["spelt"] += 1
                continue
            split = "test_unseen" if speaker.is_second else "test_seen" if is_held_out(name) else "train"
            counts[split] += 1
            file = f"{speaker.folder}/{name}.wav"
            write_sound(folder / file, coded(samples))
            rows.append((file, speaker.language, speaker.folder, split))
        print(f"{speaker.language} {speaker.folder}: {in_words(counts)}")
    write_table(folder / "metadata.csv", ("file_name", "label", "speaker", "split"), rows)


def write_english(packages: Path, folder: Path) -> None:
    texts = dict(transcripts(packages / TRANSCRIPTS))
    counts: Counter[str] = Counter()
    rows = []
    for name, samples in prompts_of(packages, SPEAKERS[0], counts):
        if (text := texts.get(name)) is None:
            counts["without a transcript"] += 1
        elif (plain := letters_of(text)) is None:
            counts["with signs"] += 1
        elif len(samples) > LONGEST * RATE:
            counts["longer than eight seconds"] += 1
        else:
            split = "test" if is_held_out(plain) else "train"
            counts[split] += 1
            write_sound(folder / f"{name}.wav", samples)
            rows.append((f"{name}.wav", plain, split))
    print(f"transcripts: {in_words(counts)}")
    write_table(folder / "metadata.csv", ("file_name", "text", "split"), rows)


def transcripts(file: Path) -> Iterator[tuple[str, str]]:
    """Names and texts of the lines "name: text"."""
    if not file.is_file():
        raise SystemExit(f"no file {file}; expected asterisk-core-sounds-en, which has the transcripts")
    for line in gzip.decompress(file.read_bytes()).decode().splitlines():
        if not line.startswith(";") and ": " in line:
            name, _, text = line.partition(": ")
            yield name.strip(), text.strip()


def letters_of(text: str) -> str | None:
    """The text in lower case, of letters, apostrophes and single spaces; None: it has other signs, or remarks."""
    text = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    text = re.sub(r"\b(\d+)\b", lambda match: number_in_words(int(match[1])), text)
    plain = " ".join(re.sub(r"[-.,;:!?\"]", " ", text).split())
    return plain if re.fullmatch(r"[a-z' ]+", plain) else None


def number_in_words(number: int) -> str:
    """A number up to twenty in words, others as digits."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def write_sound(file: Path, samples: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, samples, RATE, subtype="PCM_16")


def write_table(file: Path, names: Iterable[str], rows: list[tuple[str, ...]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([tuple(names), *rows])
    print(f"wrote {file}: {len(rows):,} sounds")


def in_words(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items()))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", type=Path, help="folder into which the packages were unpacked")
    parser.add_argument("folder", type=Path, help="folder to write to")
    options = parser.parse_args(arguments)
    write_languages(options.packages, options.folder / "languages")
    write_english(options.packages, options.folder / "english")


if __name__ == "__main__":
    main()
