"""Downloads files of weights into a cache: resumed after a cut, verified, and under their names only when whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from resnet_jax.errors import DownloadFailed, UnreadableWeights, one_line, public_address
from resnet_jax.files import check_inside, move_into_place, replace_file
from resnet_jax.weights.sources.cache import locked
from resnet_jax.weights.sources.progress import Progress
from resnet_jax.weights.sources.web import check_address, first_byte, open_address, validator

CHUNK = 1 << 20
LEAST, PERIOD = 1000, 60.0  # bytes that a server has to send in so many seconds


def download(url: str, folder: Path, *, checksum: str | None = None, is_offline: bool = False) -> Path:
    """The file at an address, from `folder` if it is there already; otherwise it is downloaded to it.

    Processes that download the same file wait for the first. An interrupted download leaves NAME.part, which the next
    one resumes if the server can do so and the file there is the same.

    Args:
      checksum: the first hexadecimal digits of the file's SHA-256; None: unknown.
      is_offline: read the cache alone.

    Raises:
      DownloadFailed: the file cannot be downloaded or written.
      UnreadableWeights: a file with another checksum, which is removed.
      ValueError: an address of another kind; a link out of the folder.
    """
    check_address(url)
    file = folder / file_name(url)
    if file.exists():
        _verify(file, file.name, checksum)
        return file
    if is_offline:
        raise DownloadFailed(f"{file.name} is not in {str(folder)!r}, and nothing is downloaded offline")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(file):
            if not file.exists():  # the process that had the lock before may have downloaded it
                part = _fetch(url, file)
                _verify(part, file.name, checksum)
                move_into_place(part, file)
    except DownloadFailed as error:
        hint = "" if checksum is None else f"; a copy from another machine belongs in {str(folder)!r}"
        raise DownloadFailed(f"{error}{hint}") from None
    except OSError as error:
        raise DownloadFailed(f"{file} cannot be written: {error.strerror or one_line(error)}") from None
    return file


def file_name(url: str) -> str:
    """The file's name in the cache: the last part of the address, without characters that paths cannot have."""
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", name)[-150:].lstrip(".") or "weights"


def _verify(file: Path, name: str, checksum: str | None) -> None:
    """Raises UnreadableWeights for another checksum, and removes the file; ValueError for a link out of its folder."""
    check_inside(file, file.parent)
    if checksum is None:
        return
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    if not digest.startswith(checksum):
        file.unlink()
        got = digest[: len(checksum)]
        raise UnreadableWeights(f"{name} is removed: expected a SHA-256 that begins with {checksum}, got {got}")


def _fetch(url: str, file: Path) -> Path:
    """Downloads to NAME.part, from where an earlier download stopped."""
    part, record = (file.with_name(f"{file.name}.{suffix}") for suffix in ("part", "part.json"))
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666), "r+b") as output:
        unchanged = _read_record(record, url)
        size = output.seek(0, os.SEEK_END) if unchanged else 0
        with open_address(url, size, unchanged) as response:
            start = first_byte(response, size)
            output.truncate(output.seek(start))
            if start == 0:
                replace_file(record, json.dumps({"address": _digest(url), "validator": validator(response)}))
            _copy(response, output, start, part.parent, url)
        output.flush()
        os.fsync(output.fileno())
    record.unlink(missing_ok=True)
    return part


def _read_record(record: Path, url: str) -> str:
    """What shows that the file at the address is still that of the part; "" if nothing does."""
    try:
        values = json.loads(record.read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    same = (
        isinstance(values, dict) and values.get("address") == _digest(url) and isinstance(values.get("validator"), str)
    )
    return values["validator"] if same else ""


def _digest(url: str) -> str:
    """Identifies an address, whose query may be secret."""
    return hashlib.sha256(url.encode()).hexdigest()


def _copy(response: HTTPResponse, output: BinaryIO, start: int, folder: Path, url: str) -> None:
    """Writes the answer behind the `start` bytes that are there.

    Raises:
      DownloadFailed: the answer is cut or nearly stands still, or the disk is too small for it.
      OSError: it cannot be written.
    """
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isdecimal() else None
    if total is not None and total - start > (free := shutil.disk_usage(folder).free):
        raise DownloadFailed(
            f"{public_address(url)}: expected {total - start:,} free bytes in {str(folder)!r}, got {free:,}"
        )
    done, reason = start, "the connection was closed"
    until, before = time.monotonic() + PERIOD, done
    with Progress(file_name(url), total) as progress:
        while True:
            progress.update(done)
            try:
                block = response.read1(CHUNK)  # waits for one packet alone
            except (HTTPException, OSError) as error:
                total, reason = total or -1, one_line(error)
                break
            if not block:
                break
            output.write(block)
            done += len(block)
            if (now := time.monotonic()) > until:
                if done - before < LEAST and done != total:
                    total, reason = total or -1, f"less than {LEAST:,} bytes in {PERIOD:g} s"
                    break
                until, before = now + PERIOD, done
    if total is not None and done != total:
        of = f" of {total:,}" if total >= 0 else ""
        raise DownloadFailed(f"{public_address(url)}: stopped after {done:,}{of} bytes ({reason}); try again")
