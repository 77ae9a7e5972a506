"""Colours of a head all around, from one picture.

The head (face and surround) is unrolled around its axis: to the right goes the azimuth, down
the height, over the crown the way along it. Where the picture shows the head, the map has the
picture's colours. Everywhere else two maps are made of what it shows, one of hair and one of
what is no hair (skin, clothes), each continued around the head, and mixed by how likely hair
is there. Means alone would make felt of hair: its texture, which is what its own colours differ
from their means, is mirrored from the nearest hair that is seen.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numba
import numpy as np

from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.fullview.collar import collar_line, levelled
from fg3d_builder.fullview.ears import EAR
from fg3d_builder.fullview.hair_detail import mirrored_detail
from fg3d_builder.fullview.head_hull import HeadHull
from fg3d_builder.fullview.head_map import (
    TEXEL_MM,
    colors_around,
    continued_around,
    texels,
)
from fg3d_builder.fullview.measured_head import MeasuredHead
from fg3d_builder.fullview.texel_sight import LEAST_TEXELS, log_shade, seen_texels
from fg3d_builder.fullview.tones import middle_and_spread, tone
from fg3d_builder.geometry.meshes import normalized, surface_points, vertex_normals
from fg3d_builder.geometry.smoothing import diffused
from fg3d_builder.records import Array, Capture, Pose, Registration
from fg3d_builder.rendering.shading import Light

NORMAL_PASSES = 2
"""Averages over neighbours of the normals that light is told by."""
EDGE_TEXELS = 3
"""Width of the edge of hair in which its colours are mixed."""

PLAIN = ("nose", "cheeks")
"""Parts of the face that show skin."""
FEATURES = ("eyes", "mouth")
"""Parts whose colours are nowhere else."""
SKIN_SPREAD, HAIR_SPREAD = (0.25, 0.08, 0.08), (0.5, 0.12, 0.12)
"""Least deviations of brightness, red over green and green over blue, in logarithms."""
NECK_SPREAD = (0.5, 0.12, 0.12)
"""Those of a neck's skin: it lies in the chin's shadow, and is redder. Clothes are less like it."""
SKIN_OFF = (3.0, 6.0)
"""Half squared distance to the skin's colour from which something may be none, and is none."""
GLIMPSE = 0.05
"""Trust from which a texel tells at least what kind of thing is there."""
CROWN = (0.3, 0.8)
"""Prior of hair that the crown has: at least, and from which all of it counts."""
BALD = 3.0
"""A crown whose colours are no farther from the skin's than this (half squared distance) is
bald."""
LIKE_HAIR = 6.0
"""Half squared distance to the hair's colour up to which something before the face is hair."""
CURTAIN_MM = 120.0
"""Distance over which a curtain of hair is carried on."""
HAIR_REACH_MM = 25.0
"""Distance over which what is seen tells more of hair than the model."""
NO_HAIR = 0.03
"""Prior up to which something dark is no hair."""
HAIR_LINE = 0.5
"""Range of probabilities over which a mixture of hair and skin is drawn."""
BEARD_LINE = 0.3
"""Range of probabilities over which a mixture of skin and beard is drawn."""
BROW_TEXELS = (17, 41)
"""Height and width about the model's eyes within which what is no skin is a brow, or lashes."""
COLLAR_TEXELS = 2.0
"""Width of the line between skin and clothes."""
UNMIXED = 0.1
"""Largest share of another kind in a texel whose colour is its own kind's."""
STANDS_OFF_MM = 4.0
"""Long hair stands at least so far off the skin."""
ASIDE_DEG = 62.0
"""Azimuth from which hair that covers an ear covers the sheet's border, too."""
LEVEL = 4
"""What is no hair is continued so many times farther around the head than up and down."""


class HeadTexture(NamedTuple):
    """Colours around a head.

    Attributes
    ----------
    log_color : (ROWS, COLUMNS, 3) float32
        Logarithm of linear light plus `DARK`.
    hair : (ROWS, COLUMNS) float32
        How likely it is hair, in [0, 1].
    seen : (ROWS, COLUMNS) float32
        How far it is the picture's own colour.
    pose : Pose
        Of the object frame that the map is unrolled in.
    centre_obj_mm : (3,) float64
    """

    log_color: Array
    hair: Array
    seen: Array
    pose: Pose
    centre_obj_mm: Array

    def at(self, points_cam_mm: Array) -> Array:
        """Return linear colours (k, 3) at points (k, 3) of the capture's frame."""
        pose = self.pose
        # To the object frame, about the map's centre.
        turn = pose.rotation / pose.scale
        shift = pose.translation_mm @ turn + self.centre_obj_mm
        return np.asarray(colors_around(self.log_color, points_cam_mm, turn, shift))


def head_texture(
    model: FaceModel,
    capture: Capture,
    registration: Registration,
    measured: MeasuredHead,
    hull: HeadHull,
    light: Light | None,
) -> HeadTexture:
    """Unroll a capture's head and complete its colours."""
    surround = model.surround
    assert surround is not None
    n = model.vertex_count
    vertices = np.concatenate([hull.face_cam_mm, hull.surround_cam_mm])
    triangles = np.concatenate([model.triangles, hull.triangles + n])
    pose = registration.pose
    obj = pose.obj_from_cam(vertices)
    # About between the ears.
    # What is taken to stand off behind does not move it.
    scalp = np.flatnonzero(surround.scalp > 0.5)
    height, depth = obj[:n, 1][model.reliable].mean(), obj[n:, 2][scalp].mean()
    depth += hull.behind_mm[n:][scalp].mean()
    centre = np.array([0.0, height, depth])
    fields = np.zeros((len(vertices), 8))
    fields[:n, 4] = np.isin(model.parts, [PARTS.index(name) for name in FEATURES])
    ears = obj[n:, 1][surround.ear > EAR]
    # Under the chin the sheet goes on over the neck, and what is worn there.
    fields[:, 5] = obj[:, 1] < (ears if len(ears) else obj[:n, 1]).min()
    fields[:n, 5] *= ~model.reliable
    fields[n:, 6] = surround.ear > EAR
    fields[:n, 7] = model.parts == PARTS.index("eyes")
    fields[:, 0] = hull.scalp
    aside = np.degrees(np.arctan2(np.abs(obj[:n, 0]), obj[:n, 2])) > ASIDE_DEG
    fields[:n, 1] = hull.covered[:n] * aside
    fields[n:, 1] = hull.covered[n:] * (hull.offset_mm[n:] > STANDS_OFF_MM)
    fields[:n, 2] = model.reliable
    fields[:n, 3] = np.isin(model.parts, [PARTS.index(name) for name in PLAIN]) & model.reliable
    normals = _outer_normals(model, vertices, triangles)
    known, points, turned, texel = texels(
        obj - centre, triangles, vertices, normals, fields.astype(np.float32)
    )
    seen = seen_texels(capture, measured, known, points, turned)
    trust = seen.trust
    regions = _Regions._make([*np.ascontiguousarray(np.moveaxis(texel, 2, 0)), seen.hidden])
    plain = (regions.plain > 0.9) & (trust > 0.5)
    shade = log_shade(light, seen.normals, seen.log_color, plain)
    log_color = seen.log_color - shade
    skin = _Kind.of(log_color, plain, SKIN_SPREAD)
    neck = _Kind.of(log_color, plain, NECK_SPREAD, lit_by_itself=True)
    likely, hair, before = _hair(log_color, trust, skin, regions)
    sure = np.maximum(_sure(trust, likely), before)
    hair_map = continued_around(log_color, sure, 1) + mirrored_detail(log_color, sure)
    rest_map = _skin_and_clothes(
        log_color, trust * (1.0 - likely) * (regions.features < 0.1), skin, neck, regions
    )
    color = _completed(
        log_color,
        trust,
        hair,
        hair_map,
        rest_map,
        regions.features,
        continued_around(log_color, trust, 1),
        shade,
    )
    return HeadTexture(color, hair, trust, pose, centre)


@numba.njit(cache=True)
def _completed(  # type: ignore[no-untyped-def]
    log_color, trust, hair, hair_map, rest_map, features, feature_map, shade
):
    """Colours (R, C, 3) float32 as far as they are trusted, else of hair and of the rest, lit.

    Between lips and lids is more of the same. `shade` is that of each texel, or one of all.
    """
    rows, columns, channels = log_color.shape
    out = np.empty((rows, columns, channels), np.float32)
    one, same = np.float32(1.0), shade.shape[0] == 1
    for i in range(rows):
        for j in range(columns):
            own, strand = trust[i, j], hair[i, j]
            inner = features[i, j] > 0.5
            for k in range(channels):
                rest = feature_map[i, j, k] if inner else rest_map[i, j, k]
                mixed = strand * hair_map[i, j, k] + (one - strand) * rest
                light = shade[0, 0, k] if same else shade[i, j, k]
                out[i, j, k] = own * log_color[i, j, k] + (one - own) * mixed + light
    return out


def _outer_normals(model: FaceModel, vertices: Array, triangles: Array) -> Array:
    """Normals (v, 3) of sheet and surround; the skirt, which is tucked under, has the sheet's."""
    surround = model.surround
    assert surround is not None
    n = model.vertex_count
    normals = vertex_normals(vertices, triangles)
    normals[n + surround.skirt] = surface_points(
        normals[:n], model.triangles, surround.skirt_triangle, surround.skirt_barycentric
    )
    return normalized(diffused(normals, triangles, NORMAL_PASSES))


class _Regions(NamedTuple):
    """Maps (R, C) in [0, 1]: prior of hair, long hair, face, plain skin, features, neck and what
    is below it, ears, eyes with brows.

    `behind` is where the picture shows something before the head's surface, other than the face.
    """

    scalp: Array
    long: Array
    face: Array
    plain: Array
    features: Array
    below: Array
    ear: Array
    eyes: Array
    behind: Array


def _hair(
    log_color: Array, trust: Array, skin: _Kind | None, regions: _Regions
) -> tuple[Array, Array, Array]:
    """How likely hair is at texels that are seen, by their colour, and at all texels.

    And where it hangs before the head's surface.
    """
    crown = _crown(regions.scalp, trust > GLIMPSE)
    none = np.zeros(trust.shape, np.float32)
    if skin is None or crown.sum() < LEAST_TEXELS:
        return none, none, none
    off_skin = skin.off
    if np.median(off_skin[crown]) < BALD:
        return none, none, none
    # Half of the crown that is seen may be mixed with the skin along the hair line.
    unmixed = crown & (off_skin >= np.median(off_skin[crown]))
    off_hair, hair_spread = _unlikeliness(log_color, unmixed, HAIR_SPREAD)
    likelier = (off_skin - off_hair + skin.spread - hair_spread).astype(np.float32)
    # On shoulders there are clothes, of any colour.
    worn = np.where(regions.below > 0.5, (LIKE_HAIR - off_hair).astype(np.float32), np.inf)
    ratio = np.asarray(cv2.GaussianBlur(np.minimum(likelier, worn), (0, 0), 1.5))
    # A hand or a microphone is no hair, though it is even less skin.
    hung = regions.behind & (ratio > 0.0) & (off_hair < LIKE_HAIR)
    # A curtain is wide; beside the face and the scalp specks may be anything's shadow.
    edge = np.ones((2 * EDGE_TEXELS + 1,) * 2, np.uint8)
    wide = cv2.morphologyEx(hung.astype(np.uint8), cv2.MORPH_OPEN, edge)
    on_face = (regions.face > 0.5) | (regions.scalp > NO_HAIR)
    curtain = _curtain(hung & (on_face | (wide > 0)), trust, regions)
    # Beside a covered ear hair hides what the picture does not show of the face.
    curtain = np.maximum(curtain, (1.0 - trust) * regions.long)
    face = regions.face * (1.0 - curtain)
    prior = np.clip(np.maximum(np.maximum(regions.scalp, regions.long), curtain), 0.0, 0.98)
    likely = prior / (prior + (1.0 - prior) * np.exp(np.clip(-ratio, -20.0, 20.0)))
    likely = np.where(prior > NO_HAIR, (1.0 - face) * likely, 0.0).astype(np.float32)
    # A bald head has none; elsewhere the model's prior holds.
    grown = float(np.clip(2.0 * likely[crown].mean() - 0.5, 0.0, 1.0))
    expected = prior * grown * (1.0 - face)
    # Near what is seen the picture decides.
    excess = continued_around((likely - expected)[..., None], trust, 1)[..., 0]
    away = cv2.distanceTransform((trust < 0.5).astype(np.uint8), cv2.DIST_L2, 5) * TEXEL_MM
    hair = expected + np.exp(-away / HAIR_REACH_MM) * excess
    # A hair line is a line, not a mixture.
    hair = np.clip((hair - 0.5) / HAIR_LINE + 0.5, 0.0, 1.0) * (1.0 - face)
    before = cv2.erode(wide, edge).astype(np.float32)
    return likely, (trust * likely + (1.0 - trust) * hair).astype(np.float32), before


def _crown(scalp: Array, seen: Array) -> Array:
    """Where hair is surest of all that is seen (R, C): some texels at least, if any bear hair."""
    most = np.sort(scalp[seen])[::-1][:LEAST_TEXELS]
    least = float(most[-1]) if len(most) else 1.0
    return seen & (scalp >= min(CROWN[1], max(CROWN[0], least)))


def _curtain(hung: Array, trust: Array, regions: _Regions) -> Array:
    """Where hair hangs before the head, (R, C) in [0, 1]: seen there, and carried on sideways.

    What is beside a curtain of hair, on the side that the picture does not show, is under it.
    """
    seen = hung.astype(np.float32)
    if seen.sum() < LEAST_TEXELS:
        return np.zeros_like(seen)
    told = np.where(regions.behind, 1.0, trust).astype(np.float32)
    share = continued_around(seen[..., None], told, LEVEL)[..., 0]
    away = cv2.distanceTransform((told < 0.5).astype(np.uint8), cv2.DIST_L2, 5) * TEXEL_MM
    unseen = np.where(regions.behind, seen, share * np.exp(-away / CURTAIN_MM))
    return np.asarray((1.0 - trust) * np.clip((unseen - 0.5) / HAIR_LINE + 0.5, 0.0, 1.0))


def _skin_and_clothes(
    log_color: Array, weight: Array, skin: _Kind | None, neck: _Kind | None, regions: _Regions
) -> Array:
    """Continue what is no hair of the head: skin as skin, clothes and beards by themselves.

    Their borders are continued as borders, so that a collar stays one.
    """
    if skin is None or neck is None:
        return continued_around(log_color, weight, LEVEL)
    # Above the neck it is a beard, or hair that was not told as such; ears are skin, though redder.
    unlike = _unlike(skin.off)
    # Brows reach farther than a model's; they end where the picture's do.
    weight = weight * (1.0 - unlike * cv2.dilate(regions.eyes, np.ones(BROW_TEXELS, np.uint8)))
    beard = unlike * (regions.below <= 0.5) * (regions.ear <= 0.5)
    clothes = _unlike(neck.off) * (regions.below > 0.5)
    seen = (weight > 0.5) & (regions.below > 0.5)
    line = collar_line(seen & (clothes > 0.5), seen & (clothes <= 0.5))
    beard_share = continued_around(beard[..., None], weight, LEVEL)
    # Along a collar colours are mixed: what is left out there is continued.
    edge = np.ones((2 * EDGE_TEXELS + 1,) * 2, np.uint8)
    no_clothes = weight * (cv2.dilate(clothes, edge) < UNMIXED)
    bare = continued_around(log_color, no_clothes * (1.0 - beard), 1)
    part = np.clip((beard_share - 0.5) / BEARD_LINE + 0.5, 0.0, 1.0)
    face = part * continued_around(log_color, no_clothes * beard, LEVEL) + (1.0 - part) * bare
    sure = weight * (cv2.erode(clothes, edge) > 1.0 - UNMIXED)
    if sure.sum() < LEAST_TEXELS:
        return np.asarray(face)
    share = _continued_along(line, clothes[..., None], weight)[..., 0]
    part = _line(share > 0.5, COLLAR_TEXELS)[..., None]
    return np.asarray(part * _continued_along(line, log_color, sure) + (1.0 - part) * face)


def _continued_along(line: Array | None, values: Array, weight: Array) -> Array:
    """Continue what is worn (R, C, k) along the line that it begins at (C,); level without one."""
    if line is None:
        return continued_around(values, weight, LEVEL)
    known = levelled(weight.astype(np.float32), line)
    found = continued_around(levelled(values.astype(np.float32), line), known, LEVEL)
    return levelled(found, line, back=True)


def _unlike(off: Array) -> Array:
    """Shares (R, C) in [0, 1] of what half squared distances to skin tell to be none."""
    share = np.clip((off - SKIN_OFF[0]) / (SKIN_OFF[1] - SKIN_OFF[0]), 0.0, 1.0)
    return np.asarray(cv2.GaussianBlur(share.astype(np.float32), (0, 0), 1.0))


def _line(mask: Array, width: float) -> Array:
    """A mask (R, C) as shares in [0, 1] that go from 0 to 1 within so many texels."""
    inside = mask.astype(np.uint8)
    off = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(
        1 - inside, cv2.DIST_L2, 5
    )
    off += np.where(mask, -0.5, 0.5).astype(np.float32)
    return np.asarray(np.clip(off / width + 0.5, 0.0, 1.0))


class _Kind(NamedTuple):
    """What is told by its colour.

    off : (R, C), half the squared distance to it, in its deviations; spread : their logarithms.
    """

    off: Array
    spread: float

    @staticmethod
    def of(
        log_color: Array,
        mask: Array,
        spread: tuple[float, float, float],
        lit_by_itself: bool = False,
    ) -> _Kind | None:
        """That of a mask's colours; None where there are too few."""
        if mask.sum() < LEAST_TEXELS:
            return None
        return _Kind(*_unlikeliness(log_color, mask, spread, lit_by_itself))


def _unlikeliness(
    log_color: Array,
    mask: Array,
    spread: tuple[float, float, float],
    lit_by_itself: bool = False,
) -> tuple[Array, float]:
    """Half squared distance (R, C), in deviations, of colours to a mask's, and their spread.

    The distance tells what is like the mask; added to the spread, which of two is likelier. What
    is lit by more of itself has, in the end, the squares of its colours: all between is like it.
    """
    middle, deviation = middle_and_spread(tone(log_color[mask]))
    deviation = np.maximum(deviation, spread)
    squares = _half_squares(log_color, middle, deviation, 1.0 if lit_by_itself else 0.0)
    return squares, float(np.log(deviation).sum())


@numba.njit(cache=True)
def _half_squares(log_color, middle, deviation, deepest):  # type: ignore[no-untyped-def]
    """Half squared distances (R, C) of tones to a middle, none of whose parts exceeds 4.

    The middle's hues, logarithms of ratios, may be deeper by up to a share of themselves.
    """
    rows, columns, _ = log_color.shape
    one, other = middle[1] / deviation[1], middle[2] / deviation[2]
    size = max(one * one + other * other, 1e-12)
    out = np.empty((rows, columns))
    for i in range(rows):
        for j in range(columns):
            r, g, b = log_color[i, j]
            light = ((r + g + b) / np.float32(3.0) - middle[0]) / deviation[0]
            red, green = (r - g - middle[1]) / deviation[1], (g - b - middle[2]) / deviation[2]
            deeper = min(max((red * one + green * other) / size, 0.0), deepest)
            total = 0.0
            for off in (light, red - deeper * one, green - deeper * other):
                off = min(max(off, -4.0), 4.0)
                total += off * off
            out[i, j] = 0.5 * total
    return out


def _sure(trust: Array, likely: Array) -> Array:
    """Texels well inside of what is likely hair, as weights: its edges are mixed with skin.

    Where all hair is at the head's outline, its edges and what is seen obliquely must do.
    """
    inside = (trust * likely > 0.5).astype(np.uint8)
    width = min(EDGE_TEXELS, int(cv2.distanceTransform(inside, cv2.DIST_L2, 5).max() / 2))
    size = 2 * width + 1
    found = np.asarray(cv2.erode(inside, np.ones((size, size), np.uint8)), dtype=np.float32)
    if found.sum() < LEAST_TEXELS:
        found = ((trust > GLIMPSE) & (likely > 0.5)).astype(np.float32)
    return found
