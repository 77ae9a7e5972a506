"""Evaluation (Sec. 7.2): NME, DACE, the set C, tables, curves, maps and comparisons.

Imports numpy and scipy alone; `pictures` is imported by whoever draws.
"""

from fg3d_builder.evaluation.comparison import (
    compare_paired,
    seed_spread,
    seeds_error,
    seeds_interval,
    subject_means,
)
from fg3d_builder.evaluation.metrics import ShapeError, dace, nme
from fg3d_builder.evaluation.places import (
    Correspondence,
    Places,
    interocular_mm,
    outer_eye_corners,
)
from fg3d_builder.evaluation.power import detectable_difference
from fg3d_builder.evaluation.reliable import border_vertices, reliable_correspondence
from fg3d_builder.evaluation.summary import (
    YAW_INTERVALS_DEG,
    VertexErrorMap,
    cumulative_error,
    yaw_table,
)
from fg3d_builder.geometry.closest_points import ScanSurface, ScanVertices

__all__ = [
    "YAW_INTERVALS_DEG",
    "Correspondence",
    "Places",
    "ScanSurface",
    "ScanVertices",
    "ShapeError",
    "VertexErrorMap",
    "border_vertices",
    "compare_paired",
    "cumulative_error",
    "dace",
    "detectable_difference",
    "interocular_mm",
    "nme",
    "outer_eye_corners",
    "reliable_correspondence",
    "seed_spread",
    "seeds_error",
    "seeds_interval",
    "subject_means",
    "yaw_table",
]
