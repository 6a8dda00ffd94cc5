"""A Griffe extension that describes the fields of classes in the reference.

A field's description is the text of `option(default, text)`, or the comment in its lines.
"""

from __future__ import annotations

import ast
import re
import textwrap
from typing import Any

import griffe


class FieldComments(griffe.Extension):
    """Gives attributes of classes their description, their default and a plain type."""

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        if not attr.parent.is_class or attr.lineno is None:
            return
        attr.annotation = re.sub(
            r"Annotated\[(\w+), '[^']*'\]", r"\1", str(attr.annotation)
        )
        lines = attr.parent.lines_collection[attr.filepath]
        lines = lines[attr.lineno - 1 : attr.endlineno]
        call = call_in("\n".join(lines))
        if call is not None and call.func.id == "field":
            attr.value = default_of(call)
        if attr.docstring:
            return
        if call is not None and call.func.id == "option":
            default, text = call.args[:2]
            none = [word.value for word in call.keywords if word.arg == "none"]
            attr.value = ast.unparse(default)
            description = ast.literal_eval(text)
            description += "".join(
                f"; None: {ast.literal_eval(value)}" for value in none
            )
        else:
            comments = [
                line.split("  # ", 1)[1] for line in lines if "  # " in line
            ]
            if not comments or "type: ignore" in comments[-1]:
                return
            description = comments[-1].strip()
        attr.docstring = griffe.Docstring(
            description, lineno=attr.lineno, parent=attr
        )


def call_in(source: str) -> ast.Call | None:
    """The call in `name: type = function(...)`, if it is one."""
    (statement, *_) = ast.parse(textwrap.dedent(source)).body
    value = getattr(statement, "value", None)
    is_call = isinstance(value, ast.Call) and isinstance(value.func, ast.Name)
    return value if is_call else None


def default_of(call: ast.Call) -> str | None:
    """The default that `dataclasses.field(...)` gives; None: the field has none."""
    words = {word.arg: ast.unparse(word.value) for word in call.keywords}
    if "default_factory" in words:
        return f"{words['default_factory']}()"
    return words.get("default")
