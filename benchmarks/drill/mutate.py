"""Seeded mutations of small valid files: the same for the same file, form and generator."""

from __future__ import annotations

from benchmarks.drill.mutate_bytes import (
    PLAIN,
    TEXT,
    Mutation,
    Random,
    extreme,
    flipped,
    line,
    number,
    sign,
)
from benchmarks.drill.mutate_formats import NPY, floats, glb_json, length, png_chunk
from benchmarks.drill.mutate_json import JSON

FORMS: dict[str, tuple[Mutation, ...]] = {
    "text": TEXT,
    "json": JSON,
    "npy": NPY,
    "png": (png_chunk, png_chunk, png_chunk, length),
    "picture": (length, length, extreme),
    "glb": (glb_json, glb_json, glb_json, floats, length),
    "mixed": (number, line, sign, floats, length),
    "binary": (floats, length, extreme),
}
"""What is known of a file's structure; any other form is just bytes."""


def mutated(data: bytes, form: str, rng: Random) -> bytes:
    """Return a mutation of a file's bytes; `form` names what is known of its structure."""
    kinds = [*PLAIN, *FORMS.get(form, ())] if form in FORMS else list(PLAIN)
    known = FORMS.get(form, ())
    if known and rng.random() < 0.7:
        kinds = list(known)
    changed = data
    for _ in range(1 + int(rng.integers(3)) if rng.random() < 0.3 else 1):
        try:
            changed = kinds[int(rng.integers(len(kinds)))](changed, rng)
        except Exception:  # an earlier change has taken from the file what this one relies on
            changed = flipped(changed, rng)
    return changed if changed != data else flipped(changed, rng)
