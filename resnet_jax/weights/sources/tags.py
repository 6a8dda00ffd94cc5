"""Published weights by name: timm/NAME.TAG, torchvision/NAME.TAG and open_clip/NAME.TAG."""

from __future__ import annotations

import difflib

from resnet_jax.errors import did_you_mean, listed, one_of
from resnet_jax.models.published import PublishedWeights, match, published

LIBRARIES = ("timm", "torchvision", "open_clip")


def default_weights(model: str, library: str | None = None) -> PublishedWeights | None:
    """The default weights of a net: timm's or open_clip's, or torchvision's newest; None: none are published.

    timm's is the first of the net's weights, as timm's `pretrained=True` takes it; so is open_clip's. torchvision's is
    the last of the net's enum, its `DEFAULT`. timm's is preferred where both libraries publish weights.
    """
    rows = [row for row in published(model) if library in (None, row.source)]
    newest = [row for row in rows if row.source == "torchvision"]
    others = [row for row in rows if row not in newest]
    return next(iter(others or newest[-1:]), None)


def find_published(name: str) -> PublishedWeights:
    """The weights called "timm/NAME.TAG", or of another library; without a tag, or with DEFAULT, the default ones.

    Raises:
      FileNotFoundError: there are none. The message has the nearest choice.
    """
    library, _, rest = name.partition("/")
    model, _, tag = rest.partition(".")
    rows = {row.tag: row for row in published(model) if row.source == library}
    default = default_weights(model, library)
    if default is None:
        problem = f"no file {name!r}, and no weights of this name are published"
        raise FileNotFoundError(f"{problem}; {_nearest(library, model)}")
    if tag in ("", "DEFAULT"):
        return default
    if tag not in rows:
        longer = [known for known in rows if known.startswith(tag)][:3]
        hint = f"did you mean {one_of(longer)}?" if longer else did_you_mean(tag, rows, f"expected {listed(rows)}")
        raise FileNotFoundError(f"no file {name!r}, and {library} publishes no weights {tag!r} of {model}; {hint}")
    return rows[tag]


def is_published_name(name: str) -> bool:
    """Whether a source names published weights, valid or mistyped."""
    return name.partition("/")[0] in LIBRARIES and name.count("/") == 1


def published_checksum(url: str) -> str | None:
    """The first digits of the SHA-256 of the file at a published address; None: not known."""
    return next((row.checksum for row in match() if row.url == url), None)


def suggestion(source: str) -> str:
    """What a source that is nowhere could be: "did you mean timm/resnet50.a1_in1k?"; "" without an idea."""
    if source.startswith(("hf-hub:", "hf_hub:")):  # as timm has it
        return f"did you mean {source[7:]}?"
    library, separator, rest = source.rpartition("/")
    model, _, tag = rest.partition(".")
    close = difflib.get_close_matches(library.casefold(), LIBRARIES, n=1, cutoff=0.7)
    rows = [row for row in published(model.casefold()) if not close or row.source == close[0]]
    if (separator and not close) or not rows:
        return ""
    equal = [row for row in rows if row.tag.casefold() == tag.casefold()]
    best = equal[0] if equal else default_weights(rows[0].model, rows[0].source) or rows[0]
    return f"did you mean {best.name}?"


def _nearest(library: str, model: str) -> str:
    if (other := default_weights(model)) is not None:
        return f"did you mean {other.name}?"
    models = dict.fromkeys(row.model for row in match() if row.source == library)
    return did_you_mean(model, models, "see: resnet-jax weights")
