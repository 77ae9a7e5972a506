"""What a setting may be: said once, beside the field, as ``Annotated[type, constraint]``.

Reading a preset checks by these, the list of all settings in docs/settings.md is made from them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

LARGEST_SEED = 2**63 - 1
"""TOML's largest whole number."""


class Constraint(Protocol):
    """A condition on the value of a field, beyond its type."""

    @property
    def allowed(self) -> str:
        """What is allowed, to be read after the type's name."""
        ...

    def allows(self, value: Any) -> bool:
        """Whether a value of the field's type is allowed."""
        ...


@dataclass(frozen=True)
class Within:
    """A finite number from `low` to `high`, both of them allowed.

    above: `low` itself is not allowed.
    """

    low: float
    high: float
    above: bool = False

    @property
    def allowed(self) -> str:
        """The range."""
        if self.above:
            return f"more than {_number(self.low)} and at most {_number(self.high)}"
        return f"from {_number(self.low)} to {_number(self.high)}"

    def allows(self, value: Any) -> bool:
        """Whether a number is in the range; NaN and infinity never are."""
        reached = self.low < value if self.above else self.low <= value
        return bool(reached and value <= self.high)


@dataclass(frozen=True)
class Among:
    """One of a few whole numbers."""

    numbers: tuple[int, ...]

    @property
    def allowed(self) -> str:
        """The numbers."""
        names = [str(number) for number in self.numbers]
        return f"among {', '.join(names[:-1])} and {names[-1]}"

    def allows(self, value: Any) -> bool:
        """Whether a number is one of them."""
        return value in self.numbers


@dataclass(frozen=True)
class OneOf:
    """One of a few words.

    or_file: suffixes of file names that are allowed besides.
    """

    words: tuple[str, ...]
    or_file: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """The words."""
        names = [f'"{word}"' for word in self.words]
        if self.or_file:
            names.append(f"a file that ends in {' or '.join(self.or_file)}")
        return " or ".join([", ".join(names[:-1]), names[-1]] if names[:-1] else names)

    def allows(self, value: Any) -> bool:
        """Whether a text is one of the words, or names a file of one of the kinds."""
        is_file = bool(self.or_file) and value.endswith(self.or_file) and value.isprintable()
        return value in self.words or is_file


def one_of(*words: str, or_file: tuple[str, ...] = ()) -> OneOf:
    """Return the constraint that allows these words."""
    return OneOf(words, or_file)


@dataclass(frozen=True)
class Line:
    """A text without line breaks and other control characters.

    empty: it may be empty.
    longest: how many characters it may have.
    """

    empty: bool = False
    longest: int = 1000

    @property
    def allowed(self) -> str:
        """What the text may be."""
        return (
            f"of one line, {'' if self.empty else 'not empty, '}at most {self.longest} characters"
        )

    def allows(self, value: Any) -> bool:
        """Whether a text is such a line."""
        return (
            (self.empty or bool(value.strip()))
            and len(value) <= self.longest
            and (value.isprintable())
        )


@dataclass(frozen=True)
class FolderName:
    """A text that is the name of a folder on every system, and cannot lead out of its parent.

    longest: how many characters it may have.
    """

    longest: int = 100

    @property
    def allowed(self) -> str:
        """What the name may be."""
        return (
            f"that can name a folder: at most {self.longest} letters, digits, '.', '_', '-' and "
            "spaces, a letter, a digit or '_' first and last"
        )

    def allows(self, value: Any) -> bool:
        """Whether a text is such a name."""
        if not 0 < len(value) <= self.longest:
            return False
        inner = all(c.isalnum() or c in "._- " for c in value)
        return inner and all(c.isalnum() or c == "_" for c in (value[0], value[-1]))


@dataclass(frozen=True)
class Length:
    """A list of `low` to `high` values."""

    low: int
    high: int

    @property
    def allowed(self) -> str:
        """How many values."""
        return f"of {self.low} to {_number(self.high)} values"

    def allows(self, value: Any) -> bool:
        """Whether a list is of such a length."""
        return self.low <= len(value) <= self.high


@dataclass(frozen=True)
class Rising:
    """A list of numbers, each of which is larger than the one before."""

    allowed = "that rise"

    def allows(self, value: Any) -> bool:
        """Whether numbers rise."""
        return all(a < b for a, b in itertools.pairwise(value))


def constraints_in(metadata: Sequence[Any]) -> list[Constraint]:
    """Return the constraints among what `typing.Annotated` carries."""
    kinds = (Within, Among, OneOf, Line, FolderName, Length, Rising)
    return [item for item in metadata if isinstance(item, kinds)]


def _number(value: float) -> str:
    if value == LARGEST_SEED:
        return "2^63 - 1"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"
