"""What a camera sees of a mesh, and the rules that every rasteriser here follows.

* A pixel belongs to a triangle when its centre is inside, or on a top or left edge of it:
  pixels on an edge that two triangles share are covered exactly once.
* Corners are rounded to 1/256 pixel. On that grid the edge functions of triangles up to some
  180,000 pixels across are exact in float64, so that surfaces are watertight.
* Triangles that reach to z <= `NEAR_MM` are skipped, as are those without area or with corners
  that are not finite.
* The nearest triangle wins; of two at the same depth, the one that is listed first.
"""

from __future__ import annotations

from typing import NamedTuple

from fg3d_builder.records import Array

NEAR_MM = 1.0
SUBPIXEL = 256.0


class Fragments(NamedTuple):
    """What the camera sees.

    Attributes
    ----------
    triangle : (H, W) int32
        Index of the nearest triangle, -1 for the background.
    barycentric : (H, W, 3) float32
        Perspective-correct coordinates within that triangle; 0 on the background.
    depth_mm : (H, W) float32
        Along the camera's z axis; NaN on the background.
    """

    triangle: Array
    barycentric: Array
    depth_mm: Array
