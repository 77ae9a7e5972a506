"""The review list: a CSV file in which a person accepts and rejects registrations.

::

    # a comment
    capture_id,verdict,quality,note
    anna-001,auto,0.912,
    anna-002,reject,0.634,"hand before the chin, not seen by the score"

A build adds a line for every capture that is new and keeps the quality column up to date;
everything else in the file, its order and its comments included, belongs to the person.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fg3d_builder.config.reading import nearest
from fg3d_builder.errors import ConfigError
from fg3d_builder.files.atomic import replacing

AUTO, ACCEPT, REJECT = VERDICTS = ("auto", "accept", "reject")
"""``auto`` leaves the decision to the threshold."""

COLUMNS = ("capture_id", "verdict", "quality", "note")

_HELP = "# verdict: auto (the quality threshold decides), accept or reject; the note is yours"
_CAPTURE_ID = re.compile(r"[A-Za-z0-9._-]+")
_SHOWN = 5

MOST_BYTES = 64 * 2**20
"""Of a review list: a line for each of half a million captures."""


def is_kept(verdict: str, quality: float, min_quality: float) -> bool:
    """Tell whether a registration enters the dataset; NaN is below every threshold."""
    return verdict == ACCEPT or (verdict == AUTO and quality >= min_quality)


@dataclass(frozen=True)
class ReviewEntry:
    """One line of the list.

    Attributes
    ----------
    capture_id : str
    verdict : str
        One of `VERDICTS`.
    quality : str
        As it is written; ``""`` where a person added the line before the capture was built.
    note : str
    line : int
        Index into `ReviewList.lines`.
    """

    capture_id: str
    verdict: str
    quality: str
    note: str
    line: int


@dataclass(frozen=True)
class ReviewList:
    """Content of a review list; changes give a new one.

    Attributes
    ----------
    lines : tuple of str
        All lines as they stand in the file, comments and header included.
    entries : dict of str to ReviewEntry
        By capture id, in the file's order.
    """

    lines: tuple[str, ...]
    entries: dict[str, ReviewEntry]

    @staticmethod
    def empty() -> ReviewList:
        """Return a list without captures."""
        return ReviewList((_HELP, ",".join(COLUMNS)), {})

    def with_qualities(self, qualities: Mapping[str, float]) -> ReviewList:
        """Write down the qualities of a build's captures.

        Captures that are not in the list come at its end, the worst first.
        """
        changed = {}
        for name, entry in self.entries.items():
            text = _quality_text(qualities[name]) if name in qualities else entry.quality
            if text != entry.quality:
                changed[name] = (entry.verdict, text, entry.note)
        new = sorted((q, name) for name, q in qualities.items() if name not in self.entries)
        return self._with(changed | {name: (AUTO, _quality_text(q), "") for q, name in new})

    def with_verdicts(
        self, capture_ids: Iterable[str], verdict: str, note: str | None = None
    ) -> ReviewList:
        """Give captures a verdict, and a note where there is one.

        Line breaks and other runs of white space in a note become single spaces.

        Raises
        ------
        ConfigError
            A capture is not in the list.
        """
        unknown = [name for name in capture_ids if name not in self.entries]
        if unknown:
            known = list(self.entries)
            near = list(dict.fromkeys(filter(None, (nearest(name, known) for name in unknown))))
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise ConfigError(f"not in the review list: {', '.join(unknown)}{hint}")
        old = {name: self.entries[name] for name in capture_ids}
        text = None if note is None else " ".join(note.split())
        return self._with(
            {n: (verdict, e.quality, e.note if text is None else text) for n, e in old.items()}
        )

    def without(self, capture_ids: Collection[str]) -> ReviewList:
        """Take the rows of captures out."""
        gone = {self.entries[name].line for name in capture_ids if name in self.entries}
        lines = [line for number, line in enumerate(self.lines) if number not in gone]
        return parse_review_list("\n".join(lines), "review list")

    def _with(self, changed: Mapping[str, tuple[str, str, str]]) -> ReviewList:
        lines, entries = list(self.lines), dict(self.entries)
        for name, (verdict, quality, note) in changed.items():
            if name not in entries:
                lines.append("")
            line = entries[name].line if name in entries else len(lines) - 1
            lines[line] = _row_text((name, verdict, quality, note))
            entries[name] = ReviewEntry(name, verdict, quality, note, line)
        return ReviewList(tuple(lines), entries)


def parse_review_list(text: str, where: str) -> ReviewList:
    """Read the text of a review list.

    Raises
    ------
    ConfigError
        Names `where` and the number of each malformed line.
    """
    lines = tuple(line.removesuffix("\r") for line in text.removesuffix("\n").split("\n"))
    entries: dict[str, ReviewEntry] = {}
    problems: list[str] = []
    headed = False
    for index, line in enumerate(lines):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            if not headed:
                headed = _check_header(line)
                continue
            entry = _entry(line, index)
            if entry.capture_id in entries:
                first = entries[entry.capture_id].line + 1
                raise ValueError(f"capture '{entry.capture_id}' is in line {first} already")
            entries[entry.capture_id] = entry
        except (ValueError, csv.Error) as error:
            problems.append(f"{where}:{index + 1}: {error}")
    if problems:
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise ConfigError("\n".join([*problems[:_SHOWN], *more]))
    if not headed:  # empty, or nothing but comments
        kept = tuple(line for line in lines if line.strip())
        return ReviewList((*kept, *ReviewList.empty().lines), {})
    return ReviewList(lines, entries)


def read_review_list(path: Path) -> ReviewList:
    """Read a review list; one that is not there is empty.

    Raises
    ------
    ConfigError
        Not UTF-8, or malformed lines.
    """
    data = _bytes(path)
    return ReviewList.empty() if data is None else _parsed(data, path)


def update_review_list(path: Path, change: Callable[[ReviewList], ReviewList]) -> ReviewList:
    """Change a review list on disk and return it; the file is replaced whole or not at all.

    Where somebody saves the file meanwhile, the change is made again to what they saved. A
    byte order mark and the kind of line ends stay as they were.
    """
    while True:
        before = _bytes(path)
        new = change(ReviewList.empty() if before is None else _parsed(before, path))
        data = _encoded(new, before or b"")
        if data == before:
            return new
        try:
            with replacing(path) as temporary:
                temporary.write_bytes(data)
                if _bytes(path) != before:
                    raise _ChangedMeanwhileError
        except _ChangedMeanwhileError:
            continue
        return new


class _ChangedMeanwhileError(Exception):
    pass


def _check_header(line: str) -> bool:
    if tuple(cell.strip() for cell in _cells(line)) != COLUMNS:
        raise ValueError(f"the first line has to be {','.join(COLUMNS)}")
    return True


def _entry(line: str, index: int) -> ReviewEntry:
    cells = [cell.strip() for cell in _cells(line)]
    if len(cells) > len(COLUMNS):
        raise ValueError("more than four fields; a note with a comma needs double quotes")
    name, verdict, quality, note = cells + [""] * (len(COLUMNS) - len(cells))
    if not _CAPTURE_ID.fullmatch(name):
        raise ValueError(f"'{name}' is no capture id")
    if verdict.lower() not in VERDICTS:
        raise ValueError(f"verdict '{verdict}'; known are {', '.join(VERDICTS)}")
    if quality and not 0.0 <= float(quality) <= 1.0:
        raise ValueError(f"quality {quality} is not between 0 and 1")
    return ReviewEntry(name, verdict.lower(), quality, note, index)


def _cells(line: str) -> list[str]:
    return next(csv.reader([line], strict=True))


def _row_text(cells: tuple[str, ...]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()


def _quality_text(quality: float) -> str:
    return f"{quality:.3f}"


def _bytes(path: Path) -> bytes | None:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ConfigError(f"{path}: larger than {MOST_BYTES >> 20} MB, no review list is")
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _parsed(data: bytes, path: Path) -> ReviewList:
    try:
        return parse_review_list(data.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text: {error}") from None


def _encoded(content: ReviewList, before: bytes) -> bytes:
    """Return a list's bytes, with byte order mark and line ends of what it replaces."""
    end = "\r\n" if b"\r\n" in before else "\n"
    mark = codecs.BOM_UTF8 if before.startswith(codecs.BOM_UTF8) else b""
    return mark + "".join(line + end for line in content.lines).encode()
