"""Descriptions of Debian's packages as a set of texts, with the section of each package as its class.

    python examples/package_descriptions.py packages            of what apt has on this machine
    python examples/package_descriptions.py packages --lists LISTS

`apt-get update` writes the index of all packages; the long descriptions are in files Translation-en, which it fetches
unless Acquire::Languages is none. Where they are missing, there are short descriptions alone.

Classes are the sections with at least --least packages. Packages of one source (libfoo1, libfoo-dev, libfoo-doc) have
similar descriptions, so the split is by the source: a fifth of them, by a hash of its name, is for testing. A text for
testing that training has too, from another source, is dropped and counted. FOLDER gets train.csv and test.csv with the
columns text, label, package and source.
"""

import argparse
import csv
import hashlib
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LISTS = Path("/var/lib/apt/lists")
HELPER = "/usr/lib/apt/apt-helper"  # reads compressed indices
TEST_SHARE = 5  # one source of five is for testing


class Package(NamedTuple):
    """One package of the index."""

    name: str
    source: str
    section: str
    text: str


def contents(file: Path) -> str:
    """The text of an index, which may be compressed."""
    if file.suffix in ("", ".txt"):
        return file.read_text("utf-8")
    return subprocess.run([HELPER, "cat-file", str(file)], check=True, capture_output=True).stdout.decode("utf-8")


def paragraphs(text: str) -> Iterator[dict[str, str]]:
    """The fields of each paragraph by name; lines that go on have their line ends."""
    for paragraph in text.split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.split("\n"):
            if line.startswith((" ", "\t")):
                fields[name] += f"\n{line}"
            elif ":" in line:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if fields:
            yield fields


def plain(description: str) -> str:
    """A description without the marks of its layout."""
    first, *lines = description.split("\n")
    lines = ["" if line.strip() == "." else line.strip() for line in lines]
    return re.sub(r"\n{2,}", "\n", "\n".join([first.strip(), *lines])).strip()


def read(lists: Path) -> list[Package]:
    """All packages of the component main, each once."""
    files = sorted(file for file in lists.iterdir() if file.is_file() and "_main_" in file.name)
    long = {
        fields["Description-md5"]: fields["Description-en"]
        for file in files
        if "Translation-en" in file.name
        for fields in paragraphs(contents(file))
        if fields.keys() >= {"Description-md5", "Description-en"}
    }
    packages: dict[str, Package] = {}
    for file in files:
        if "_Packages" not in file.name:
            continue
        for fields in paragraphs(contents(file)):
            name = fields.get("Package", "")
            source = fields.get("Source", name).partition(" ")[0]
            text = plain(long.get(fields.get("Description-md5", ""), fields.get("Description", "")))
            if name and text and name not in packages:
                packages[name] = Package(name, source, fields.get("Section", ""), text)
    return list(packages.values())


def is_for_testing(source: str) -> bool:
    digest = hashlib.blake2b(source.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % TEST_SHARE == 0


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder to write to")
    parser.add_argument("--lists", type=Path, default=LISTS, help="folder with the indices of apt")
    parser.add_argument("--least", type=int, default=600, help="fewest packages of a section that is a class")
    options = parser.parse_args(arguments)
    packages = read(options.lists)
    sizes = Counter(package.section for package in packages)
    chosen = [package for package in packages if sizes[package.section] >= options.least and package.section]
    if not chosen:
        raise SystemExit(f"{options.lists}: no section with {options.least} packages; apt-get update fetches the index")
    splits: dict[str, list[Package]] = {"train": [], "test": []}
    for package in chosen:
        splits["test" if is_for_testing(package.source) else "train"].append(package)
    trained = {package.text for package in splits["train"]}
    tested = [package for package in splits["test"] if package.text not in trained]
    dropped = len(splits["test"]) - len(tested)
    splits["test"] = tested
    options.folder.mkdir(parents=True, exist_ok=True)
    for split, examples in splits.items():
        with (options.folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = [(one.text, one.section, one.name, one.source) for one in examples]
            csv.writer(file).writerows([("text", "label", "package", "source"), *rows])
        print(f"{split}: {len(examples):,} descriptions of {len({one.source for one in examples}):,} sources")
    sections = {one.section for one in chosen}
    print(f"{len(sections)} sections of at least {options.least} packages; {dropped:,} copies dropped from test")


if __name__ == "__main__":
    main()
