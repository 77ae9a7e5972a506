"""Pickles are read, and nothing in them is run."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import struct
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from fg3d_builder.files import inert_pickle as module
from fg3d_builder.files.inert_numpy import Inert
from fg3d_builder.files.inert_pickle import inert_pickle, read_inert_pickle


def thing() -> dict[Any, Any]:
    """One of everything that models hold."""
    numbers = np.arange(24.0).reshape(2, 3, 4)
    return {
        "double": numbers,
        "single": numbers.astype("<f4"),
        "big endian": numbers.astype(">i4"),
        "fortran": np.asfortranarray(numbers),
        "cut": numbers[:, ::2],
        "bool": numbers > 5,
        "byte": numbers.astype(np.uint8),
        "text": np.array(["jaw", "brow"]),
        "none": np.zeros((0, 3)),
        "zero axes": np.array(4.5),
        "objects": np.array([1, "a", None, numbers], dtype=object),
        "scalar": np.float32(0.1),
        "plain": [1, -70000, 2**40, 2**70, 2.5, "ä\u2028", b"\xff\x00", b"", True, None, ()],
        "nested": [[(1,), {"a": [2, (3, 4, 5, 6)]}]],
        7: "a number's",
    }


def same(found: Any, wanted: Any) -> bool:
    """Whether both are the same, to the bit and the type."""
    if isinstance(wanted, np.ndarray):
        if wanted.dtype.hasobject:
            return found.shape == wanted.shape and all(map(same, found.flat, wanted.flat))
        # NumPy turns bytes to the machine's order when it fills an array.
        native = wanted.dtype.newbyteorder("=")
        plain = isinstance(found, np.ndarray) and found.dtype.newbyteorder("=") == native
        return plain and found.shape == wanted.shape and bool((found == wanted).all())
    if isinstance(wanted, dict):
        return list(found) == list(wanted) and all(same(found[k], v) for k, v in wanted.items())
    if isinstance(wanted, (list, tuple)):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    return type(found) is type(wanted) and bool(found == wanted)


@pytest.mark.parametrize("protocol", range(6))
def test_everything_plain_comes_back(tmp_path: Path, protocol: int) -> None:
    file = tmp_path / "model.pkl"
    file.write_bytes(pickle.dumps(thing(), protocol))
    assert same(read_inert_pickle(file, 10**6), thing())


@pytest.mark.parametrize("protocol", range(6))
def test_other_objects_become_records(protocol: int) -> None:
    matrix = sp.csc_matrix(np.arange(12.0).reshape(3, 4))
    data = pickle.dumps([matrix, OrderedDict(a=1), Path, {1, 2}], protocol)
    found, table, kind, numbers = inert_pickle(data, "file")
    assert isinstance(found, Inert)
    assert found.name == "csc_matrix"
    assert found.module.startswith("scipy.sparse")
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(found.attribute(name), getattr(matrix, name))
    assert found.attribute("nothing") is None
    assert (table.module, table.name, table.items) == ("collections", "OrderedDict", [("a", 1)])
    assert (kind.name, kind.arguments, kind.state) == ("Path", (), None)
    assert numbers.name == "set"
    assert [*numbers.items, *(n for part in numbers.arguments for n in part)] == [1, 2]


class PythonTwo:
    """Writes what Python 2 wrote in protocol 2: texts of bytes, and types by its own names."""

    def __init__(self) -> None:
        self.data = bytearray(b"\x80\x02")

    def text(self, content: bytes) -> PythonTwo:
        short = len(content) < 256
        self.data += (
            (b"U" + bytes([len(content)])) if short else b"T" + struct.pack("<i", len(content))
        )
        self.data += content
        return self

    def array(self, array: np.ndarray) -> PythonTwo:
        self.data += b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
        self.text(b"b")
        self.data += b"\x87R(K\x01("
        for length in array.shape:
            self.data += b"M" + struct.pack("<H", length)
        self.data += b"tcnumpy\ndtype\n"
        self.text(array.dtype.str[1:].encode())
        self.data += b"K\x00K\x01\x87R(K\x03"
        self.text(array.dtype.str[:1].encode())
        self.data += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        self.text(array.tobytes())
        self.data += b"tb"
        return self


def test_pickles_of_python_2() -> None:
    numbers = np.random.default_rng(3).normal(size=(9, 5))
    writer = PythonTwo()
    writer.data += b"}q\x00("
    writer.text(b"weights").array(numbers).text(b"f").array(np.arange(6, dtype="<u4"))
    writer.text(b"name").text("größe".encode("latin-1"))
    writer.data += b"u."
    pickletools.dis(bytes(writer.data), io.StringIO())  # the standard library finds no fault in it
    found = inert_pickle(bytes(writer.data), "file")
    np.testing.assert_array_equal(found["weights"], numbers)
    np.testing.assert_array_equal(found["f"], np.arange(6, dtype=np.uint32))
    assert found["name"] == "größe"


def call(module_name: str, name: str, *arguments: bytes) -> bytes:
    """A pickle that calls a function; arguments are instructions themselves."""
    return b"\x80\x02c" + f"{module_name}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"tR."


def short_text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that exists once anything was run; a module that writes it when it is imported."""
    sprung = tmp_path / "sprung"
    (tmp_path / "trap_module.py").write_text(f"open({str(sprung)!r}, 'w')\ndef f(*a): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(os, "system", lambda command: sprung.write_text(command))
    return sprung


def hostile(sprung: Path) -> list[bytes]:
    """Pickles that would write a file if any of them was run."""
    command = f"open({str(sprung)!r}, 'w')"
    code, touch = short_text(command), short_text(f"touch {sprung}")
    opened = short_text(str(sprung)) + short_text("w")
    made = b"ctrap_module\nf\n"
    array = pickle.dumps(np.arange(3.0), 2)
    return [
        call("os", "system", touch),
        call("posix", "system", touch),
        call("nt", "system", touch),
        call("subprocess", "getoutput", touch),
        call("builtins", "eval", code),
        call("__builtin__", "eval", code),
        call("builtins", "exec", code),
        call("builtins", "open", opened),
        call("builtins", "getattr", b"cos\nopen\n" + short_text("x")),
        call("trap_module", "f"),
        call("importlib", "import_module", short_text("trap_module")),
        b"\x80\x02" + made + b".",
        # copyreg's helpers with something else than a class
        call("copyreg", "_reconstructor", made, b"c__builtin__\nobject\n", b"N"),
        call("copy_reg", "__newobj__", made, code),
        call("copyreg", "add_extension", short_text("os"), short_text("system"), b"K\x01"),
        call("copyreg", "__newobj__", b"cos\nsystem\n", touch),
        # objects, and what is called when they are filled
        b"\x80\x02" + made + b")\x81}" + short_text("a") + b"K\x01sb.",
        b"\x80\x02" + made + b")\x81K\x01b.",
        b"\x80\x04" + short_text("os") + short_text("system") + b"\x93" + touch + b"\x85R.",
        b"(" + touch + b"ios\nsystem\n.",
        b"(cos\nsystem\n" + touch + b"o.",
        b"\x80\x04cos\nsystem\n(" + touch + b"t}\x92.",
        # functions of NumPy that are not its reconstruction
        call("numpy", "fromfile", short_text(str(sprung))),
        call("numpy", "save", short_text(str(sprung)), b"K\x01"),
        call("numpy", "load", short_text(str(sprung))),
        call("numpy.testing", "runstring", code, b"}"),
        call("numpy.testing._private.utils", "runstring", code, b"}"),
        call("numpy.core.multiarray", "fromfile", short_text(str(sprung))),
        call("numpy.core.multiarray", "_reconstruct", made, b"K\x00\x85", short_text("b")),
        call("numpy._core.multiarray", "eval", code),
        # a name that goes through an allowed module
        call("numpy.core.multiarray", "_reconstruct.__globals__", code),
        array.replace(b"numpy\nndarray", b"trap_module\nf"),
        array.replace(b"numpy\ndtype", b"trap_module\nf"),
        call("_codecs", "encode", code, short_text("trap_module")),
    ]


@pytest.mark.parametrize("number", range(34))
def test_hostile_pickles_run_nothing(trap: Path, number: int) -> None:
    assert len(hostile(trap)) == 34
    before = set(sys.modules)
    message = ""
    try:
        assert isinstance(inert_pickle(hostile(trap)[number], "file"), Inert)
    except ValueError as error:
        message = str(error)
    assert not message or message.startswith("file: ")
    assert "\n" not in message
    assert not trap.exists()
    assert set(sys.modules) == before


def array_state(shape: bytes, dtype: str, content: bytes) -> bytes:
    """A pickle of an array with a state of one's own."""
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85K\x00\x87R"
        b"(K\x01" + shape + b"cnumpy\ndtype\n" + short_text(dtype) + b"\x89\x88\x87R"
        b"\x89" + content + b"tb."
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "ends 1 bytes early"),
        (b"\x80\x02K", "ends 1 bytes early"),
        (b"\x80\x07.", "protocol 7"),
        (b"hello", "nothing is remembered"),
        (b"\x80\x02.", "more from the stack"),
        (b"\x80\x02K\x01\xff.", "is unknown"),
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "times its size"),
        (b"\x80\x02T\xff\xff\xff\xffabc.", "-1 bytes"),
        (b"\x80\x04\x8e" + b"\xff" * 8 + b".", "times its size"),
        (b"\x80\x02\x8b\x00\x10\x00\x00" + b"\x7f" * 4096 + b".", "an integer of 4096 bytes"),
        (b"I" + b"9" * 5000 + b"\n.", "5000 digits"),
        (b"I12", "line without an end"),
        (b"Ix\n.", "invalid literal"),
        (b"S'a\n.", "without its quotes"),
        (b"\x80\x02)R.", "stack"),
        (b"\x80\x02K\x01)R.", "makes an object of int"),
        (b"\x80\x02cos\nsystem\nK\x01R.", "no tuple"),
        (b"\x80\x02t.", "no mark"),
        (b"\x80\x02(K\x01u.", "key too many"),
        (b"\x80\x02}](K\x01\x85u.", "key too many"),
        (b"\x80\x02}K\x01\x85K\x01s.", "key of type tuple"),
        (b"\x80\x02}]K\x01s.", "key of type list"),
        (b"\x80\x02Pa\n.", "not in the file"),
        (b"\x80\x02K\x01Q.", "not in the file"),
        (b"\x80\x02\x82\x01.", "not in the file"),
        (b"\x80\x02]q\x00h\x00a.", "part of itself"),
        (b"\x80\x02]q\x00]h\x00ah\x00K\x01a.", "after it was put to use"),
        (b"\x80\x02}q\x00\x85h\x00K\x01K\x02s.", "after it was put to use"),
        (b"\x80\x02" + b"N" + b"\x85" * 101 + b".", "more than 100 deep"),
        (b"\x80\x02" + b"]" * 300 + b"a" * 299 + b".", "more than 100 deep"),
        (
            b"\x80\x02N" + b"q\x00ccopy_reg\n__newobj__\ncm\nn\nh\x00\x86R" * 101 + b".",
            "more than 100 deep",
        ),
        (array_state(b"K\x03\x85", "f8", short_text("a" * 16)), "3 elements of 8 bytes"),
        (array_state(b"K\x02\x85", "O8", b"]"), "2 objects without them"),
        (array_state(b"K\x02\x85", "O8", short_text("a" * 16)), "objects without them"),
        (array_state(b"K\x02\x85", "V8", short_text("a" * 16)), "elements of type 'V8'"),
        (array_state(b"K\x02\x85", "U0", short_text("")), "without a size"),
        (array_state(b"K\x02\x85", "f3", short_text("a" * 6)), "elements of type 'f3'"),
        (array_state(b"J\xff\xff\xff\xff\x85", "f8", short_text("")), "length that is none"),
        (array_state(b"J\xff\xff\xff\x7f\x85", "f8", short_text("a" * 8)), "2147483647 elements"),
        (
            array_state(b"(" + b"J\xff\xff\xff\x7f" * 3 + b"K\x00t", "f8", short_text("")),
            "length that is none",
        ),
        (array_state(b"K\x01", "f8", short_text("a" * 8)), "without a shape"),
        (array_state(b"K\x01\x85", "f8", b"N"), "without its bytes"),
        (array_state(b"K\x01\x85", "f8", short_text("\u2028" * 3)), "latin-1"),
    ],
)
def test_what_is_damaged_is_refused_in_one_line(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        inert_pickle(data, "model.pkl")
    assert str(caught.value).startswith("model.pkl: no pickle, or a damaged one (byte ")
    assert "\n" not in str(caught.value)


def test_every_cut_is_refused() -> None:
    data = pickle.dumps(thing(), 2)
    for length in range(len(data)):
        with pytest.raises(ValueError, match="file: no pickle"):
            inert_pickle(data[:length], "file")


def test_bombs(monkeypatch: pytest.MonkeyPatch) -> None:
    # A text that is turned to bytes again and again, and all of them kept.
    big = b"\x80\x02X" + struct.pack("<I", 10**6) + b"a" * 10**6 + b"q\x000]"
    once = b"c_codecs\nencode\nh\x00" + short_text("latin1") + b"\x86Ra"
    with pytest.raises(ValueError, match="times its size"):
        inert_pickle(big + once * 20 + b".", "file")
    # A memo's number is no length of a table.
    assert inert_pickle(b"\x80\x02K\x07r\xff\xff\xff\xff.", "file") == 7
    monkeypatch.setattr(module, "MAX_STEPS", 1000)
    with pytest.raises(ValueError, match="more than 1000 instructions"):
        inert_pickle(b"\x80\x02" + b"]" * 2000 + b".", "file")


def test_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.pkl: file not found"):
        read_inert_pickle(tmp_path / "gone.pkl", 100)
    file = tmp_path / "large.pkl"
    file.write_bytes(bytes(2_000_000))
    with pytest.raises(ValueError, match=r"large\.pkl: 2 MB, at most 1 MB are read"):
        read_inert_pickle(file, 1_000_000)
    with pytest.raises(ValueError, match="is a folder"):
        read_inert_pickle(tmp_path, 100)
