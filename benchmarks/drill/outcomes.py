"""What became of one disturbance: one classifier for all kinds of the drill, and its counts."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

TRACEBACK = "Traceback (most recent call last)"
FAULT = re.compile(r"^.*(a fault of fg3d|details in .*errors\.log).*$", re.MULTILINE)
"""Said of errors that nobody expected: their traceback is in a file, and they are no better."""

_SECONDS_BETWEEN_LINES = 20.0


class Outcome(str, Enum):
    """How a disturbance ended; everything but `RIGHT` is a finding."""

    RIGHT = "right"
    SILENT = "silent"
    """Something wrong was believed, or lost, and nobody said so."""
    TRACEBACK = "traceback"
    """A person saw a traceback, or a reader raised what it does not document."""
    BLOCKED = "blocked"
    """The same command does not get past it, or did not come back."""
    STATUS = "wrong exit status"
    UNCLEAR = "unclear words"
    """What was said does not name the file, or not what to do."""


@dataclass(frozen=True)
class Ended:
    """A command that has come to its end.

    Attributes
    ----------
    status : int or None
        Exit status, negative for a signal; None where it had to be killed after its time limit.
    text : str
        All that it printed.
    seconds : float
    """

    status: int | None
    text: str
    seconds: float

    @property
    def last_lines(self) -> str:
        """The end of what it printed, for a finding."""
        lines = [line for line in self.text.splitlines() if line.strip()]
        return "\n".join(lines[-6:])[-900:]


@dataclass
class Finding:
    """Disturbances of one kind that ended in the same wrong way.

    Attributes
    ----------
    kind, part : str
        Of the drill, such as ``"damage"``, and within it, such as ``"plan, cut short"``.
    outcome : str
    what : str
        What happened: exception, place, or the last lines of the command.
    reproduction : str
        The first case.
    count : int
    """

    kind: str
    part: str
    outcome: str
    what: str
    reproduction: str
    count: int = 1


@dataclass
class Tally:
    """Counts of outcomes by kind and part, and the findings."""

    counts: dict[str, dict[str, Counter[str]]] = field(default_factory=dict)
    findings: dict[tuple[str, str, str, str], Finding] = field(default_factory=dict)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    _printed: float = 0.0

    def add(
        self,
        kind: str,
        part: str,
        outcome: Outcome,
        what: str = "",
        reproduction: str = "",
        *,
        under: str = "",
    ) -> None:
        """Count one disturbance; `under` is what findings of one sort have in common."""
        counter = self.counts.setdefault(kind, {}).setdefault(part, Counter())
        counter["tried"] += 1
        counter[outcome.value] += 1
        if outcome is not Outcome.RIGHT:
            key = (kind, part, outcome.value, under or _stripped(what))
            if key in self.findings:
                self.findings[key].count += 1
            else:
                self.findings[key] = Finding(kind, part, outcome.value, what, reproduction)
                print(f"  finding: {kind}, {part}: {outcome.value}: {_first(what)}", flush=True)
        if time.monotonic() - self._printed > _SECONDS_BETWEEN_LINES:
            self._printed = time.monotonic()
            print(f"  {kind}: {self.line(kind)}", flush=True)

    def note(self, kind: str, **figures: Any) -> None:
        """Keep figures that are no outcome, such as the seconds that a kind took."""
        self.notes.setdefault(kind, {}).update(figures)

    def total(self, kind: str) -> Counter[str]:
        """Return the counts of all parts of a kind."""
        return sum(self.counts.get(kind, {}).values(), Counter())

    def line(self, kind: str) -> str:
        """Return the counts of a kind as text."""
        total = self.total(kind)
        wrong = [f"{total[o.value]} {o.value}" for o in Outcome if total[o.value]]
        return f"{total['tried']} tried: {', '.join(wrong)}"

    def table(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        kinds = {
            kind: {
                **{name: int(self.total(kind)[name]) for name in NAMES},
                "parts": {part: dict(counter) for part, counter in sorted(parts.items())},
                **self.notes.get(kind, {}),
            }
            for kind, parts in self.counts.items()
        }
        return {"kinds": kinds, "findings": [asdict(f) for f in self.findings.values()]}


NAMES = ("tried", *(outcome.value for outcome in Outcome))


def judged_words(ended: Ended, must_name: Mapping[str, str] | None = None) -> tuple[Outcome, str]:
    """Judge what a command that could not do its work has printed.

    Parameters
    ----------
    ended : Ended
    must_name : mapping, optional
        Regular expressions that have to be found in the text, by what they stand for.
    """
    if ended.status is None:
        return Outcome.BLOCKED, f"no end after {ended.seconds:.0f} s: {ended.last_lines}"
    if TRACEBACK in ended.text:
        return Outcome.TRACEBACK, last_error(ended.text)
    if fault := FAULT.search(ended.text):
        return Outcome.TRACEBACK, fault[0][-600:]
    for what, pattern in (must_name or {}).items():
        if not re.search(pattern, ended.text):
            return Outcome.UNCLEAR, f"{what} is not named: {ended.last_lines}"
    return Outcome.RIGHT, ""


def last_error(text: str) -> str:
    """Return place and message of the first traceback in a text, without what varies."""
    lines = text[text.index(TRACEBACK) :].splitlines()
    places = [line.strip() for line in lines if line.strip().startswith("File ")]
    end = next((x for x in lines[1:] if x and not x.startswith(" ") and TRACEBACK not in x), "")
    return f"{places[-1] if places else ''}: {end[:300]}"


def _stripped(text: str) -> str:
    """Drop numbers, digests and times, which differ from case to case."""
    return re.sub(r"[0-9a-f]{6,}|\d+", "#", text)[:160]


def _first(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:200]


def fail(message: str) -> None:
    """End the drill itself: its own world is not as it should be."""
    print(f"drill: {message}", file=sys.stderr)
    raise SystemExit(2)
