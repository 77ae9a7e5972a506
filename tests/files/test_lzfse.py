"""LZFSE streams, as another encoder writes them, and damaged ones."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from fg3d_builder.files.lzfse import lzfse_decoded


def plain(data: bytes) -> bytes:
    """A stream without compression."""
    return b"bvx-" + struct.pack("<I", len(data)) + data + b"bvx$"


def depth() -> np.ndarray:
    """Metres of a wavy surface with noise, as a sensor's float32."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:192, 0:256]
    surface = 0.4 + 1e-4 * x + 0.05 * np.sin(x / 50) * np.cos(y / 40)
    return (surface + rng.normal(0, 5e-4, x.shape)).astype(np.float32)


SAMPLES = {
    "one byte": b"a",
    "noise": np.random.default_rng(1).bytes(5000),
    "zeros": bytes(196_608),
    "few zeros": bytes(3000),
    "repeated": b"abcab" * 20,
    "ramp": (np.arange(100_000) // 7 % 256).astype(np.uint8).tobytes(),
    "depth": depth().tobytes(),
    "rounded depth": depth().astype(np.float16).astype(np.float32).tobytes(),
    "confidence": np.rint(depth() * 1000).astype(np.uint8).tobytes(),
    "text": b"".join(b"%d, %d;" % (k * k % 977, k) for k in range(4000)),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_what_apples_encoder_writes_is_read(name: str) -> None:
    lzfse = pytest.importorskip("lzfse", reason="the encoder is not installed")
    packed = lzfse.compress(SAMPLES[name])
    assert lzfse_decoded(packed, len(SAMPLES[name])) == SAMPLES[name]


def test_all_kinds_of_blocks_are_among_the_samples() -> None:
    lzfse = pytest.importorskip("lzfse", reason="the encoder is not installed")
    kinds = {lzfse.compress(data)[:4] for data in SAMPLES.values()}
    assert kinds == {b"bvx-", b"bvxn", b"bvx2"}


def test_blocks_follow_each_other() -> None:
    assert lzfse_decoded(plain(b"abc")[:-4] + plain(b"defg"), 7) == b"abcdefg"
    assert lzfse_decoded(b"bvx$", 0) == b""


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "ends early"),
        (b"bvx", "ends early"),
        (b"PK\3\4" + bytes(20), "unknown kind"),
        (plain(b"abcd")[:-5], "ends early"),
        (plain(b"abcd")[:-4], "ends early"),
        (plain(b"abc"), "3 bytes in the LZFSE stream, expected 4"),
        (plain(b"abcde"), "more bytes than expected"),
        (b"bvx-" + b"\xff" * 4 + bytes(20), "more bytes than expected"),
        (b"bvxn" + struct.pack("<II", 4, 2**31) + bytes(20), "ends early"),
        # A match before anything was written.
        (b"bvxn" + struct.pack("<II", 4, 10) + b"\x08\x05" + b"\6" + bytes(7) + b"bvx$", "damaged"),
        (b"bvx2" + struct.pack("<I", 4) + bytes(24) + b"bvx$", "damaged"),
    ],
)
def test_damage_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        lzfse_decoded(data, 4)


def test_no_damaged_stream_makes_more_than_was_asked_for() -> None:
    lzfse = pytest.importorskip("lzfse", reason="the encoder is not installed")
    rng = np.random.default_rng(5)
    data = depth()[:60, :60].astype(np.float16).astype(np.float32).tobytes()
    packed = lzfse.compress(data)
    assert packed[:4] == b"bvx2"
    told = 0
    for _ in range(3000):
        changed = bytearray(packed)
        for _ in range(int(rng.integers(1, 4))):
            changed[int(rng.integers(len(changed)))] = int(rng.integers(256))
        try:
            assert len(lzfse_decoded(bytes(changed), len(data))) == len(data)
        except ValueError:
            told += 1
    assert told > 1000
