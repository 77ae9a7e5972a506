"""Which subjects are kept for the test."""

from __future__ import annotations

import hashlib


def split_of(subject_id: str, test_fraction: float, salt: str) -> str:
    """Return ``"test"`` or ``"train"``, from nothing but the subject's name.

    A hash of salt and name, read as a number in [0, 1), is compared with `test_fraction`.
    So adding or removing subjects moves nobody, and a larger fraction only moves subjects
    from train to test.
    """
    name = hashlib.sha256(f"{salt}:{subject_id}".encode()).digest()
    return "test" if int.from_bytes(name[:8], "big") / 2**64 < test_fraction else "train"
