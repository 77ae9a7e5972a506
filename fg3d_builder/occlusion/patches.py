"""Foreign depth told by its own outline: it is torn from the face around it.

A face that differs from the template leaves it gradually, or where the template itself is steep:
beside the nose, under the chin, between the lips. Something else before the face ends in a step
of the measured depth where the face has none. So patches are cut out by their distance from the
template, and those count as foreign whose outline is mostly such a step.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.occlusion.view import TemplateView
from fg3d_builder.records import Array

STEP_SLOPE = 2.0
"""Depth that falls faster than this from pixel to pixel (63 degrees) is a step, unless ..."""

ANATOMY_SLOPE = 1.0
"""... the template itself falls faster than this (45 degrees) within `ANATOMY_MM` of it: there
the face may hide a part of itself."""

ANATOMY_MM = 4.0

TEAR_SLOPE = 4.0
"""Depth behind the template is foreign where the surface is torn so far (76 degrees): the neck
below a chin that is smaller than the template's, or mixed pixels. A deep eye socket is not."""

STEP_SHARE = 0.5
"""Share of a patch's outline that must be a step."""

JUDGED_SHARE, JUDGED_MM = 0.25, 20.0
"""Share of a patch's outline that must be fit to judge it by, or so long a piece of it: of a lens
that ends at the side of the face, most of the outline is where the face is steep itself."""

BEYOND_SHARE = 0.3
"""Share that suffices of all of the outline of a patch that is further away than faces differ from
the template."""


class OcclusionTest(NamedTuple):
    """How far from the template depth may be foreign, mm.

    Attributes
    ----------
    outline_mm : float
        Patches consist of pixels further away than this.
    peak_mm : float
        A tenth of the patch must be further away than this.
    beyond_mm : float
        No face differs so much from the template: a patch before it of which half is further away
        is judged by all of its outline.
    """

    outline_mm: float
    peak_mm: float
    beyond_mm: float

    def allowing_for(self, noise_mm: float) -> OcclusionTest:
        """Return the test with limits that noise of this standard deviation does not reach."""
        return OcclusionTest(*(limit + 4.0 * noise_mm for limit in self))


def patches_before(
    view: TemplateView, distance_mm: Array, test: OcclusionTest, known: Array
) -> Array:
    """Return the (h, w) mask of patches before the template that are torn from the face.

    Parameters
    ----------
    view : TemplateView
    distance_mm : (h, w) float64
        See `distance_from_face`.
    test : OcclusionTest
        Widened by the noise of the view.
    known : (h, w) bool
        Pixels that are foreign anyway and no part of a patch.
    """
    template = np.where(np.isfinite(view.template_mm), view.template_mm, 1e6)
    anatomy = view.steep(template, ANATOMY_SLOPE).astype(np.uint8)
    plain = cv2.dilate(anatomy, view.window(ANATOMY_MM)) == 0
    near, far = view.steps(view.measured_mm, STEP_SLOPE)
    limits, all_round = test.allowing_for(view.noise_mm), np.ones_like(plain)

    def torn(patches: _Patches) -> Array:
        far_off = patches.beyond(test.beyond_mm)
        return patches.stepped(near, plain) | (
            far_off & patches.stepped(near, all_round, BEYOND_SHARE)
        )

    apart = _Patches.of(np.where(known, np.nan, distance_mm), limits, ~far, view.pitch_mm)
    found = apart.mask(torn(apart))
    if known.any():
        # What is known may be all of a patch's outline, as a frame is that of a dark lens; skin
        # beside hair is the smaller part of what hangs together.
        whole = _Patches.of(distance_mm, limits, ~far, view.pitch_mm)
        found |= whole.mask(torn(whole) & (2 * whole.counted(known) < whole.size))
    return found & ~known


def patches_behind(
    view: TemplateView, distance_mm: Array, test: OcclusionTest, before: Array
) -> Array:
    """Return the (h, w) mask of patches behind the template that are torn from the face.

    Parameters
    ----------
    view, distance_mm, test
        See `patches_before`.
    before : (h, w) bool
        What is before the face: skin beside it is torn from it, too.
    """
    near, far = view.steps(view.measured_mm, TEAR_SLOPE)
    apart = cv2.dilate(before.astype(np.uint8), view.window(ANATOMY_MM)) == 0
    behind = _Patches.of(
        np.where(before, np.nan, -distance_mm),
        test.allowing_for(view.noise_mm),
        ~near,
        view.pitch_mm,
    )
    return behind.mask(behind.stepped(far, apart))


class _Patches(NamedTuple):
    """Connected pixels beyond the outline's distance."""

    distance_mm: Array
    label: Array
    size: Array
    outline: Array
    pitch_mm: float

    @staticmethod
    def of(distance: Array, test: OcclusionTest, whole: Array, pitch_mm: float) -> _Patches:
        """Cut patches out of the pixels that are `whole`; those without a peak have size 0."""
        known = np.isfinite(distance)
        distance = np.where(known, distance, 0.0)
        far = known & whole & (distance > test.outline_mm)
        count, label = cv2.connectedComponents(far.astype(np.uint8), connectivity=4)
        kernel = np.ones((3, 3), np.uint8)
        # Next to missing depth, or at the template's end, there may or may not be a step.
        inner = cv2.erode(known.astype(np.uint8), kernel) > 0
        outline = far & inner & (cv2.erode(far.astype(np.uint8), kernel) == 0)
        size = np.bincount(label[far], minlength=count)
        peak = np.bincount(label[far & (distance > test.peak_mm)], minlength=count)
        large = np.where(peak >= 0.1 * size, size, 0)
        return _Patches(distance, label, large, outline, pitch_mm)

    def counted(self, mask: Array) -> Array:
        """Number of each patch's pixels in a mask."""
        return np.bincount(self.label[mask], minlength=len(self.size))

    def stepped(self, step: Array, judged: Array, share: float = STEP_SHARE) -> Array:
        """Patches whose outline, as far as it is judged, is mostly a step."""
        of, at = self.counted(self.outline & judged), self.counted(self.outline & judged & step)
        enough = of >= JUDGED_SHARE * self.counted(self.outline)
        enough |= of * self.pitch_mm > JUDGED_MM
        return np.asarray((of > 0) & enough & (at >= share * of))

    def beyond(self, limit_mm: float) -> Array:
        """Patches of which half is further away."""
        return np.asarray(2 * self.counted(self.distance_mm > limit_mm) >= self.size)

    def mask(self, told: Array) -> Array:
        """Pixels of the patches that are told, and that have a peak."""
        chosen = told & (self.size > 0)
        chosen[0] = False
        return np.asarray(chosen[self.label])
