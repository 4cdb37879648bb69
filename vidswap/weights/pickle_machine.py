"""A machine for pickles that knows data alone: it builds containers, numbers, texts and records, and calls nothing.

Python's unpickler looks names up and calls what it finds. This one never imports: a global is a *name*, and a name
means something only if the caller's table gives a builder for it; everything else in the stream is refused by name.
Opcodes that protocols 2 to 4 do not write (INST, OBJ, EXT, text forms of protocol 0 ...) are refused too. Every length
is checked against the bytes that are there before anything is allocated.

What it does not know: tensors. Their records are made by the builders (`vidswap.weights.torch_streams`,
`vidswap.weights.network_pickles`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vidswap.graph.errors import InputError

OPCODES_AT_MOST = 3_000_000
TEXT_BYTES_AT_MOST = 1 << 24
INTEGER_BYTES_AT_MOST = 64
COPIES_AT_MOST = 8
"""How often over the stream's bytes may be copied by records: what is remembered once can be used without end."""
_SIZED = (str, bytes, memoryview, list, tuple, dict, set, frozenset)
_KEY_TYPES = (str, int, float, bool, bytes, type(None))


class Refused(InputError):
    """The stream is no data that may be read; the message says what is in it. Callers put the file's name before it."""


def shown(text: str, length: int = 500) -> str:
    """Words out of a file as one short line that a terminal can show: no line ends, no control characters."""
    line = "".join(sign if sign.isprintable() else "?" for sign in text[: length + 1])
    return line if len(line) <= length else line[:length] + "..."


@dataclass(frozen=True)
class Builder:
    """What a global stands for: `call(*arguments)` on REDUCE and NEWOBJ. Builders see inert values and never import."""

    call: Callable[..., Any]


@dataclass
class Record:
    """An instance of a class that is not known here: its name and its state, as data."""

    kind: str
    state: dict[Any, Any] = field(default_factory=dict)

    def take_state(self, state: Any) -> None:
        """What BUILD does: keep the state's entries."""
        # Classes with slots give a pair of tables.
        for table in state if type(state) is tuple else (state,):
            if type(table) is dict:
                self.state.update(table)
            elif table is not None:
                raise Refused(f"the state of {self.kind} is no table of attributes")


Globals = Mapping[tuple[str, str], Any]
"""(module, name) -> what the global is: a Builder where it may be called, anything inert otherwise."""


class PickleMachine:
    """Reads one pickle out of `data`, from `position` on; `end` is where it stopped.

    persistent: makes an object of a persistent id, or None where such ids are refused. Raises Refused.
    """

    def __init__(
        self,
        data: memoryview,
        known: Globals,
        *,
        position: int = 0,
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self.data, self.known, self.persistent = data, known, persistent
        self.end = position
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._allowance = COPIES_AT_MOST * len(data) + (1 << 16)

    def run(self) -> Any:
        """The object that the stream describes."""
        opcodes = 0
        while True:
            code = self._take(1)[0]
            if code == 0x2E:  # STOP
                return self._pop()
            opcodes += 1
            if opcodes > OPCODES_AT_MOST:
                raise Refused(f"the pickle has more than {OPCODES_AT_MOST} steps")
            step = _STEPS.get(code)
            if step is None:
                raise Refused(f"the pickle uses the opcode {_NAMES.get(code, hex(code))}, which data does not need")
            step(self)

    def _take(self, count: int) -> memoryview:
        begin, self.end = self.end, self.end + count
        if count > len(self.data) - begin:
            raise Refused("the pickle is cut short: it claims more bytes than the file has")
        return self.data[begin : self.end]

    def _number(self, form: str) -> int:
        return int(struct.unpack(form, self._take(struct.calcsize(form)))[0])

    def _line(self) -> str:
        window = bytes(self.data[self.end : self.end + 512])
        length = window.find(b"\n")
        if length < 0:
            raise Refused("the pickle is cut short, or names something longer than 512 bytes")
        self.end += length + 1
        return self._text(window[:length])

    def _text(self, raw: memoryview | bytes) -> str:
        if len(raw) > TEXT_BYTES_AT_MOST:
            raise Refused(f"the pickle has a text of {len(raw)} bytes")
        try:
            return bytes(raw).decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise Refused("the pickle has a text that is not UTF-8") from None

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or (self._marks and self._marks[-1] >= len(self._stack)):
            raise Refused("the pickle takes from an empty stack")
        return self._stack.pop()

    def _top(self) -> Any:
        value = self._pop()
        self._stack.append(value)
        return value

    def _since_mark(self) -> list[Any]:
        if not self._marks:
            raise Refused("the pickle takes back a mark that it has not set")
        begin = self._marks.pop()
        values = self._stack[begin:]
        del self._stack[begin:]
        return values

    def _remember(self, index: int) -> None:
        self._memo[index] = self._top()

    def _recall(self, index: int) -> None:
        if index not in self._memo:
            raise Refused("the pickle recalls something that it has not remembered")
        self._push(self._memo[index])

    def _integer(self, length: int) -> None:
        if not 0 <= length <= INTEGER_BYTES_AT_MOST:
            raise Refused(f"the pickle has an integer of {length} bytes")
        self._push(int.from_bytes(self._take(length), "little", signed=True))

    def _bytes(self, length: int, *, is_text: bool = False) -> None:
        raw = self._take(length)
        # Python 2 wrote texts and bytes alike; Latin-1 keeps both whole.
        self._push(bytes(raw).decode("latin-1") if is_text else raw if length > 4096 else bytes(raw))

    def _global(self, module: str, name: str) -> None:
        if (module, name) not in self.known:
            wanted = shown(f"{module}.{name}", 100)
            raise Refused(f"the pickle wants {wanted}, which is no data; nothing of it was executed")
        self._push(self.known[module, name])

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("the pickle names a global by something that is no text")
        self._global(module, name)

    def _call(self, what: Any, arguments: Any) -> None:
        if type(what) is not Builder or type(arguments) is not tuple:
            raise Refused("the pickle calls something that is no record of data; nothing of it was executed")
        self._charge(arguments)
        try:
            made = what.call(*arguments)
        except Refused:
            raise
        except (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError, struct.error) as error:
            raise Refused(f"the pickle has a malformed record ({type(error).__name__})") from None
        self._push(made)

    def _charge(self, values: tuple[Any, ...]) -> None:
        self._allowance -= sum(len(value) for value in values if isinstance(value, _SIZED))
        if self._allowance < 0:
            raise Refused("the pickle copies what it has read again and again")

    def _reduce(self) -> None:
        arguments = self._pop()
        self._call(self._pop(), arguments)

    def _new_with_keywords(self) -> None:
        if self._pop() != {}:
            raise Refused("the pickle makes an object with keywords, which data does not need")
        self._reduce()

    def _build(self) -> None:
        state, target = self._pop(), self._top()
        taking = getattr(target, "take_state", None) if type(target).__module__.startswith("vidswap.weights.") else None
        if taking is not None:
            self._charge(state if type(state) is tuple else (state,))
            taking(state)
        elif type(target) is not dict:
            # Attributes of an ordered table (`_metadata` of state dicts) are dropped; nothing else can have any.
            raise Refused("the pickle gives a state to something that has none; nothing of it was executed")

    def _put_all(self, flat: list[Any]) -> None:
        table = self._top()
        if type(table) is not dict or len(flat) % 2:
            raise Refused("the pickle fills something that is no table")
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            table[plain_key(key)] = value

    def _extend(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is not list:
            raise Refused("the pickle appends to something that is no list")
        target.extend(values)

    def _add(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is not set:
            raise Refused("the pickle adds to something that is no set")
        target.update(map(plain_key, values))

    def _tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(values)))

    def _pop_twice(self) -> list[Any]:
        second, first = self._pop(), self._pop()
        return [first, second]

    def _pop_any(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def _protocol(self) -> None:
        version = self._take(1)[0]
        if not 2 <= version <= 4:
            raise Refused(f"the pickle is of protocol {version}; 2 to 4 are read")

    def _frame(self) -> None:
        if self._number("<Q") > len(self.data) - self.end:
            raise Refused("the pickle is cut short: it claims more bytes than the file has")

    def _drop_to_mark(self) -> None:
        self._since_mark()

    def _persistent_id(self) -> None:
        if self.persistent is None:
            raise Refused("the pickle refers to objects outside of it")
        self._push(self.persistent(self._pop()))


def plain_key(key: Any) -> Any:
    """A key that is plain: hashing nested tuples can be made to take for ever."""
    if type(key) not in _KEY_TYPES:
        raise Refused("the pickle has a table or set with keys that are no plain texts or numbers")
    return key


_STEPS: dict[int, Callable[[PickleMachine], None]] = {
    0x80: PickleMachine._protocol,
    0x95: PickleMachine._frame,
    0x28: lambda m: m._marks.append(len(m._stack)),  # MARK
    0x30: PickleMachine._pop_any,
    0x31: PickleMachine._drop_to_mark,
    0x32: lambda m: m._push(m._top()),  # DUP
    0x4E: lambda m: m._push(None),
    0x88: lambda m: m._push(True),
    0x89: lambda m: m._push(False),
    0x4A: lambda m: m._push(m._number("<i")),  # BININT
    0x4B: lambda m: m._push(m._take(1)[0]),  # BININT1
    0x4D: lambda m: m._push(m._number("<H")),  # BININT2
    0x8A: lambda m: m._integer(m._take(1)[0]),  # LONG1
    0x8B: lambda m: m._integer(m._number("<i")),  # LONG4
    0x47: lambda m: m._push(struct.unpack(">d", m._take(8))[0]),  # BINFLOAT
    0x54: lambda m: m._bytes(m._number("<I"), is_text=True),  # BINSTRING
    0x55: lambda m: m._bytes(m._take(1)[0], is_text=True),  # SHORT_BINSTRING
    0x58: lambda m: m._push(m._text(m._take(m._number("<I")))),  # BINUNICODE
    0x8C: lambda m: m._push(m._text(m._take(m._take(1)[0]))),  # SHORT_BINUNICODE
    0x8D: lambda m: m._push(m._text(m._take(m._number("<Q")))),  # BINUNICODE8
    0x42: lambda m: m._bytes(m._number("<I")),  # BINBYTES
    0x43: lambda m: m._bytes(m._take(1)[0]),  # SHORT_BINBYTES
    0x8E: lambda m: m._bytes(m._number("<Q")),  # BINBYTES8
    0x5D: lambda m: m._push([]),
    0x29: lambda m: m._push(()),
    0x7D: lambda m: m._push({}),
    0x8F: lambda m: m._push(set()),
    0x61: lambda m: m._extend([m._pop()]),  # APPEND
    0x65: lambda m: m._extend(m._since_mark()),  # APPENDS
    0x73: lambda m: m._put_all(m._pop_twice()),  # SETITEM
    0x75: lambda m: m._put_all(m._since_mark()),  # SETITEMS
    0x90: lambda m: m._add(m._since_mark()),  # ADDITEMS
    0x91: lambda m: m._push(frozenset(map(plain_key, m._since_mark()))),
    0x85: lambda m: m._tuple(1),
    0x86: lambda m: m._tuple(2),
    0x87: lambda m: m._tuple(3),
    0x74: lambda m: m._push(tuple(m._since_mark())),  # TUPLE
    0x68: lambda m: m._recall(m._take(1)[0]),  # BINGET
    0x6A: lambda m: m._recall(m._number("<I")),  # LONG_BINGET
    0x71: lambda m: m._remember(m._take(1)[0]),  # BINPUT
    0x72: lambda m: m._remember(m._number("<I")),  # LONG_BINPUT
    0x94: lambda m: m._remember(len(m._memo)),  # MEMOIZE
    0x63: lambda m: m._global(m._line(), m._line()),  # GLOBAL
    0x93: PickleMachine._stack_global,
    0x52: PickleMachine._reduce,
    0x81: PickleMachine._reduce,  # NEWOBJ: cls.__new__(cls, *arguments) makes what calling the class would
    0x92: PickleMachine._new_with_keywords,
    0x62: PickleMachine._build,
    0x51: PickleMachine._persistent_id,  # BINPERSID
}
_NAMES = {
    0x69: "INST", 0x6F: "OBJ", 0x82: "EXT1", 0x83: "EXT2", 0x84: "EXT4", 0x50: "PERSID", 0x49: "INT", 0x4C: "LONG",
    0x46: "FLOAT", 0x53: "STRING", 0x56: "UNICODE", 0x67: "GET", 0x70: "PUT", 0x64: "DICT", 0x6C: "LIST",
    0x96: "BYTEARRAY8", 0x97: "NEXT_BUFFER", 0x98: "READONLY_BUFFER",
}  # fmt: skip
