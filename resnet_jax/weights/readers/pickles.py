"""Pickles as data: an interpreter of their opcodes that imports nothing and calls nothing.

What a pickle would call becomes a `Record` of the name and the arguments; a reader decides what the record means.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, NamedTuple, cast

LONG_STRING = 2**16  # bytes; longer strings of Python 2 are the values of arrays
DICTS = ("collections.OrderedDict", "collections.defaultdict", "builtins.dict", "__builtin__.dict")


@dataclass(frozen=True)
class Global:
    """A name that the pickle would import."""

    name: str  # "collections.OrderedDict"


@dataclass(eq=False)
class Record:
    """What the pickle would make by calling a function or a class."""

    name: str  # of the function or class; "persistent" for an object outside the pickle
    args: tuple[Any, ...] = ()
    state: Any = None  # what the object would be given afterwards


class Loaded(NamedTuple):
    """What a pickle describes."""

    value: Any
    end: int  # place behind the pickle
    references: list[Record]  # objects outside the pickle


def load(data: memoryview, start: int, is_allowed: Callable[[str], bool]) -> Loaded:
    """The object that the pickle at `start` describes.

    Bytes of arrays are views of `data`.

    Args:
      is_allowed: whether a pickle may have this name.

    Raises:
      ValueError: a name that is not allowed, an opcode that state dicts do not have, or a truncated pickle.
    """
    return _Machine(data, start, is_allowed).run()


class _Reader:
    """`read`, `readline` and `tell` for pickletools, without a copy of the whole file."""

    def __init__(self, data: memoryview, start: int) -> None:
        self.data, self.place = data, start

    def read(self, count: int) -> bytes:
        piece = bytes(self.data[self.place : self.place + count])
        self.place += len(piece)
        return piece

    def readline(self) -> bytes:
        start, length = self.place, 64
        while True:
            piece = bytes(self.data[start : start + length])
            end = piece.find(b"\n")
            if end >= 0 or start + length >= len(self.data):
                self.place = start + (end + 1 if end >= 0 else len(piece))
                return piece[: end + 1] if end >= 0 else piece
            length *= 4

    def tell(self) -> int:
        return self.place


class _Machine:
    """The stack and the memo of a pickle."""

    def __init__(self, data: memoryview, start: int, is_allowed: Callable[[str], bool]) -> None:
        self.data, self.reader, self.is_allowed = data, _Reader(data, start), is_allowed
        self.stack: list[Any] = []
        self.marks: list[int] = []  # lengths of the stack where groups begin
        self.memo: dict[int, Any] = {}
        self.references: list[Record] = []

    def run(self) -> Loaded:
        for opcode, value, _ in pickletools.genops(cast(IO[bytes], self.reader)):
            if opcode.name == "STOP":
                return Loaded(self.pop(), self.reader.place, self.references)
            if opcode.name not in ACTIONS:
                raise ValueError(f"its pickle has the opcode {opcode.name}, which no state dict has")
            ACTIONS[opcode.name](self, value)
        raise ValueError("its pickle is truncated")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def top(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise ValueError("its pickle takes an object from an empty stack")
        return self.stack[-1]

    def pop(self) -> Any:
        self.top()
        return self.stack.pop()

    def group(self) -> list[Any]:
        """The objects since the last mark, which are removed with it."""
        if not self.marks:
            raise ValueError("its pickle ends a group that it has not begun")
        start = self.marks.pop()
        objects = self.stack[start:]
        del self.stack[start:]
        return objects

    def some(self, count: int) -> tuple[Any, ...]:
        return tuple(self.pop() for _ in range(count))[::-1]

    def remember(self, key: int) -> None:
        self.memo[key] = self.top()

    def recall(self, key: int) -> None:
        if key not in self.memo:
            raise ValueError(f"its pickle recalls object {key}, which it has not made")
        self.push(self.memo[key])

    def push_bytes(self, value: str | bytes) -> None:
        """Values of arrays are views of the file."""
        is_text = isinstance(value, str) and len(value) < LONG_STRING
        self.push(value if is_text else self.data[self.reader.place - len(value) : self.reader.place])

    def check_frame(self, length: int) -> None:
        if length > len(self.data) - self.reader.place:
            raise ValueError("its pickle is truncated")

    def push_name(self, module: Any, name: Any) -> None:
        full = f"{module}.{name}" if type(module) is str and type(name) is str else "an object without a name"
        if not self.is_allowed(full):
            hint = "; in PyTorch, torch.save(net.state_dict(), FILE) writes one"
            raise ValueError(f"it imports {full[:200]}, which is not part of a state dict{hint}")
        self.push(Global(full))

    def make(self, function: Any, args: Any) -> None:
        """An empty dict for a class of dicts, a record for anything else."""
        if not isinstance(function, Global) or not isinstance(args, tuple):
            raise ValueError("its pickle calls an object that is not a name")
        if function.name in DICTS:
            pairs = args[0] if args and isinstance(args[0], list) else []  # as Python 2 writes an OrderedDict
            self.push({})
            self.set_items([x for pair in pairs for x in (pair if isinstance(pair, list | tuple) else (pair,))])
        else:
            self.push(Record(function.name, args))

    def refer(self, identifier: Any) -> None:
        self.references.append(Record("persistent", (identifier,)))
        self.push(self.references[-1])

    def make_old(self, function: Any, *args: Any) -> None:
        self.make(function, args)

    def build(self) -> None:
        """Gives a record its state. A dict's attributes (`_metadata` of a state dict) are dropped."""
        state, target = self.pop(), self.top()
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(target, dict):
            raise ValueError(f"its pickle gives a state to a {type(target).__name__}")

    def set_items(self, values: list[Any]) -> None:
        target = self.top()
        if len(values) % 2 or not isinstance(target, dict | Record):
            raise ValueError("its pickle puts entries into an object that is not a dict")
        if isinstance(target, Record):
            return
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Names, and the numbers of an optimizer's states; hashes of numbers could be made to collide.
            key = str(key) if isinstance(key, int) else key
            if isinstance(key, str):
                if key in target:
                    raise ValueError(f"it has two entries named {key[:200]!r}")
                target[key] = value

    def add(self, values: list[Any]) -> None:
        target = self.top()
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Record):
            raise ValueError("its pickle appends to an object that is not a list")


def _pairs(machine: _Machine) -> dict[str, Any]:
    values = machine.group()
    machine.push({})
    machine.set_items(values)
    return machine.pop()


ACTIONS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(
        "FLOAT INT BININT BININT1 BININT2 LONG LONG1 LONG4 BINFLOAT UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 "
        "STRING SHORT_BINSTRING".split(),
        _Machine.push,
    ),
    **dict.fromkeys("BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split(), _Machine.push_bytes),
    **dict.fromkeys("PUT BINPUT LONG_BINPUT".split(), _Machine.remember),
    **dict.fromkeys("GET BINGET LONG_BINGET".split(), _Machine.recall),
    "PROTO": lambda machine, _: None,
    "FRAME": _Machine.check_frame,
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "POP_MARK": lambda machine, _: machine.group(),
    "POP": lambda machine, _: machine.pop(),
    "DUP": lambda machine, _: machine.push(machine.top()),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push(machine.some(1)),
    "TUPLE2": lambda machine, _: machine.push(machine.some(2)),
    "TUPLE3": lambda machine, _: machine.push(machine.some(3)),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.group())),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "LIST": lambda machine, _: machine.push(machine.group()),
    "APPEND": lambda machine, _: machine.add([machine.pop()]),
    "APPENDS": lambda machine, _: machine.add(machine.group()),
    "EMPTY_SET": lambda machine, _: machine.push([]),
    "ADDITEMS": lambda machine, _: machine.add(machine.group()),
    "FROZENSET": lambda machine, _: machine.push(machine.group()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "DICT": lambda machine, _: machine.push(_pairs(machine)),
    "SETITEM": lambda machine, _: machine.set_items(list(machine.some(2))),
    "SETITEMS": lambda machine, _: machine.set_items(machine.group()),
    "GLOBAL": lambda machine, value: machine.push_name(*value.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.push_name(*machine.some(2)),
    "REDUCE": lambda machine, _: machine.make(*machine.some(2)),
    "NEWOBJ": lambda machine, _: machine.make(*machine.some(2)),
    "NEWOBJ_EX": lambda machine, _: machine.make(*machine.some(3)[:2]),
    "OBJ": lambda machine, _: machine.make_old(*machine.group()),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.refer(machine.pop()),
}
