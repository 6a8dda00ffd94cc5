"""A Griffe extension: the comment behind a field of a dataclass or tuple becomes its description in the reference."""

from __future__ import annotations

from typing import Any

import griffe


class FieldComments(griffe.Extension):
    """Gives attributes without a docstring the comment that stands in their lines."""

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        if attr.docstring or not attr.parent.is_class or attr.lineno is None:
            return
        lines = attr.parent.lines_collection[attr.filepath][
            attr.lineno - 1 : attr.endlineno
        ]
        comments = [
            line.split("  # ", 1)[1].strip() for line in lines if "  # " in line
        ]
        if comments and "type: ignore" not in comments[-1]:
            attr.docstring = griffe.Docstring(
                comments[-1], lineno=attr.lineno, parent=attr
            )
