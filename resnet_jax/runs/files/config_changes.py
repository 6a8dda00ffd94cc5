"""Which fields of a config may change when a run resumes, and which have changed."""

from __future__ import annotations

from typing import Any

from resnet_jax.config import DEFAULT_WARMUP, Config, changes, to_dict

Changes = dict[str, tuple[Any, Any]]  # by the field's name, "optim.peak_lr": its value in the run's config, and now

# Fields, and groups of fields, that may change when a run resumes, because they do not affect training.
FREE = (
    "workdir",
    "data.path",  # the images and their labels are compared
    "data.labels",
    "data.annotations",
    "data.masks",
    "data.invalid",
    "data.data_dir",
    "data.threads",
    "data.eval_batch_size",
    "data.unreadable",
    "optim.warmup_shrinks",  # without it, a warmup that it would change is an error
    "train.parallel",
    "train.steps_per_call",
    "train.log_every_steps",
    "train.patience",
    "train.deterministic",
    "checkpoint",
    "log",
    "resume",
    "distributed",
)
PATHS = ("path", "labels", "annotations", "masks", "data_dir")  # fields of data that are paths


def config_changes(before: Config, now: Config, *, with_paths: bool = False) -> Changes:
    """The fields that differ and affect training, those of the net first; with the paths of data, if asked for."""
    changed = changes(to_dict(before), to_dict(now))
    if set(changed.get("optim.warmup_epochs", ())) == {None, DEFAULT_WARMUP}:  # the same warmup either way
        del changed["optim.warmup_epochs"]
    paths = {f"data.{name}" for name in PATHS} if with_paths else set()
    names = [name for name in changed if not is_free(name) or name in paths]
    return {name: changed[name] for name in sorted(names, key=lambda name: not name.startswith("model."))}


def is_free(name: str) -> bool:
    """Whether a field may change when a run resumes."""
    return name in FREE or name.partition(".")[0] in FREE


def describe_changes(changed: Changes) -> list[str]:
    """A phrase for each field: "model.name was 'resnet18', now 'resnet50'"."""
    return [f"{name.rstrip('_')} was {old!r}, now {new!r}" for name, (old, new) in changed.items()]
