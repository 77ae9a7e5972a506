"""What the paper publishes: its Tables 1 to 4, and the numbers that its text gives for figures.

NME and DACE in per cent of the outer interocular distance. Figures 13, 14 and 17 are curves and
bars without numbers in the text, so that only their order is known; where another table states a
figure's mean, the figure takes it from there and says so. Table 5 is in
`fg3d_builder.testsets.paper`.
"""

from __future__ import annotations

YAW_COLUMNS = ("[0, 15]", "[15, 30]", "[30, 45]", "mean")

TABLE1: dict[str, tuple[float, ...]] = {
    "3DMM fit": (6.13, 6.13, 6.09, 6.11),
    "CVN": (3.68, 3.56, 3.46, 3.57),
    "MVN": (3.54, 3.47, 3.46, 3.49),
    "VMN": (3.43, 3.26, 3.24, 3.32),
}
"""NME by network; columns `YAW_COLUMNS`."""

TABLE2: dict[str, float] = {"1": 3.63, "3": 3.40, "5": 3.32, "7": 3.35, "source": 3.60}
"""NME over all samples by view set."""

TABLE3: dict[str, tuple[float, ...]] = {
    "face profiling": (3.50, 3.44, 3.58, 3.51),
    "full view": (3.43, 3.26, 3.24, 3.32),
    "full view and shapes": (2.93, 2.71, 2.74, 2.80),
}
"""NME by augmentation; columns `YAW_COLUMNS`."""

TABLE3_SAMPLES: dict[str, int] = {
    "face profiling": 120_000,
    "full view": 120_000,
    "full view and shapes": 474_000,
}
"""Training samples of Table 3."""

TABLE4: dict[str, tuple[float, float]] = {
    "MSE": (2.80, 1.50),
    "MSE + PSD": (2.75, 1.47),
    "PSD + VGD": (2.72, 1.47),
    "VGD": (2.66, 1.43),
}
"""NME and DACE over all samples by loss."""

FLORENCE_RUNS = 5
FLORENCE_VARIANCE = 0.018
"""Sec. 8.5.1: five training runs vary by this much on Florence ("variance", as printed)."""

SHAPES_PER_CAPTURE = 4
"""Sec. 7.1: transformed shapes under each training photo."""

CONVERGED_AT = 2.2
"""Sec. 8.3: Fig. 14 converges when so many times the captured samples are added, about 265k."""
