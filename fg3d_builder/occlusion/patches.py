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

JUDGED_SHARE = 0.25
"""Share of a patch's outline that must be fit to judge it by."""

BEYOND_MM, BEYOND_SHARE = 8.0, 0.3
"""No face differs so much from its fit: a patch before the template of which half is further
away is judged by all of its outline, and a smaller share of it suffices."""


class OcclusionTest(NamedTuple):
    """How far from the template depth may be foreign, mm.

    Attributes
    ----------
    outline_mm : float
        Patches consist of pixels further away than this.
    peak_mm : float
        A tenth of the patch must be further away than this.
    """

    outline_mm: float
    peak_mm: float

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
    distance = np.where(known, np.nan, distance_mm)
    before = _Patches.of(distance, test.allowing_for(view.noise_mm), ~far)
    told = before.stepped(near, plain)
    told |= before.beyond(BEYOND_MM) & before.stepped(near, np.ones_like(plain), BEYOND_SHARE)
    return before.mask(told)


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
        np.where(before, np.nan, -distance_mm), test.allowing_for(view.noise_mm), ~near
    )
    return behind.mask(behind.stepped(far, apart))


class _Patches(NamedTuple):
    """Connected pixels beyond the outline's distance."""

    distance_mm: Array
    label: Array
    size: Array
    outline: Array

    @staticmethod
    def of(distance: Array, test: OcclusionTest, whole: Array) -> _Patches:
        """Cut patches out of the pixels that are `whole`; those without a peak have size 0."""
        known = np.isfinite(distance)
        far = known & whole & (np.nan_to_num(distance) > test.outline_mm)
        count, label = cv2.connectedComponents(far.astype(np.uint8), connectivity=4)
        kernel = np.ones((3, 3), np.uint8)
        # Next to missing depth, or at the template's end, there may or may not be a step.
        inner = cv2.erode(known.astype(np.uint8), kernel) > 0
        outline = far & inner & (cv2.erode(far.astype(np.uint8), kernel) == 0)
        size = np.bincount(label[far], minlength=count)
        peak = np.bincount(label[far & (np.nan_to_num(distance) > test.peak_mm)], minlength=count)
        return _Patches(distance, label, np.where(peak >= 0.1 * size, size, 0), outline)

    def counted(self, mask: Array) -> Array:
        """Number of each patch's pixels in a mask."""
        return np.bincount(self.label[mask], minlength=len(self.size))

    def stepped(self, step: Array, judged: Array, share: float = STEP_SHARE) -> Array:
        """Patches whose outline, as far as it is judged, is mostly a step."""
        of, at = self.counted(self.outline & judged), self.counted(self.outline & judged & step)
        enough = of >= JUDGED_SHARE * self.counted(self.outline)
        return np.asarray((of > 0) & enough & (at >= share * of))

    def beyond(self, limit_mm: float) -> Array:
        """Patches of which half is further away."""
        return np.asarray(2 * self.counted(np.nan_to_num(self.distance_mm) > limit_mm) >= self.size)

    def mask(self, told: Array) -> Array:
        """Pixels of the patches that are told, and that have a peak."""
        chosen = told & (self.size > 0)
        chosen[0] = False
        return np.asarray(chosen[self.label])
