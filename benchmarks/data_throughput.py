"""Times image decoders, then the loaders of this package.

    python benchmarks/data_throughput.py            (includes OpenCV and simplejpeg if they are installed)

The JPEGs are 500 x 375 pixels of 1/f noise at quality 90, about as large as ImageNet's. Each number is the best of
several rounds in which all candidates take turns, so that ratios hold on a noisy machine. About a minute on two cores.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import platform
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from resnet_jax.data import MemoryLoader
from resnet_jax.data.loading.streaming import StreamingLoader
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.images.crops import centre_crop, random_box, random_resized_crop
from resnet_jax.images.decoding import read_image

SIZE = 224


def photograph(rng: np.random.Generator, width: int = 500, height: int = 375) -> bytes:
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) + 1 / width
    noise = rng.standard_normal((3, height, width // 2 + 1)) + 1j * rng.standard_normal((3, height, width // 2 + 1))
    image = np.fft.irfft2(noise / frequency**1.2, (height, width))
    image = np.clip(128 + 50 * (image + image.mean(0)) / image.std(), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "jpeg", quality=90)
    return file.getvalue()


def optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def decoders() -> dict[str, Callable[[bytes, tuple[int, int, int, int]], Any]]:
    """Functions of (JPEG bytes, crop box) by name."""
    cv2, simplejpeg = optional("cv2"), optional("simplejpeg")

    def antialiased(image: Image.Image, box: tuple[int, int, int, int]) -> np.ndarray:
        left, top, width, height = box
        crop = image.crop((left, top, left + width, top + height))
        return np.asarray(crop.resize((SIZE, SIZE), Image.Resampling.BILINEAR))

    def cv2_crop(pixels: np.ndarray, box: tuple[int, int, int, int], how: int) -> np.ndarray:
        left, top, width, height = box
        return cv2.resize(pixels[top : top + height, left : left + width], (SIZE, SIZE), interpolation=how)

    candidates: dict[str, Callable[[bytes, tuple[int, int, int, int]], Any]] = {
        "decode: Pillow": lambda jpeg, box: np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")),
        "decode with all checks (read_image)": lambda jpeg, box: read_image(jpeg, "x", 3),
        "decode and crop: Pillow": lambda jpeg, box: antialiased(Image.open(io.BytesIO(jpeg)).convert("RGB"), box),
        "decode and crop: read_image, random_resized_crop": lambda jpeg, box: random_resized_crop(
            read_image(jpeg, "x", 3), size=SIZE, rng=np.random.default_rng(box[2])
        ),
        "decode, resize 256, crop: read_image, centre_crop": lambda jpeg, box: centre_crop(
            read_image(jpeg, "x", 3), resize=256, size=SIZE
        ),
    }
    if simplejpeg:
        candidates["decode: simplejpeg"] = lambda jpeg, box: simplejpeg.decode_jpeg(jpeg)
        candidates["decode and crop: simplejpeg, Pillow"] = lambda jpeg, box: antialiased(
            Image.fromarray(simplejpeg.decode_jpeg(jpeg)), box
        )
    if cv2:
        cv2.setNumThreads(0)
        candidates["decode: OpenCV"] = lambda jpeg, box: cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if cv2 and simplejpeg:
        for how in ("INTER_LINEAR", "INTER_AREA"):
            name = f"decode and crop: simplejpeg, OpenCV {how} (another filter)"
            candidates[name] = lambda jpeg, box, how=how: cv2_crop(simplejpeg.decode_jpeg(jpeg), box, getattr(cv2, how))
    return candidates


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64, help="different JPEGs: a divisor or a multiple of 32")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    count = options.images
    rng = np.random.default_rng(0)
    jpegs = [photograph(rng) for _ in range(count)]
    boxes = [random_box(500, 375, rng, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(count)]
    print(
        f"{platform.machine()}, {os.cpu_count()} processors; JPEGs of {np.mean([len(j) for j in jpegs]) / 1e3:.0f} kB"
    )

    best: dict[str, float] = {}
    candidates = decoders()
    for _ in range(options.rounds):
        for name, decode in candidates.items():
            start = time.perf_counter()
            for jpeg, box in zip(jpegs, boxes, strict=True):
                decode(jpeg, box)
            best[name] = min(best.get(name, np.inf), (time.perf_counter() - start) / count)
    for name, seconds in sorted(best.items()):
        print(f"{name:62} {1e3 * seconds:6.2f} ms per image")

    examples = jpegs * max(1, 32 // count)  # a batch has 32
    items = ArraySource(examples, np.zeros(len(examples), np.int32), ("one",), "noise")
    rates: dict[str, float] = {}
    for _ in range(options.rounds):
        for threads in (1, 2):
            batches = StreamingLoader(items, SIZE, 256, threads=threads).batches(0, batch_size=32)
            next(batches)
            start = time.perf_counter()
            for _ in range(10):
                next(batches)
            # Prefetching before the clock starts equals prefetching when it stops.
            name = f"StreamingLoader.batches, {threads} thread{'s' if threads > 1 else ''}"
            rates[name] = max(rates.get(name, 0), 320 / (time.perf_counter() - start))
        images = np.zeros((50_000, 32, 32, 3), np.uint8)
        memory = MemoryLoader(images, np.zeros(50_000, np.int32), ("one",)).batches(0, batch_size=128)
        next(memory)
        start = time.perf_counter()
        for _ in range(300):
            next(memory)
        name = "MemoryLoader.batches, 32 x 32 x 3"
        rates[name] = max(rates.get(name, 0), 300 * 128 / (time.perf_counter() - start))
    for name, rate in rates.items():
        print(f"{name:62} {rate:10,.0f} images/s")


if __name__ == "__main__":
    main()
