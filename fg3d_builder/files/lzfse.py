"""Apple's LZFSE compression: reading it, within bounds that the caller states.

A stream is a row of blocks, each with a magic number and the number of bytes that it makes:
``bvx-`` (bytes as they are), ``bvxn`` (LZVN: operations in bytes), ``bvx2`` (LZFSE: literals and
triples of literal length, match length and distance, by finite state entropy), ``bvx$`` (end).
``bvx1``, which has uncompressed tables, is written by no known encoder and not read.

The published decoder's bindings grow their memory by what a stream makes, and some damaged streams
keep them busy for ever. Here nothing is written beyond the size that is expected.
"""

from __future__ import annotations

import numba
import numpy as np

from fg3d_builder.records import Array

_END, _PLAIN, _LZVN, _LZFSE = (
    int.from_bytes(magic, "little") for magic in (b"bvx$", b"bvx-", b"bvxn", b"bvx2")
)
_MOST_LITERALS, _MOST_MATCHES = 40_000, 10_000
_HEADER = 32
"""Bytes of a ``bvx2`` header before its tables of frequencies."""

_LENGTH_STATES, _DISTANCE_STATES, _LITERAL_STATES = 64, 256, 1024
_SYMBOLS = (20, 20, 64, 256)


def _values(bits: list[int], first: int = 0) -> tuple[Array, Array]:
    """Extra bits of symbols, and the first value of each: they follow each other without gaps."""
    sizes = 1 << np.array(bits, dtype=np.int64)
    return np.array(bits, dtype=np.int64), first + np.cumsum(sizes) - sizes


_L_BITS, _L_BASE = _values([0] * 16 + [2, 3, 5, 8])
_M_BITS, _M_BASE = _values([0] * 16 + [3, 5, 8, 11])
_D_BITS, _D_BASE = _values([n for n in range(16) for _ in range(4)])
_NO_BITS = np.zeros(256, dtype=np.int64)
_BYTES = np.arange(256)

_PROBLEMS = {
    -1: "it ends early",
    -2: "an unknown kind of block",
    -3: "more bytes than expected",
    -4: "a damaged block",
}


def lzfse_decoded(data: bytes, size: int) -> bytes:
    """Decompress a stream of which the decompressed size is known.

    Parameters
    ----------
    data : bytes
    size : int
        Bytes that it must make.

    Raises
    ------
    ValueError
        It is no LZFSE stream, is damaged, or makes more or fewer bytes.
    """
    out = np.empty(size, dtype=np.uint8)
    made = _decoded(np.frombuffer(data, dtype=np.uint8), out)
    if made < 0:
        raise ValueError(f"no LZFSE stream, or a damaged one: {_PROBLEMS[int(made)]}")
    if made != size:
        raise ValueError(f"{made} bytes in the LZFSE stream, expected {size}")
    return out.tobytes()


@numba.njit(cache=True)
def _number(data, at, count):  # type: ignore[no-untyped-def]
    """Little-endian number of `count` bytes."""
    value = np.int64(0)
    for k in range(count):
        value |= np.int64(data[at + k]) << (8 * k)
    return value


@numba.njit(cache=True)
def _bits(data, start, at, count):  # type: ignore[no-untyped-def]
    """Number of `count` bits, at most 32, from bit `at` after byte `start`."""
    first, last = start + (at >> 3), start + ((at + count + 7) >> 3)
    return (_number(data, first, last - first) >> (at & 7)) & ((np.int64(1) << count) - 1)


@numba.njit(cache=True)
def _decoded(data, out):  # type: ignore[no-untyped-def]
    """Fill `out`; return how many bytes were made, or a negative number of `_PROBLEMS`."""
    at = made = 0
    while True:
        if at + 4 > len(data):
            return -1
        magic = _number(data, at, 4)
        if magic == _END:
            return made
        if magic != _PLAIN and magic != _LZVN and magic != _LZFSE:
            return -2
        if at + 12 > len(data):
            return -1
        raw = _number(data, at + 4, 4)
        if made + raw > len(out):
            return -3
        if magic == _PLAIN:
            if at + 8 + raw > len(data):
                return -1
            out[made : made + raw] = data[at + 8 : at + 8 + raw]
            used = 8 + raw
        elif magic == _LZVN:
            payload = _number(data, at + 8, 4)
            used = 12 + payload
            if at + used > len(data):
                return -1
            if not _lzvn(data[at + 12 : at + used], out, made, raw):
                return -4
        else:
            used = _lzfse(data, at, out, made, raw)
            if used < 0:
                return used
        at += used
        made += raw


@numba.njit(cache=True)
def _copied(data, at, count, out, made, end):  # type: ignore[no-untyped-def]
    """Copy literals; False where either side is too short."""
    if at + count > len(data) or made + count > end:
        return False
    for k in range(count):
        out[made + k] = data[at + k]
    return True


@numba.njit(cache=True)
def _repeated(distance, count, out, made, end):  # type: ignore[no-untyped-def]
    """Copy a match, which may overlap itself; False where it reaches out of what is there."""
    if distance < 1 or distance > made or made + count > end:
        return False
    for k in range(made, made + count):
        out[k] = out[k - distance]
    return True


@numba.njit(cache=True)
def _lzvn(data, out, made, raw):  # type: ignore[no-untyped-def]
    """Run the operations of an LZVN block; False where they do not make `raw` bytes."""
    at, end, distance = 0, made + raw, 0
    while at < len(data):
        code = _number(data, at, 1)
        low, high = code & 7, code >> 4
        literals, match, size = code >> 6, ((code >> 3) & 7) + 3, 1
        following = _number(data, at + 1, min(2, len(data) - at - 1))
        if high == 14:  # literals alone
            literals, match = code & 15, 0
            if literals == 0:
                literals, size = (following & 255) + 16, 2
        elif high == 15:  # a match alone
            literals, match = 0, code & 15
            if match == 0:
                match, size = (following & 255) + 16, 2
        elif high == 7 or high == 13:
            return False
        elif high == 10 or high == 11:
            literals, match = (code >> 3) & 3, ((low << 2) | (following & 3)) + 3
            distance, size = following >> 2, 3
        elif low == 7:
            distance, size = following, 3
        elif low < 6:
            distance, size = (low << 8) | (following & 255), 2
        elif code == 6:  # the end, eight bytes long
            return at + 8 == len(data) and made == end
        elif code == 14 or code == 22:
            literals = match = 0
        elif code < 64:
            return False
        at += size
        if not _copied(data, at, literals, out, made, end):
            return False
        at += literals
        made += literals
        if match > 0 and not _repeated(distance, match, out, made, end):
            return False
        made += match
    return False


@numba.njit(cache=True)
def _frequencies(data, start, size, found):  # type: ignore[no-untyped-def]
    """Read the frequencies of all symbols, of 2 to 14 bits each; False where they do not fit."""
    at, total = 0, 8 * size
    if size == 0:
        return True
    for n in range(len(found)):
        code = _bits(data, start, at, min(14, total - at))
        if code & 1 == 0:
            found[n], length = (code >> 1) & 1, 2
        elif code & 2 == 0:
            found[n], length = 2 + ((code >> 2) & 1), 3
        elif code & 4 == 0:
            found[n], length = 4 + ((code >> 3) & 3), 5
        elif code & 8 == 0:
            found[n], length = 8 + ((code >> 4) & 15), 8
        else:
            found[n], length = 24 + ((code >> 4) & 1023), 14
        at += length
        if at > total:
            return False
    return total - at < 8


@numba.njit(cache=True)
def _table(frequencies, states, extra, base):  # type: ignore[no-untyped-def]
    """Return (states, 4) for decoding: first value, bits of it, bits of the next state, its offset.

    Bits are -1 for states that the frequencies leave open; the table is empty where they take
    more states than there are.
    """
    table = np.full((states, 4), -1, dtype=np.int64)
    state = 0
    for symbol in range(len(frequencies)):
        count = frequencies[symbol]
        if count == 0:
            continue
        if state + count > states:
            return table[:0]
        shift = 0
        while count << shift < states:
            shift += 1
        long = ((2 * states) >> shift) - count
        for j in range(count):
            table[state, 0], table[state, 1] = base[symbol], extra[symbol]
            if j < long:
                table[state, 2], table[state, 3] = shift, ((count + j) << shift) - states
            else:
                table[state, 2], table[state, 3] = shift - 1, (j - long) << (shift - 1)
            state += 1
    return table


@numba.njit(cache=True)
def _symbol(table, state, data, start, at):  # type: ignore[no-untyped-def]
    """Return value, next state and where the bits before it end; -1 there where there are none."""
    base, extra, shift, offset = table[state]
    before = at - max(shift, 0) - extra
    if shift < 0 or before < 0:
        return np.int64(0), np.int64(0), np.int64(-1)
    code = _bits(data, start, before, shift + extra)
    return base + (code & ((np.int64(1) << extra) - 1)), offset + (code >> extra), before


@numba.njit(cache=True)
def _lzfse(data, begin, out, made, raw):  # type: ignore[no-untyped-def]
    """Decode an LZFSE block; return its length, or a negative number of `_PROBLEMS`."""
    if begin + _HEADER > len(data):
        return -1
    counts, first, last = begin + 8, begin + 16, begin + 24
    literal_count = _bits(data, counts, 0, 20)
    literal_bytes = _bits(data, counts, 20, 20)
    matches = _bits(data, counts, 40, 20)
    literal_end = 8 * literal_bytes + _bits(data, counts, 60, 3) - 7
    match_bytes = _bits(data, first, 40, 20)
    at = 8 * match_bytes + _bits(data, first, 60, 3) - 7
    header = _number(data, last, 4)
    size = header + literal_bytes + match_bytes
    if header < _HEADER:
        return -4
    if begin + size > len(data):
        return -1
    if literal_count > _MOST_LITERALS or literal_count % 4 or matches > _MOST_MATCHES:
        return -4
    frequencies = np.zeros(360, dtype=np.int64)
    if not _frequencies(data, begin + _HEADER, header - _HEADER, frequencies):
        return -4
    l_table = _table(frequencies[:20], _LENGTH_STATES, _L_BITS, _L_BASE)
    m_table = _table(frequencies[20:40], _LENGTH_STATES, _M_BITS, _M_BASE)
    d_table = _table(frequencies[40:104], _DISTANCE_STATES, _D_BITS, _D_BASE)
    table = _table(frequencies[104:], _LITERAL_STATES, _NO_BITS, _BYTES)
    if min(len(l_table), len(m_table), len(d_table), len(table)) == 0:
        return -4
    literals = np.empty(literal_count, dtype=np.uint8)
    states = np.array([_bits(data, first, 10 * k, 10) for k in range(4)])
    for n in range(literal_count):
        literals[n], states[n & 3], literal_end = _symbol(
            table, states[n & 3], data, begin + header, literal_end
        )
        if literal_end < 0:
            return -4
    l_state, m_state, d_state = (
        _bits(data, last, 32, 10),
        _bits(data, last, 42, 10),
        _bits(data, last, 52, 10),
    )
    if l_state >= _LENGTH_STATES or m_state >= _LENGTH_STATES or d_state >= _DISTANCE_STATES:
        return -4
    start, end, used, distance = begin + header + literal_bytes, made + raw, 0, np.int64(0)
    for _ in range(matches):
        count, l_state, at = _symbol(l_table, l_state, data, start, at)
        if at < 0:
            return -4
        match, m_state, at = _symbol(m_table, m_state, data, start, at)
        if at < 0:
            return -4
        new_distance, d_state, at = _symbol(d_table, d_state, data, start, at)
        if at < 0:
            return -4
        distance = new_distance if new_distance else distance
        if not _copied(literals, used, count, out, made, end):
            return -4
        used += count
        made += count
        if match > 0 and not _repeated(distance, match, out, made, end):
            return -4
        made += match
    return size if made == end else -4
