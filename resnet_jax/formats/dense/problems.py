"""Invalid annotations: all are named in one error, or skipped and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from resnet_jax.images.decoding import MAX_PIXELS, MAX_SIDE

SHOWN = 5  # problems in a message
LONGEST = 400  # characters of a place, and of a problem: values in files may have any length
OVERHANG = 1.0  # pixels that a box may reach beyond its image: annotators round


@dataclass
class Problems:
    """Collects what is wrong in the annotations of a dataset."""

    skip: bool  # skip invalid annotations; False: `check` raises an error
    messages: list[str] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)  # boxes that are cut at the border of their image
    remarks: list[str] = field(default_factory=list)  # other notes for the user

    def add(self, place: str, problem: str) -> None:
        """`place` names the file, and the line or id."""
        self.messages.append(f"{_shortened(place)}: {_shortened(problem)}")

    def check(self) -> None:
        """Raises ValueError with the first problems, if there are any and they are not skipped."""
        if self.messages and not self.skip:
            raise ValueError(f"{_listed(self.messages)}; skip_invalid=True ignores what is invalid")

    def notes(self) -> tuple[str, ...]:
        """Notes for the user on what is skipped."""
        notes = [*self.remarks]
        if self.messages:
            notes.append(f"{_counted(self.messages, 'invalid annotation')} skipped: {_listed(self.messages)}")
        if self.clipped:
            notes.append(f"{_counted(self.clipped, 'box', 'boxes')} clipped at the border: {_listed(self.clipped)}")
        return tuple(notes)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 60]}...{text[-57:]}"


def _counted(messages: Sequence[str], one: str, several: str = "") -> str:
    count = len(messages)
    return f"{count:,} {one} is" if count == 1 else f"{count:,} {several or one + 's'} are"


def _listed(messages: Sequence[str]) -> str:
    more = f"; and {len(messages) - SHOWN:,} more" if len(messages) > SHOWN else ""
    return "; ".join(messages[:SHOWN]) + more


def check_size(height: float, width: float) -> None:
    """Raises ValueError unless an image of this height and width in pixels can be read."""
    if min(height, width) < 1 or max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
        expected = f"sides of 1 to {MAX_SIDE:,} pixels and at most {MAX_PIXELS:,} pixels"
        raise ValueError(f"expected an image with {expected}, got width {width!r} and height {height!r}")


def check_box(box: Sequence[float], size: tuple[int, int], place: str, problems: Problems) -> list[float] | None:
    """A box inside its image, or one pixel beyond; None: it is invalid, or lies outside.

    Args:
      box: x0, y0, x1, y1 in pixels, finite.
      size: height and width of the image.
    """
    x0, y0, x1, y1 = box
    height, width = size
    shown = " ".join(f"{value:g}" for value in box)
    if not (x1 > x0 and y1 > y0):
        problems.add(place, f"the box {shown} (x0 y0 x1 y1) has no area")
        return None
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        problems.add(place, f"the box {shown} (x0 y0 x1 y1) lies outside its image of {width} x {height} pixels")
        return None
    if min(x0, y0) < -OVERHANG or x1 > width + OVERHANG or y1 > height + OVERHANG:
        problem = f"the box {shown} (x0 y0 x1 y1) reaches beyond its image of {width} x {height} pixels"
        if not problems.skip:
            problems.add(place, problem)
            return None
        problems.clipped.append(f"{place}: {problem}")
        return [max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))]
    return [x0, y0, x1, y1]
