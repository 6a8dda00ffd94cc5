"""A Griffe extension that describes the fields of classes in the reference.

A field's description is the text of `option(default, text)`, or the comment in its lines.
"""

from __future__ import annotations

import ast
import textwrap
from typing import Any

import griffe


class FieldComments(griffe.Extension):
    """Gives attributes of classes their description and their default."""

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        if attr.docstring or not attr.parent.is_class or attr.lineno is None:
            return
        lines = attr.parent.lines_collection[attr.filepath]
        lines = lines[attr.lineno - 1 : attr.endlineno]
        call = option_call("\n".join(lines))
        if call is not None:
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


def option_call(source: str) -> ast.Call | None:
    """The call of `option` in `name: type = option(default, text, ...)`, if it is one."""
    (statement, *_) = ast.parse(textwrap.dedent(source)).body
    value = getattr(statement, "value", None)
    is_call = isinstance(value, ast.Call) and isinstance(value.func, ast.Name)
    return value if is_call and value.func.id == "option" else None
