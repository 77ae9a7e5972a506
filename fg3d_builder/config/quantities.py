"""Kinds of values that several settings share, with what they may be."""

from __future__ import annotations

from typing import Annotated

from fg3d_builder.config.constraints import LARGEST_SEED, Line, Rising, Within

Seed = Annotated[int, Within(0, LARGEST_SEED)]
Part = Annotated[float, Within(0, 1)]
PositiveMm = Annotated[float, Within(0, 1000, above=True)]
Spread = Annotated[float, Within(0, 10, above=True)]
"""Standard deviation of something that is around 1, or a distance relative to something."""
Weight = Annotated[float, Within(0, 1e6)]
PositiveWeight = Annotated[float, Within(0, 1e6, above=True)]
Iterations = Annotated[int, Within(1, 1000)]
FilePath = Annotated[str, Line(empty=True)]
Salt = Annotated[str, Line(empty=True)]
"""Any text: another one makes other choices."""
PictureSize = tuple[Annotated[int, Within(64, 8192)], Annotated[int, Within(64, 8192)]]
"""(height, width) in pixels."""
FocalPx = Annotated[float, Within(10, 100_000)]
DistanceMm = Annotated[float, Within(50, 10_000)]
MaxNormalDeg = Annotated[float, Within(0, 180, above=True)]
PitchDeg = Annotated[float, Within(-90, 90)]
YawDeg = Annotated[float, Within(-180, 180)]
DistanceRange = Annotated[tuple[DistanceMm, DistanceMm], Rising()]
