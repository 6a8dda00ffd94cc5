"""Shared types, and the key to the shapes in every docstring.

N images, H x W pixels, C channels (Ci in, Co out), K classes, D devices. Images are [N, H, W, C],
series [N, L, C], volumes [N, D, H, W, C]; [N, *spatial, C] is any of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

if TYPE_CHECKING:  # the nets do without Pillow
    from resnet_jax.images.decoding import Picture

Array = jax.Array
ARRAYS = (np.ndarray, jax.Array)  # for checks of types
AS_ARRAY = "numpy.asarray converts a list"  # the hint of their messages
Dtype = Any  # what jnp.dtype takes: jnp.bfloat16, "bfloat16", ...
Batch = Mapping[str, Any]  # image [N, H, W, C], label int [N] or float [N, K], mask float [N] (0: padding)
Variables = dict[str, Any]  # {"params": ..., "batch_stats": ...}; no "batch_stats" in a net without BatchNorm
Metrics = dict[str, Array]  # float32 sums over examples, and their "count": divide last
# Labels of a batch: int [N]; 0 or 1 in float32 [N, K]; numbers, float32 [N, T]; a class for each pixel, uint8
# [N, H, W]; objects, int [N, B], with their boxes (see `data.loading.dense`); what is spoken, ids of tokens int32
# [N, T] with 0 behind them; none, where the tokens of a text are predicted from those before them; captions, ids of
# tokens int32 [N, T].
LabelKind = Literal["class", "multi-hot", "targets", "pixels", "boxes", "transcript", "next-token", "caption"]
DataKind = Literal["images", "series", "audio", "text"]  # of what is fed to a net
# What messages call an example, and several of them.
NOUNS: Mapping[DataKind, tuple[str, str]] = MappingProxyType(
    {
        "images": ("image", "images"),
        "series": ("series", "series"),
        "audio": ("sound", "sounds"),
        "text": ("text", "texts"),
    }
)


def nouns_of(kind: DataKind, label_kind: LabelKind) -> tuple[str, str]:
    """What messages call an example with these labels, and several: ("pair", "pairs") with captions."""
    return ("pair", "pairs") if label_kind == "caption" else NOUNS[kind]


def at_least_float32(dtype: Any) -> Any:
    """The type that statistics, pooled features and logits have beside arithmetic of `dtype`."""
    return jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype


@dataclass(frozen=True)
class Preprocess:
    """Turns image files into a net's input: resizes, crops, scales to [0, 1], normalises per channel.

    - `preprocess.batch(images)`, of files, PIL images or arrays of any size, is the net's input.
    - `preprocess.image(image)` resizes and crops one of them, and stays in uint8.
    - `preprocess(images)` normalises uint8 images that have their size already, and does nothing else.
    """

    kind: ClassVar[DataKind] = "images"

    image_size: int  # side of the square crop, pixels
    resize: int  # the shorter side before the crop, pixels; see `crop_mode`
    mean: tuple[float, ...]  # one per channel, of values in [0, 1]
    std: tuple[float, ...]
    interpolation: Literal["bilinear", "bicubic", "lanczos", "nearest"] = "bilinear"
    source: str = field(
        default="", compare=False
    )  # where these values come from; "assumed: ..." if the file is unknown
    # "center" resizes the shorter side; "squash" both, to a square; "border" the longer, on a ground of the mean. "pad"
    # resizes the shorter side to `resize`, or less if it does not fit, and pads right and below (`images.crops`).
    crop_mode: Literal["center", "squash", "border", "pad"] = "center"

    def __call__(self, images: Array) -> Array:
        """Only normalises, on the device: uint8 [N, H, W, C] of any H and W -> float32 [N, H, W, C].

        The images are resized and cropped already; `batch` does all of it.

        Raises:
          TypeError: a list, a PIL image, a PyTorch tensor or another object that is no array.
          ValueError: images of another type, rank or number of channels; or no mean and deviation are known.
        """
        channels = self.channels
        expected = f"images uint8 [N, H, W, {channels}] with values 0 to 255"
        check_is_array(images, expected)
        if images.dtype != jnp.uint8 or images.ndim != 4 or images.shape[-1] != channels:
            hint = ""
            if images.ndim == 3 and images.shape[-1] == channels:
                hint = "; images[None] is a batch of one"
            elif images.ndim == 4 and images.shape[1] == channels != images.shape[-1]:
                hint = "; images.transpose(0, 2, 3, 1) moves the channels last"
            raise ValueError(f"expected {expected}, got {images.dtype} {list(images.shape)}{hint}")
        scale = jnp.asarray([1 / (255 * s) for s in self.std], jnp.float32)
        offset = jnp.asarray([m / s for m, s in zip(self.mean, self.std, strict=True)], jnp.float32)
        shape = (1, 1, 1, -1)
        return images.astype(jnp.float32) * scale.reshape(shape) - offset.reshape(shape)

    def image(self, image: str | Path | Picture | Array | np.ndarray) -> np.ndarray:
        """Resizes and crops an image as the weights' authors did in evaluation: uint8 [image_size, image_size, C].

        EXIF orientation is applied, transparent pixels lie on white, 16-bit values keep their high byte.

        Args:
          image: an image file, a PIL image, or pixels uint8 [H, W] or [H, W, C], of any size.

        Raises:
          TypeError: another kind of object, or an array of another type.
          ValueError: an array of another shape, or a net of other than 1 or 3 channels.
          OSError: the file cannot be opened.
          UnreadableImage: the file is not a valid image.
        """
        from resnet_jax.images.inputs import read_input

        return self.crop(read_input(image, self.channels))

    def batch(self, images: Iterable[str | Path | Picture | Array | np.ndarray]) -> Array:
        """Resizes, crops and normalises images: float32 [N, image_size, image_size, C]. Raises as `image` does.

        With crop_mode "pad" the padding is 0.
        """
        return self.batch_and_sizes(images)[0]

    def batch_and_sizes(self, images: Iterable[str | Path | Picture | Array | np.ndarray]) -> tuple[Array, np.ndarray]:
        """`batch`, and height and width of each image inside the crop, int32 [N, 2], which detectors need."""
        from resnet_jax.images.crops import fitted_size
        from resnet_jax.images.inputs import check_several, read_input

        check_several(images)
        if not (pictures := [read_input(image, self.channels) for image in images]):
            raise ValueError("expected at least one image, got none")
        normalised = self(jnp.asarray(np.stack([self.crop(picture) for picture in pictures])))
        side = self.image_size
        if self.crop_mode != "pad":
            return normalised, np.full((len(pictures), 2), side, np.int32)
        sizes = [fitted_size(one.height, one.width, shorter=self.resize, canvas=side) for one in pictures]
        bounds, places = np.array(sizes, np.int32), np.arange(side)
        inside = (places[:, None] < bounds[:, 0, None, None]) & (places < bounds[:, 1, None, None])
        return jnp.where(inside[..., None], normalised, 0), bounds

    def crop(self, picture: Picture) -> np.ndarray:
        """Resizes and crops a decoded image (mode "L" or "RGB"): uint8 [image_size, image_size, C]."""
        from resnet_jax.images.crops import eval_crop

        return eval_crop(
            picture,
            resize=self.resize,
            size=self.image_size,
            interpolation=self.interpolation,
            mode=self.crop_mode,
            fill=[round(255 * value) for value in self.mean],
        )

    def record(self) -> dict[str, Any]:
        """As checkpoints store it; without the crop mode where it is "center", which older versions do not know."""
        values = asdict(self)
        return values if self.crop_mode != "center" else {key: x for key, x in values.items() if key != "crop_mode"}

    @property
    def channels(self) -> int:
        """Number of the net's input channels. Raises ValueError if no mean and deviation are known."""
        if not self.mean:
            reason = "no mean and deviation are known for the channels of this net"
            raise ValueError(f"{reason}; build a Preprocess(image_size, resize, mean, std) with yours")
        return len(self.mean)

    def undo(self, images: Array) -> Array:
        """For looking at: normalised float [N, H, W, C] -> uint8 [N, H, W, C]."""
        values = images * jnp.asarray(self.std, images.dtype).reshape(1, 1, 1, -1)
        values = values + jnp.asarray(self.mean, images.dtype).reshape(1, 1, 1, -1)
        return jnp.clip(jnp.round(values * 255), 0, 255).astype(jnp.uint8)


class _Pretrained(NamedTuple):
    model: nn.Module
    variables: Variables
    preprocess: Preprocess  # of a net of series, sound or text an `inputs.SequencePreprocess`
    name: str


class Pretrained(_Pretrained):
    """A net with its trained variables (numpy arrays, so nothing is on a device yet).

    Unpacks into model, variables, preprocess and name. `classes` are the names of the net's outputs, in their order;
    None if they are not known. `_replace`, `copy.replace` and pickles keep them; `jax.tree.map` over a `Pretrained`
    does not: map over its variables.

    `task` and `task_record` are those of a run: what kind of numbers the logits are. A regression's logits are
    normalised; with its record, `logits * deviation + mean` are in the targets' units.

    `notes` are sentences about a file of weights: a prefix that its names had, and arrays that were not read.
    """

    classes: tuple[str, ...] | None = None
    task: str | None = None  # None: not known
    task_record: Mapping[str, Any] = MappingProxyType({})
    notes: tuple[str, ...] = ()

    def __new__(
        cls,
        model: nn.Module,
        variables: Variables,
        preprocess: Preprocess,
        name: str,
        classes: Sequence[str] | None = None,
        task: str | None = None,
        task_record: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
    ) -> Pretrained:
        self = super().__new__(cls, model, variables, preprocess, name)
        self.classes = None if classes is None else tuple(classes)
        self.task, self.task_record, self.notes = task, dict(task_record or {}), tuple(notes)
        return self

    def _replace(self, **changes: Any) -> Pretrained:
        beside = {name: getattr(self, name) for name in ("classes", "task", "task_record", "notes")}
        return Pretrained(**{**self._asdict(), **beside, **changes})

    __replace__ = _replace  # what copy.replace calls


def check_is_array(images: Any, expected: str) -> None:
    """Raises TypeError for a list, a PIL image, a PyTorch tensor and whatever else is no array of NumPy or JAX."""
    if isinstance(images, np.ndarray | jax.Array):
        return
    kind = type(images)
    library = kind.__module__.partition(".")[0]
    hint = {
        "PIL": "; preprocess.batch([image]) resizes, crops and normalises",
        "torch": "; tensor.permute(0, 2, 3, 1).numpy() moves the channels last",
        "builtins": "; numpy.stack(images) makes an array of a list" if isinstance(images, list | tuple) else "",
    }.get(library, "")
    got = "None" if images is None else f"{'' if library == 'builtins' else library + '.'}{kind.__name__}"
    raise TypeError(f"expected {expected}, got {got}{hint}")


def _exponential(value: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.exp(np.asarray(value, np.float32))


def flaw(leaf: str, value: Any) -> str | None:
    """Why no trained net has such an array, by the last part of its path; None: it may have."""
    if not np.isfinite(value).all():
        return "not finite"
    if leaf == "logit_scale" and not np.isfinite(_exponential(value)).all():
        return "its exponential, the factor of the cosines, is infinite"
    return "variance below 0" if leaf == "var" and (value < 0).any() else None


def flaws(variables: Variables) -> list[str]:
    """Arrays that no trained net has, "path (why)" each."""
    flat = flatten_dict(variables)
    return [f"{'/'.join(path)} ({why})" for path, value in flat.items() if (why := flaw(path[-1], value))]
