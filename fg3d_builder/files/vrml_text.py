"""The nodes of a VRML 2.0 (VRML97) text, without believing it.

The whole grammar is walked through, so that what is of no use here is skipped and not mistaken;
only prototypes are refused, as they could make any node of any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from fg3d_builder.records import Array

DEEPEST = 60
"""Nodes within nodes."""

MOST_NODES = 100_000

_LONGEST_WORD = 300
_BATCH_BYTES = 1 << 20
_LONGEST_SHOWN = 40

_SPACE = rb"[\s,]*(?:\#[^\r\n]*[\s,]*)*"
_TOKEN = re.compile(_SPACE + rb'(?:("(?:[^"\\]|\\.)*")|([\[\]{}])|([^\s,\[\]{}"\#]+))?', re.DOTALL)
_NUMBER_START = re.compile(rb"[+\-.0-9]")
_BLANK = re.compile(rb"\s")
_COMMENT = re.compile(rb"#[^\r\n]*")
_LIST_END = re.compile(rb"[^\]#]*(?:#[^\r\n]*[^\]#]*)*\]")


@dataclass
class Node:
    """A node with its fields; one that is used several times is one object.

    Attributes
    ----------
    kind : str
        Such as ``"Shape"``.
    fields : dict
        What each field holds, by its name: numbers as (n,) float64, a list of str, a list of
        `Node`, a bool, or None for ``NULL``.
    """

    kind: str
    fields: dict[str, object] = field(default_factory=dict)

    def nodes(self, name: str) -> list[Node]:
        """Return the nodes of a field, none where it is absent."""
        found = self.fields.get(name)
        if found is None or (isinstance(found, np.ndarray) and not len(found)):
            return []
        if not isinstance(found, list) or not all(isinstance(node, Node) for node in found):
            raise ValueError(f"{self.kind}: field '{name}' is no node")
        return found

    def numbers(self, name: str, width: int = 1) -> Array:
        """Return the (n, width) float64 numbers of a field, none where it is absent."""
        found = self.fields.get(name)
        if found is None:
            return np.zeros((0, width))
        if not isinstance(found, np.ndarray) or len(found) % width:
            count = f", but {len(found)}" if isinstance(found, np.ndarray) else ""
            groups = "numbers" if width == 1 else f"groups of {width} numbers{count}"
            raise ValueError(f"{self.kind}: field '{name}' is no list of {groups}")
        return found.reshape(-1, width)

    def texts(self, name: str) -> list[str]:
        """Return the texts of a field, none where it is absent."""
        found = self.fields.get(name)
        if found is None or (isinstance(found, np.ndarray) and not len(found)):
            return []
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise ValueError(f"{self.kind}: field '{name}' is no text")
        return found

    def flag(self, name: str, default: bool) -> bool:
        """Return a field that is TRUE or FALSE."""
        found = self.fields.get(name, default)
        if not isinstance(found, bool):
            raise ValueError(f"{self.kind}: field '{name}' is neither TRUE nor FALSE")
        return found


def parse_vrml(data: bytes) -> list[Node]:
    """Parse the text of a VRML 2.0 file into the nodes of its scene.

    Raises
    ------
    ValueError
        No such text, or a place in it that cannot be read, named by its line.
    """
    if not data.startswith(b"#VRML V2.0"):
        if data[:2] == b"\x1f\x8b":
            raise ValueError("it is compressed with gzip; unpack it")
        if data.startswith(b"#VRML V1.0"):
            raise ValueError("it is VRML 1.0, VRML 2.0 is read")
        raise ValueError("it does not begin with #VRML V2.0")
    return _Parser(data).scene()


class _Parser:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._named: dict[bytes, Node] = {}
        self._count = 0

    def scene(self) -> list[Node]:
        nodes = []
        while word := self._next():
            if word == b"ROUTE":
                self._route()
                continue
            node = self._node(word, 0)
            if node is not None:
                nodes.append(node)
        return nodes

    def _next(self) -> bytes:
        """Return the next word, text or bracket; nothing at the end."""
        match = _TOKEN.match(self._data, self._at)
        assert match is not None  # every part of the pattern may be empty
        if match.lastindex is None:
            if match.end() < len(self._data):
                self._at = match.end()
                raise self._error("a text that does not end")
            return b""
        self._at = match.end()
        return match.group(match.lastindex)

    def _expected(self, what: str) -> bytes:
        word = self._next()
        if not word:
            raise self._error(f"the file ends where {what} is wanted")
        return word

    def _node(self, word: bytes, depth: int) -> Node | None:
        """Read a node whose first word was read."""
        if depth > DEEPEST:
            raise self._error(f"more than {DEEPEST} nodes within each other")
        name = b""
        if word == b"NULL":
            return None
        if word == b"USE":
            name = self._expected("a name")
            if name not in self._named:
                raise self._error(f"USE of {_shown(name)}, which is not defined before")
            return self._named[name]
        if word in (b"PROTO", b"EXTERNPROTO"):
            raise self._error(f"{word.decode()}: prototypes are not read")
        if word == b"DEF":
            name, word = self._expected("a name"), self._expected("a node")
        if not (word[:1].isalpha() or word[:1] == b"_") or self._next() != b"{":
            raise self._error(f"{_shown(word)} where a node is wanted")
        self._count += 1
        if self._count > MOST_NODES:
            raise self._error(f"more than {MOST_NODES} nodes")
        node = Node(word.decode("ascii", "replace"))
        self._fields(node, depth)
        if name:
            self._named[name] = node
        return node

    def _fields(self, node: Node, depth: int) -> None:
        while (word := self._expected("a field or }")) != b"}":
            if word == b"ROUTE":
                self._route()
            elif word in (b"eventIn", b"eventOut"):
                self._expected("a type")
                self._expected("a name")
            else:
                if word in (b"field", b"exposedField"):  # a script declares its own
                    self._expected("a type")
                    word = self._expected("a name")
                if not word[:1].isalpha() and word[:1] != b"_":
                    raise self._error(f"{_shown(word)} where a field is wanted")
                node.fields[word.decode("ascii", "replace")] = self._value(depth)

    def _route(self) -> None:
        self._expected("a route")
        if self._expected("TO") != b"TO":
            raise self._error("a route without TO")
        self._expected("a route")

    def _value(self, depth: int) -> object:
        word = self._expected("a value")
        if word == b"[":
            return self._list(depth)
        if word in (b"TRUE", b"FALSE"):
            return word == b"TRUE"
        if word[:1] == b'"':
            return [_text(word)]
        if _NUMBER_START.match(word):
            return self._plain_numbers(word)
        node = self._node(word, depth + 1)
        return None if node is None else [node]

    def _plain_numbers(self, word: bytes) -> Array:
        """Read the numbers of a field that has no brackets, until something else comes."""
        words, before = [word], self._at
        while _NUMBER_START.match(word := self._next()):
            words.append(word)
            before = self._at
        self._at = before
        return self._numbers(b" ".join(words))

    def _list(self, depth: int) -> object:
        before, word = self._at, self._expected("a value or ]")
        if word == b"]":
            return np.zeros(0)
        if _NUMBER_START.match(word):
            end = _LIST_END.match(self._data, before)
            if end is None:
                raise self._error("a list of numbers that does not end")
            inside = self._data[before : end.end() - 1]
            if b"#" in inside:
                inside = _COMMENT.sub(b" ", inside)
            numbers = self._numbers(inside.replace(b",", b" "))
            self._at = end.end()
            return numbers
        texts: list[str] = []
        nodes: list[Node] = []
        while word != b"]":
            if word[:1] == b'"':
                texts.append(_text(word))
            elif word not in (b"TRUE", b"FALSE"):
                node = self._node(word, depth + 1)
                if node is not None:
                    nodes.append(node)
            word = self._expected("a value or ]")
        return texts or nodes

    def _numbers(self, text: bytes) -> Array:
        try:
            tables = [
                np.array(words, dtype="S").astype(np.float64) for words in _batches(text) if words
            ]
        except ValueError as error:
            raise self._error(f"no list of numbers ({str(error)[:_LONGEST_WORD]})") from None
        return np.concatenate(tables) if tables else np.zeros(0)

    def _error(self, problem: str) -> ValueError:
        number = self._data.count(b"\n", 0, self._at) + 1
        return ValueError(f"line {number}: {problem}")


def _batches(text: bytes) -> Iterator[list[bytes]]:
    """Cut a list of numbers into its words, not all at once: these take ten times the memory."""
    start = 0
    while start < len(text):
        blank = _BLANK.search(text, start + _BATCH_BYTES)
        stop = blank.start() if blank else len(text)
        words = text[start:stop].split()
        # The array of words is as wide as the longest of them.
        if max(map(len, words), default=0) > _LONGEST_WORD:
            raise ValueError(f"a number of more than {_LONGEST_WORD} digits")
        yield words
        start = stop


def _text(word: bytes) -> str:
    inside = re.sub(rb"\\([\"\\])", rb"\1", word[1:-1])
    return inside.decode("utf-8", "surrogateescape")


def _shown(word: bytes) -> str:
    text = word.decode("utf-8", "replace")
    return repr(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}...")
