"""Which unit a source's files really have, where all of its faces say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fg3d_builder.captures.folder import rewrite_depth_unit
from fg3d_builder.captures.inspection import Inspected
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import ConfigError, WrongUnitError
from fg3d_builder.landmarks.face_size import (
    DECIMAL_UNITS_MM,
    FACE_WIDTH_MM,
    LARGEST,
    NEAR_UNIT,
    OTHER_UNITS_MM,
    SMALLEST,
    rounded,
    unit_in_words,
)

_KNOWN = DECIMAL_UNITS_MM + OTHER_UNITS_MM

_MEASURED = "unit_mm = 0 measures each scan by the distance of its eyes, to some 5 %"
_SEPARATE = (
    f"{_MEASURED}; where that is not enough, give the scans of each unit a [[sources]] table of "
    "their own, by `include`"
)
"""What helps where no unit is right for all scans of a source."""


@dataclass(frozen=True)
class Fix:
    """What puts a source right.

    Attributes
    ----------
    setting : str
        ``unit_mm``, ``depth_factor`` or ``depth_is_along_ray`` of the source, or
        ``depth_unit_mm`` of captures.
    value : float or bool
    says : str
        Why, in a sentence.
    locations : tuple of str
        Folders of captures whose description is to be changed.
    """

    setting: str
    value: float | bool
    says: str
    locations: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The setting as TOML has it."""
        value = str(self.value).lower() if isinstance(self.value, bool) else f"{self.value!r}"
        return f"{self.setting} = {value}"

    def applied(self, config: SourceConfig) -> SourceConfig:
        """Return the source's settings with it; unchanged where captures' files are to be."""
        if self.setting == "depth_unit_mm":
            return config
        return replace(config, **{self.setting: self.value})  # type: ignore[arg-type]

    def for_one(self, config: SourceConfig, declared_mm: float | None) -> SourceConfig:
        """Return the settings that read one capture right, which declares a unit or none."""
        if self.setting != "depth_unit_mm":
            return self.applied(config)
        return replace(config, depth_factor=_plain(float(self.value) / (declared_mm or 1.0)))

    def rewrite(self) -> list[Path]:
        """Change the descriptions of captures; return the files."""
        return [rewrite_depth_unit(Path(one), float(self.value)) for one in self.locations]


class _Vote(NamedTuple):
    """What one face says: the unit that was declared, and how much too large that makes it."""

    inspected: Inspected
    declared_mm: float
    size: float

    @property
    def exact_mm(self) -> float:
        return self.declared_mm / self.size

    def plausible_with(self, unit_mm: float) -> bool:
        return SMALLEST <= self.size * unit_mm / self.declared_mm <= LARGEST


def find_fix(config: SourceConfig, inspected: Sequence[Inspected]) -> Fix | None:
    """Say which unit, or which kind of depth, a source's files have; None if all is well.

    Captures in folders declare their units one by one: those whose face is implausible must agree.
    Any other setting holds for a whole source, so all of its faces must.

    Raises
    ------
    ConfigError
        They do not agree, or no unit that is in use would be right.
    """
    wrong = [one for one in inspected if isinstance(one.error, WrongUnitError)]
    if wrong:
        return _unit_fix(config, inspected, wrong)
    along_ray = [one for one in inspected if one.error and one.error.code == "depth_along_ray"]
    if not along_ray or config.depth_is_along_ray:
        return None
    along_z = [one for one in inspected if one.face and one.face.along_ray is False]
    if along_z:
        raise ConfigError(
            f"the depth of {_some(along_ray)} is along the ray, that of {_some(along_z)} is not: "
            "no setting of the whole source is right for both"
        )
    says = f"walls behind the faces of {_some(along_ray)} are flat only if depth is along the ray"
    return Fix("depth_is_along_ray", True, says)


def _unit_fix(config: SourceConfig, inspected: Sequence[Inspected], wrong: list[Inspected]) -> Fix:
    votes = [_vote(config, one) for one in wrong]
    scans = config.kind == "scan"
    unit_mm = _usual_unit_mm(float(np.median([vote.exact_mm for vote in votes])), wrong, scans)
    good = [one for one in inspected if one.face and not isinstance(one.error, WrongUnitError)]
    if config.kind != "folder":
        sized = [one for one in good if one.face and np.isfinite(one.face.width_mm)]
        votes += [_vote(config, one) for one in sized]
    against = [vote.inspected for vote in votes if not vote.plausible_with(unit_mm)]
    if against:
        raise ConfigError(
            f"the captures do not agree on one unit: {_some(wrong)} would be right with a unit of "
            f"{unit_in_words(unit_mm)}, but {_some(against)} would not; "
            + (_SEPARATE if scans else "leave out by `include` what is different, or wrong")
        )
    says = f"{_widths(wrong)}, adults' are about {FACE_WIDTH_MM:.0f} mm: "
    if config.kind == "folder":
        declared = ", ".join(f"{u:g}" for u in sorted({vote.declared_mm for vote in votes}))
        says += f"depth_unit_mm is not {declared}, but {_words(unit_mm, votes)}"
        value = _plain(unit_mm / config.depth_factor)
        return Fix("depth_unit_mm", value, says, tuple(one.entry.location for one in wrong))
    if scans:
        says += f"unit_mm is not {votes[0].declared_mm:g}, but {_words(unit_mm, votes)}"
        return Fix("unit_mm", _plain(unit_mm / config.depth_factor), says)
    says += f"the files have {rounded(unit_mm)} times the unit that they were read with"
    return Fix("depth_factor", _plain(unit_mm * config.depth_factor), says)


def _vote(config: SourceConfig, one: Inspected) -> _Vote:
    declared_mm = 1.0  # of a layout, as it is read now
    if config.kind == "folder":
        declared_mm = one.unit_mm or 1.0
    elif config.kind == "scan":
        declared_mm = config.unit_mm * config.depth_factor
    if isinstance(one.error, WrongUnitError):
        return _Vote(one, declared_mm, one.error.size)
    assert one.face is not None
    return _Vote(one, declared_mm, one.face.width_mm / FACE_WIDTH_MM)


def _usual_unit_mm(exact_mm: float, wrong: list[Inspected], scans: bool) -> float:
    nearest = min(_KNOWN, key=lambda unit: abs(np.log(unit / exact_mm)))
    if abs(np.log(nearest / exact_mm)) > np.log(NEAR_UNIT):
        raise ConfigError(
            f"{_widths(wrong)}: no unit that is in use makes them right, about "
            f"{rounded(exact_mm)} mm would; "
            + (_MEASURED if scans else "are the intrinsics those of another image?")
        )
    return nearest


def _words(unit_mm: float, votes: list[_Vote]) -> str:
    """Name a unit, and another that would pass as well."""
    others = [
        unit
        for unit in _KNOWN
        if unit != unit_mm and all(vote.plausible_with(unit) for vote in votes)
    ]
    also = f", though {others[0]:g} would pass as well" if others else ""
    return f"{unit_in_words(unit_mm)}{also}"


def _widths(wrong: list[Inspected]) -> str:
    sizes = [one.error.size for one in wrong if isinstance(one.error, WrongUnitError)]
    middle = rounded(float(np.median(sizes)) * FACE_WIDTH_MM)
    many = len(wrong) > 1
    return f"the face{'s' if many else ''} of {_some(wrong)} would be {middle} mm wide"


def _some(inspected: Sequence[Inspected]) -> str:
    """Name a few captures."""
    names = [one.entry.capture_id for one in inspected]
    return names[0] if len(names) == 1 else f"{len(names)} captures ({names[0]}, ...)"


def _plain(value: float) -> float:
    """Return a ratio of usual units without the dust of its division."""
    return float(f"{value:.12g}")
