"""Movie-review snippets with ratings of people, as a set of two classes, out of a Python package.

    python examples/movie_snippets.py snippets                     downloads the source distribution with pip
    python examples/movie_snippets.py snippets --sdist vaderSentiment-3.3.2.tar.gz

The source distribution of vaderSentiment 3.3.2 (MIT) holds the 10,605 snippets of Hutto and Gilbert 2014, "VADER: A
Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", from reviews that Pang and Lee 2004
collected, each with the mean of at least 20 ratings from -4 to 4. Nothing is installed.

A snippet is positive above 0 and negative below; those at exactly 0 are dropped and counted. The data does not say
which film a snippet is about, so the split is by the snippet: a fifth is for testing, chosen by a hash of its letters
and digits, so that copies are on one side. FOLDER gets train.csv and test.csv with the columns text and label.
"""

import argparse
import csv
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

PACKAGE = "vaderSentiment==3.3.2"
INNER = "additional_resources/hutto_ICWSM_2014.tar.gz"
SNIPPETS = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
TEST_SHARE = 5  # one text of five is for testing


def download(folder: Path) -> Path:
    """The source distribution, which pip downloads."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", PACKAGE, "-d", str(folder)]
    subprocess.run(command, check=True)
    return next(folder.glob("*.tar.gz"))


def read(sdist: Path) -> list[tuple[float, str]]:
    """Mean rating and text of each snippet."""
    with tarfile.open(sdist) as outer:
        names = [name for name in outer.getnames() if name.endswith(INNER)]
        if not names:
            raise SystemExit(f"{sdist}: no {INNER}; expected the source distribution of {PACKAGE}")
        with tarfile.open(fileobj=io.BytesIO(outer.extractfile(names[0]).read())) as inner:
            contents = inner.extractfile(SNIPPETS).read().decode("utf-8")
    rows = [line.split("\t", 2) for line in contents.splitlines() if line.strip()]
    return [(float(rating), text.strip()) for _, rating, text in rows]


def is_for_testing(text: str) -> bool:
    """Whether a snippet is for testing; equal for texts with the same letters and digits."""
    letters = "".join(filter(str.isalnum, text.casefold()))
    digest = hashlib.blake2b(letters.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % TEST_SHARE == 0


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder to write to")
    parser.add_argument("--sdist", type=Path, help="the source distribution; without it, pip downloads it")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as downloads:
        snippets = read(options.sdist or download(Path(downloads)))
    rows: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    for rating, text in snippets:
        if rating:
            rows["test" if is_for_testing(text) else "train"].append((text, "positive" if rating > 0 else "negative"))
    options.folder.mkdir(parents=True, exist_ok=True)
    for split, examples in rows.items():
        with (options.folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *examples])
        counts = Counter(label for _, label in examples)
        print(f"{split}: {len(examples):,} snippets, {counts['positive']:,} positive, {counts['negative']:,} negative")
    print(f"{sum(not rating for rating, _ in snippets):,} of {len(snippets):,} have the mean 0 and are dropped")


if __name__ == "__main__":
    main()
