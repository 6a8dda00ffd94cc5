"""Downloads repositories of the Hugging Face hub, through huggingface_hub and into its cache."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resnet_jax.errors import DownloadFailed, one_line
from resnet_jax.extras import extra
from resnet_jax.weights.readers import HUB_FILES
from resnet_jax.weights.readers.shards import shard_names


def download_repository(
    repository: str,
    *,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | Path | None = None,
    is_offline: bool = False,
) -> Path:
    """The folder of a repository in the cache, with its weights and their configuration if it has one.

    huggingface_hub's environment variables apply: HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE.

    Args:
      repository: "timm/resnet50.a1_in1k", or another as ORGANISATION/NAME.
      revision: a branch, a tag or a commit; None: the main branch.
      is_offline: read the cache alone.

    Raises:
      MissingExtra: huggingface_hub is not installed.
      DownloadFailed: no such repository, revision or file of weights; or the hub cannot be reached or refuses access.
    """
    with extra():
        from huggingface_hub import errors, hf_hub_download

    def fetch(name: str, revision: str | None) -> Path:
        return Path(
            hf_hub_download(
                repository,
                name,
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                local_files_only=is_offline,
            )
        )

    def fetch_weights() -> Path:
        """The first of the hub's file names that the repository has."""
        nonlocal is_offline
        unreachable: Exception | None = None
        for name in HUB_FILES:
            try:
                return fetch(name, revision)
            except errors.LocalEntryNotFoundError as error:  # not in the cache, and the hub cannot be reached
                unreachable, is_offline = unreachable or error, True
            except errors.EntryNotFoundError:
                continue
        if unreachable is not None:
            raise unreachable
        raise DownloadFailed(f"the hub's {repository} has no {', '.join(HUB_FILES[:-1])} or {HUB_FILES[-1]}")

    with _refusals(repository, revision), _each_once():
        file = fetch_weights()
        commit = file.parent.name  # the branch may move on meanwhile
        for other in ("config.json", *(shard_names(file) if file.suffix == ".json" else ())):
            try:
                fetch(other, commit)
            except errors.EntryNotFoundError:
                if other != "config.json":
                    raise
        config = file.with_name("config.json")
        if config.exists() and b'"model_type"' in config.read_bytes():  # of transformers
            with suppress(errors.EntryNotFoundError):
                fetch("preprocessor_config.json", commit)
    return file.parent


@contextmanager
def _each_once() -> Iterator[None]:
    """huggingface_hub's warnings come from its own handler alone, not from one of the root logger, too."""
    logger = logging.getLogger("huggingface_hub")
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = before


@contextmanager
def _refusals(repository: str, revision: str | None) -> Iterator[None]:
    """Raises DownloadFailed, with one line, for what huggingface_hub raises."""
    from huggingface_hub import errors

    name = f"{repository}@{revision}" if revision else repository
    try:
        yield
    except DownloadFailed:
        raise
    except errors.GatedRepoError:
        raise DownloadFailed(f"{name} is gated: accept its terms on the hub, and set HF_TOKEN") from None
    except errors.RepositoryNotFoundError:
        raise DownloadFailed(f"the hub has no repository {name}, or it is private: set HF_TOKEN") from None
    except errors.RevisionNotFoundError:
        raise DownloadFailed(f"the hub's {repository} has no revision {revision or 'main'!r}") from None
    except errors.HFValidationError as error:
        raise DownloadFailed(f"{name} is not a name of a repository: {one_line(error)}") from None
    except errors.LocalEntryNotFoundError as error:
        reason = (
            one_line(error.__cause__)[:300]
            if error.__cause__ is not None
            else "nothing is downloaded offline (HF_HUB_OFFLINE or local_files_only)"
        )
        raise DownloadFailed(f"{name} is not in the hub's cache, and cannot be downloaded: {reason}") from None
    # Clients of HTTP differ between versions of huggingface_hub; hf_xet raises RuntimeError.
    except (errors.HTTPError, OSError, RuntimeError) as error:
        raise DownloadFailed(f"{name} cannot be downloaded: {one_line(error)}") from None
