"""Table 5 of the paper: DACE in per cent of the outer interocular distance."""

from __future__ import annotations

from typing import NamedTuple

OURS = "FGNet (Ours)"

TITLES = {"florence": "Florence", "now": "NoW (neutral, validation)", "stirling": "Stirling/ESRC"}
"""Names of the test sets, in the table's order."""


class PaperRow(NamedTuple):
    """A method's mean errors, in per cent; None where the paper reports the mean alone.

    Attributes
    ----------
    method : str
    intervals : (float, float, float) or None
        Yaw in [0, 15], [15, 30] and [30, 45] degrees.
    mean : float
    """

    method: str
    intervals: tuple[float, float, float] | None
    mean: float


TABLE5: dict[str, tuple[PaperRow, ...]] = {
    "florence": (
        PaperRow("3DDFA", (2.64, 2.66, 2.69), 2.66),
        PaperRow("3DDFA-v2", (2.57, 2.58, 2.63), 2.59),
        PaperRow("Deng et al.", (2.48, 2.59, 2.67), 2.57),
        PaperRow("FaceScape", (2.88, 2.73, 3.15), 2.81),
        PaperRow("PRNet", (2.50, 2.53, 2.71), 2.57),
        PaperRow("Extreme3D", (2.93, 3.07, 3.16), 3.04),
        PaperRow("Non-linear 3DMM", (2.74, 2.66, 2.66), 2.69),
        PaperRow(OURS, (2.12, 2.05, 2.15), 2.10),
    ),
    "now": (
        PaperRow("3DDFA", (3.86, 3.82, 4.09), 3.96),
        PaperRow("3DDFA-v2", (3.77, 3.65, 3.75), 3.74),
        PaperRow("Deng et al.", (3.66, 3.57, 4.22), 3.92),
        PaperRow("FaceScape", (3.67, 4.02, 5.49), 4.62),
        PaperRow("PRNet", (4.10, 3.85, 4.33), 4.17),
        PaperRow("Extreme3D", (5.17, 5.05, 5.20), 5.16),
        PaperRow("Non-linear 3DMM", (4.73, 3.96, 4.13), 4.30),
        PaperRow(OURS, (3.45, 3.39, 3.45), 3.44),
    ),
    "stirling": (
        PaperRow("3DDFA", None, 2.55),
        PaperRow("3DDFA-v2", None, 2.40),
        PaperRow("Deng et al.", None, 2.50),
        PaperRow("FaceScape", None, 3.37),
        PaperRow("PRNet", None, 2.58),
        PaperRow("Extreme3D", None, 3.35),
        PaperRow("Non-linear 3DMM", None, 2.61),
        PaperRow(OURS, None, 2.29),
    ),
}
