"""Where weights come from: files, folders of the hub's layout, runs, published weights by name, the hub, addresses."""

from __future__ import annotations

import difflib
import hashlib
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from resnet_jax.errors import public_address
from resnet_jax.files import expanded
from resnet_jax.models.published import PublishedWeights
from resnet_jax.weights.readers import EXPECTED, SUFFIXES
from resnet_jax.weights.sources.cache import cache_folder, is_offline
from resnet_jax.weights.sources.local import hub_file, is_checkpoint
from resnet_jax.weights.sources.tags import (
    default_weights,
    find_published,
    is_published_name,
    published_checksum,
    suggestion,
)

__all__ = ["Source", "nearest", "resolve"]
# ORGANISATION/NAME, perhaps with @REVISION.
REPOSITORY = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class Source:
    """Weights on this machine."""

    path: Path  # a file of weights, an index of several, or the directory of a run or checkpoint
    published: PublishedWeights | None = None  # the row of the table; None: not known from the source's name
    is_checkpoint: bool = False
    is_cached: bool = False  # downloaded to our own cache, from which it can be removed


def resolve(
    source: str | Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Source:
    """The weights that `source` names, downloaded unless they are on this machine. Arguments as for `load_pretrained`.

    What exists on this machine comes first: a folder timm/resnet50.a1_in1k is read instead of the published weights,
    with a warning.

    Raises:
      FileNotFoundError: no such file, folder, run or published weights.
      DownloadFailed: weights cannot be downloaded.
      MissingExtra: weights of the hub, without huggingface_hub.
      UnreadableWeights: a folder without weights and checkpoints, or a wrong checksum.
      ValueError: an address of another kind than HTTP, a revision of something that has none, a link out of a folder.
    """
    path, text = expanded(source), str(source)
    is_cached_only = local_files_only or is_offline()
    if "://" in text:
        _check_no_revision(text, revision)
        folder = cache_folder(cache_dir) / "addresses" / hashlib.sha256(text.encode()).hexdigest()[:16]
        path = _download(text, folder, checksum=published_checksum(text), is_offline=is_cached_only)
        return Source(path, is_cached=True)
    repository = None if _is_local(path, text) else REPOSITORY.fullmatch(text)
    if repository is None:
        _check_no_revision(text, revision)
        return _local(path, text)
    name, revision = repository["name"], repository["revision"] or revision
    row = find_published(name) if revision is None and is_published_name(name) else None
    if row is not None and row.source != "timm" and row.url is not None:
        folder = cache_folder(cache_dir) / row.source
        path = _download(row.url, folder, checksum=row.checksum, is_offline=is_cached_only)
        return Source(path, row, is_cached=True)
    if row is None and revision is None and (hint := suggestion(name)):
        raise FileNotFoundError(f"no file {text!r}; {hint}")
    from resnet_jax.weights.sources.hub import download_repository

    hub_id = name if row is None else row.hub_id or name
    folder = download_repository(hub_id, revision=revision, token=token, cache_dir=cache_dir, is_offline=is_cached_only)
    return Source(hub_file(folder), row)


def _download(url: str, folder: Path, *, checksum: str | None = None, is_offline: bool) -> Path:
    from resnet_jax.weights.sources.download import download  # urllib.request takes longer than the rest to import

    return download(url, folder, checksum=checksum, is_offline=is_offline)


def _is_local(path: Path, text: str) -> bool:
    """Whether this is a path: one that exists, is written as one, or is in a folder that exists."""
    if path.exists():
        return True
    is_written_as_path = text.startswith((".", "~", "/")) or text.endswith(SUFFIXES)
    return is_written_as_path or (not is_published_name(text) and path.parent != Path() and path.parent.is_dir())


def nearest(source: str) -> str:
    """What a source that is nowhere could be: a name in the same folder, or published weights; "" without an idea."""
    path = expanded(source)
    is_path = path.parent != Path() or path.suffix in SUFFIXES
    beside = path.parent.iterdir() if is_path and path.parent.is_dir() else ()
    names = [other.name for other in beside if other.is_dir() or other.suffix in SUFFIXES]
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.75)
    return f"did you mean {path.with_name(close[0])}?" if close else suggestion(source)


def _local(path: Path, text: str) -> Source:
    if not path.exists():
        is_cut = text.startswith(("http:/", "https:/"))
        hint = "pass an address as a string: https://HOST/FILE" if is_cut else nearest(text) or EXPECTED
        raise FileNotFoundError(f"no file {public_address(text)!r}; {hint}")
    if is_published_name(text) and default_weights(text.partition("/")[2].partition(".")[0]) is not None:
        message = f"{text} is in the current folder and is read instead of the published weights"
        warnings.warn(message, stacklevel=_stacklevel())
    if is_checkpoint(path):
        return Source(path, is_checkpoint=True)
    return Source(hub_file(path) if path.is_dir() else path)


def _stacklevel() -> int:
    """That of a warning which names the caller outside this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_globals.get("__name__", "").startswith("resnet_jax.") and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    return level


def _check_no_revision(text: str, revision: str | None) -> None:
    if revision is not None:
        raise ValueError(
            f"only repositories of the hub have revisions; got revision={revision!r} of {public_address(text)!r}"
        )
