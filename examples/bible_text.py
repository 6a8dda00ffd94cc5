"""The King James Bible as plain text for language models, out of two Debian packages.

    python examples/bible_text.py bible                          downloads them with apt-get
    python examples/bible_text.py bible --packages bible-kjv_4.38_amd64.deb bible-kjv-text_4.38_all.deb

The text (1611, public domain outside the United Kingdom) is compressed in bible-kjv-text, and the program of bible-kjv
prints it. Both are unpacked into a temporary folder; nothing is installed. FOLDER gets train.txt and test.txt, a verse
a line without its number. The last tenth of the verses is for testing: from Romans 3 to the end of Revelation.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

PACKAGES = ("bible-kjv", "bible-kjv-text")
WHOLE = "Gen1:1-Rev22:21"
VERSE = re.compile(r" +\d+ (.+)")
TEST_SHARE = 10  # one verse of ten is for testing


def download(folder: Path) -> list[Path]:
    """The two packages, which apt-get downloads."""
    subprocess.run(["apt-get", "download", *PACKAGES], check=True, cwd=folder)
    return sorted(folder.glob("*.deb"))


def printed(packages: list[Path], folder: Path) -> str:
    """The whole text as the program prints it: chapters, and lines of verses with their numbers."""
    for package in packages:
        subprocess.run(["dpkg", "-x", str(package), str(folder)], check=True)
    command = [str(folder / "usr/bin/bible"), "-p", str(folder / "usr/lib"), "-l100000", WHOLE]
    result = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return result.stdout.decode("ascii")


def verses(text: str) -> list[str]:
    """The verses, without numbers and headings of chapters."""
    return [match[1].strip() for line in text.split("\n") if (match := VERSE.fullmatch(line.rstrip()))]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder to write to")
    parser.add_argument("--packages", type=Path, nargs="+", help="the two packages; without them, apt-get gets them")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        lines = verses(printed(options.packages or download(folder), folder))
    if not lines:
        raise SystemExit(f"no verses; expected the packages {' and '.join(PACKAGES)}")
    first_test = len(lines) - len(lines) // TEST_SHARE
    options.folder.mkdir(parents=True, exist_ok=True)
    for split, part in {"train": lines[:first_test], "test": lines[first_test:]}.items():
        text = "".join(f"{line}\n" for line in part)
        (options.folder / f"{split}.txt").write_text(text, "utf-8")
        print(f"{split}: {len(part):,} verses, {len(text):,} characters")


if __name__ == "__main__":
    main()
