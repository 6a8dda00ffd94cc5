"""Times the input of training: decoders, and loaders on folders of JPEGs and on packed sets, beside what a core can do.

    python benchmarks/input.py
    python benchmarks/input.py --cases photographs --images 16

The images are 1/f noise at quality 90, whose files are as large as those of photographs: "imagenet", 500 x 375 pixels,
and "photographs", 4000 x 3000. They are written to a temporary folder, and packed as `resnet-jax prepare` does.
A loader serves random resized crops of 224 pixels with a thread for each core. Its limit is the number of cores times
the rate of one thread that reads, decodes and crops without a loader; with steps that take no processor, as those of an
accelerator (here pauses), the lower of this and the rate of the steps. Other decoders are timed where installed.

All candidates take turns; each rate is the median of its rounds, `share` the median of the rounds' ratios. Prints one
JSON line for each result. One to four minutes on two cores.
"""

from __future__ import annotations

import argparse
import importlib
import io
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image
from turns import machine

from resnet_jax.data import open_dataset, open_loader
from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.data.loading.threads import processors
from resnet_jax.data.packing import PackOptions, pack
from resnet_jax.images.crops import centre_crop
from resnet_jax.images.decoding import read_image

SIZE, RESIZE = 224, 256
SHAPES = {"imagenet": (500, 375), "photographs": (4000, 3000)}
STEP_RATES = (0.5, 1.0)  # of steps that take no processor: shares of the loader's limit
READ_AHEAD = 4  # batches that the threads have ready, at most: a loader is timed once they are served
SECONDS = 0.4  # of one measurement, about


def photograph(rng: np.random.Generator, width: int, height: int) -> bytes:
    """A JPEG of 1/f noise in colour."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) + 1 / width
    noise = rng.standard_normal((3, height, width // 2 + 1)) + 1j * rng.standard_normal((3, height, width // 2 + 1))
    image = np.fft.irfft2(noise / frequency**1.2, (height, width))
    image = np.clip(128 + 50 * (image + image.mean(0)) / image.std(), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "jpeg", quality=90)
    return file.getvalue()


def write_folder(root: Path, shape: tuple[int, int], count: int) -> list[bytes]:
    """Class folders of `count` images, of which two have contents of their own if they are large."""
    rng = np.random.default_rng(0)
    jpegs = [photograph(rng, *shape) for _ in range(min(count, 64 if shape[0] < 1000 else 2))]
    for number, jpeg in zip(range(count), itertools.cycle(jpegs), strict=False):
        file = root / "train" / f"class{number % 2}" / f"{number:05}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg)
    return jpegs


def decoders(jpegs: list[bytes]) -> dict[str, Callable[[], object]]:
    """Calls that decode the next of the JPEGs."""
    turn = itertools.cycle(jpegs)
    calls: dict[str, Callable[[], object]] = {
        "Pillow": lambda: Image.open(io.BytesIO(next(turn))).load(),
        "read_image": lambda: read_image(next(turn), "x", 3),
        "read_image, centre_crop": lambda: centre_crop(read_image(next(turn), "x", 3), resize=RESIZE, size=SIZE),
    }
    if (simplejpeg := optional("simplejpeg")) is not None:
        calls["simplejpeg"] = lambda: simplejpeg.decode_jpeg(next(turn))
    if (cv2 := optional("cv2")) is not None:
        cv2.setNumThreads(0)
        calls["OpenCV"] = lambda: cv2.imdecode(np.frombuffer(next(turn), np.uint8), cv2.IMREAD_COLOR)
    return calls


def optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


@dataclass(frozen=True, eq=False)
class Case:
    """A loader, and what one thread does without it."""

    labels: dict[str, Any]  # of the result
    loader: StreamingLoader
    batch_size: int

    def single(self) -> float:
        """Images per second of one thread."""
        rngs, count = np.random.default_rng(0).spawn(10_000), self.loader.num_examples
        return rate(lambda i: self.loader._example(i % count, rngs[i % len(rngs)]), 1)

    def served(self, batches: Iterator[Any], pause: float = 0) -> float:
        """Images per second of the loader, for steps that take this number of seconds, one at a time."""
        for _ in range(READ_AHEAD):
            next(batches)
        end = time.perf_counter() + pause  # of the step before

        def step(_: int) -> None:
            nonlocal end
            next(batches)  # while that step runs
            time.sleep(max(0.0, end - time.perf_counter()))
            end = time.perf_counter() + pause

        return rate(step, self.batch_size, 8)

    def measure(self, rounds: int) -> list[dict[str, Any]]:
        """Records of the loader alone and with steps."""
        batches = self.loader.batches(0, batch_size=self.batch_size)
        next(batches)
        time.sleep(1)
        singles = [self.single()]  # of before and after each round of loaders
        rates: dict[float | None, list[tuple[float, float]]] = {share: [] for share in (None, *STEP_RATES)}
        for _ in range(rounds):
            limit = processors() * singles[-1]
            now = {None: self.served(batches)}
            now |= {share: self.served(batches, self.batch_size / (share * limit)) for share in STEP_RATES}
            time.sleep(READ_AHEAD * self.batch_size / limit)  # a single thread is timed alone
            singles.append(self.single())
            for share, loaded in now.items():
                both = processors() * statistics.mean(singles[-2:])
                rates[share].append((loaded, loaded / (both if share is None else min(both, share * limit))))
        single = statistics.median(singles)
        records = []
        for share, pairs in rates.items():
            loaded, ratio = (statistics.median(values) for values in zip(*pairs, strict=True))
            steps: dict[str, Any] = {}
            if share is not None:
                steps = {"steps": share, "steps_images_per_second": round(share * processors() * single)}
            numbers = {"one_thread": round(single, 1), **steps, "loader": round(loaded, 1), "share": round(ratio, 3)}
            records.append(self.labels | numbers)
        return records


def rate(call: Callable[[int], object], images: int, least: int = 2) -> float:
    """Images per second of calls, each of this number of images, over about `SECONDS` and `least` calls."""
    start, calls = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < SECONDS or calls < least:
        call(calls)
        calls += 1
    return calls * images / seconds


def cases(name: str, folder: Path, batch_size: int) -> list[Case]:
    """Loaders of one set: its files, and the same packed."""
    files = open_dataset(path=str(folder / "files"))
    packed = pack(files, folder / "packed", PackOptions(RESIZE))
    size = "{} x {}".format(*SHAPES[name])
    result = []
    for data, decode in (("folder", "full"), ("folder", "scaled"), ("packed", None)):
        if decode == "scaled" and min(SHAPES[name]) < 2 * SIZE:
            continue
        dataset = files if data == "folder" else open_dataset(path=str(packed.folder))
        loader = open_loader(dataset, "train", image_size=SIZE, resize=RESIZE, decode=decode or "full")
        images = [loader.examples[i][0] for i in range(min(64, loader.num_examples))]
        stored = np.mean([image.nbytes if isinstance(image, np.ndarray) else len(image) for image in images])
        labels = {"benchmark": "input", "result": "loader", "images": name, "pixels": size, "data": data}
        labels |= {"decode": decode} if decode else {}
        result.append(Case(labels | {"bytes_per_image": round(float(stored))}, loader, batch_size))
    return result


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--images", type=int, default=128, help="files of a set; a quarter of them if they are large")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    about = machine() | {"pillow": PIL.__version__, "numpy": np.__version__}
    for name in options.cases:
        with tempfile.TemporaryDirectory() as folder:
            root, batch_size = Path(folder), 32 if name == "imagenet" else 8
            count = options.images if name == "imagenet" else options.images // 4
            jpegs = write_folder(root / "files", SHAPES[name], max(count, batch_size))
            calls = decoders(jpegs)
            rates: dict[str, list[float]] = {decoder: [] for decoder in calls}
            for _ in range(options.rounds):
                for decoder, call in calls.items():
                    rates[decoder].append(rate(lambda _, call=call: call(), 1))
            pixels = "{} x {}".format(*SHAPES[name])
            for decoder, values in rates.items():
                labels = {"benchmark": "input", "result": "decoder", "images": name, "pixels": pixels}
                print(json.dumps(labels | {"decoder": decoder, "one_thread": statistics.median(values)} | about))
            for case in cases(name, root, batch_size):
                for record in case.measure(options.rounds):
                    print(json.dumps(record | about), flush=True)


if __name__ == "__main__":
    main()
