"""Colours of a head all around, from one picture.

The head (face and surround) is unrolled around its axis: to the right goes the azimuth, down
the height, over the crown the way along it. Where the picture shows the head, the map has the
picture's colours. Everywhere else two maps are made of what it shows, one of hair and one of
what is no hair (skin, clothes), each continued around the head, and mixed by how likely hair
is there. Means alone would make felt of hair: its texture, which is what its own colours differ
from their means, is mirrored from the nearest hair that is seen.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numba
import numpy as np

from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.fullview.continuation import spread_out
from fg3d_builder.fullview.ears import EAR
from fg3d_builder.fullview.head_hull import HeadHull
from fg3d_builder.fullview.measured_head import MeasuredHead
from fg3d_builder.fullview.tones import DARK, tone
from fg3d_builder.geometry.camera import at_nearest_pixel, px_from_cam
from fg3d_builder.geometry.meshes import normalized, surface_points, vertex_normals
from fg3d_builder.geometry.smoothing import diffused
from fg3d_builder.records import Array, Capture, Pose, Registration
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.rendering.shading import Light, linear_from_srgb, shade_and_gloss

ROWS, COLUMNS = 288, 448
TEXEL_MM = 1.25
"""Height of a texel; its width is about the same around the head."""
WRAP = 2
"""Columns that the ends of the map share."""
UP_MM = 140.0
RADIUS_MM = 88.0
NORMAL_PASSES = 2
"""Averages over neighbours of the normals that light is told by."""
NEAR_MM = 12.0
"""A texel is seen where the measured surface is so near."""
COSINES = (0.1, 0.3)
"""Cosines to the line of sight up to which a texel is not believed, and from which fully."""
EDGE_TEXELS = 3
"""Width of the edge of hair in which its colours are mixed."""
DETAIL_TEXELS = 5.0
"""Hair's texture is what differs from means over this width."""

PLAIN = ("nose", "cheeks")
"""Parts of the face that show skin."""
FEATURES = ("eyes", "mouth")
"""Parts whose colours are nowhere else."""
SKIN_SPREAD, HAIR_SPREAD = (0.25, 0.08, 0.08), (0.5, 0.12, 0.12)
"""Least deviations of brightness, red over green and green over blue, in logarithms."""
SKIN_OFF = (3.0, 6.0)
"""Half squared distance to the skin's colour from which something may be none, and is none."""
LEAST_TEXELS = 50
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
COLLAR_TEXELS = 2.0
"""Width of the line between skin and clothes."""
UNMIXED = 0.1
"""Largest share of another kind in a texel whose colour is its own kind's."""
SHADOW = 0.7
"""Largest difference of light, as a logarithm, between two sides of a head."""
STANDS_OFF_MM = 4.0
"""Long hair stands at least so far off the skin."""
ASIDE_DEG = 62.0
"""Azimuth from which hair that covers an ear covers the sheet's border, too."""
LEAST_TILE = 12
"""Texels of hair to each side that its texture is learned from; repeats of fewer show."""
STRAND_TEXELS = (0.6, 8.0)
"""Blur across and along strands where too little hair is seen to learn from."""
DETAIL_SHARE = 0.5
"""Strength of the hair's texture where it is made up."""
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
        place = unrolled(self.pose.obj_from_cam(points_cam_mm) - self.centre_obj_mm)
        place[:, 0] += WRAP
        return np.exp(_bilinear(self._wrapped, place)) - DARK

    @property
    def _wrapped(self) -> Array:
        """The colours with the columns of the other end beside either end."""
        color = self.log_color
        return np.concatenate([color[:, -WRAP:], color, color[:, :WRAP]], axis=1)


@numba.njit(cache=True)
def _bilinear(image, place):  # type: ignore[no-untyped-def]
    """Sample an image (R, C, k) at places (p, 2); beyond its border the border goes on."""
    rows, columns, channels = image.shape
    out = np.empty((len(place), channels))
    for i in range(len(place)):
        x = min(max(place[i, 0], 0.0), columns - 1.0)
        y = min(max(place[i, 1], 0.0), rows - 1.0)
        c, r = min(int(x), columns - 2), min(int(y), rows - 2)
        s, t = x - c, y - r
        for k in range(channels):
            top = (1.0 - s) * image[r, c, k] + s * image[r, c + 1, k]
            bottom = (1.0 - s) * image[r + 1, c, k] + s * image[r + 1, c + 1, k]
            out[i, k] = (1.0 - t) * top + t * bottom
    return out


def unrolled(points_mm: Array) -> Array:
    """Map (k, 3) points around the centre of a head to (k, 2) columns and rows of the map."""
    x, y, z = points_mm.T
    around = np.hypot(x, z)
    column = (np.arctan2(x, z) / (2.0 * np.pi) + 0.5) * COLUMNS - 0.5
    over = np.where(y > 0, RADIUS_MM * np.arctan2(y, np.maximum(around, 1e-6)), y)
    return np.stack([column, (UP_MM - over) / TEXEL_MM], axis=1)


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
    height, depth = obj[:n, 1][model.reliable].mean(), obj[n:, 2][surround.scalp > 0.5].mean()
    centre = np.array([0.0, height, depth])
    fields = np.zeros((len(vertices), 7))
    fields[:n, 4] = np.isin(model.parts, [PARTS.index(name) for name in FEATURES])
    ears = obj[n:, 1][surround.ear > EAR]
    fields[n:, 5] = obj[n:, 1] < (ears if len(ears) else obj[:n, 1]).min()
    fields[n:, 6] = surround.ear > EAR
    fields[:, 0] = hull.scalp
    aside = np.degrees(np.arctan2(np.abs(obj[:n, 0]), obj[:n, 2])) > ASIDE_DEG
    fields[:n, 1] = hull.covered[:n] * aside
    fields[n:, 1] = hull.covered[n:] * (hull.offset_mm[n:] > STANDS_OFF_MM)
    fields[:n, 2] = model.reliable
    fields[:n, 3] = np.isin(model.parts, [PARTS.index(name) for name in PLAIN]) & model.reliable
    normals = _outer_normals(model, vertices, triangles)
    texel = _texels(obj - centre, triangles, np.concatenate([vertices, normals, fields], axis=1))
    known = np.abs(texel[..., :3]).sum(axis=2) > 0
    position = texel[..., :3].reshape(-1, 3)
    position[~known.ravel()] = [0.0, 0.0, 1.0]
    color, trust = _seen(capture, measured, position, texel[..., 3:6].reshape(-1, 3))
    trust = (trust.reshape(known.shape) * known).astype(np.float32)
    log_color = np.log(color.reshape(*known.shape, 3) + DARK).astype(np.float32)
    behind = at_nearest_pixel(measured.before, px_from_cam(position, measured.intrinsics), False)
    hidden = behind.reshape(known.shape) & known
    regions = _Regions._make([*np.moveaxis(texel[..., 6:], 2, 0), hidden])
    plain = (regions.plain > 0.9) & (trust > 0.5)
    shade = _log_shade(light, texel[..., 3:6], texel[..., :3], log_color, plain)
    log_color = log_color - shade
    likely, hair = _hair(log_color, trust, regions)
    own = trust[..., None]
    sure = _sure(trust, likely)
    hair_map = _continued(log_color, sure, 1) + _mirrored_detail(log_color, sure)
    rest_map = _skin_and_clothes(
        log_color, trust * (1.0 - likely) * (regions.features < 0.1), plain, regions
    )
    # Between lips and lids is more of the same.
    rest_map = np.where(
        regions.features[..., None] > 0.5, _continued(log_color, trust, 1), rest_map
    )
    mixed = hair[..., None] * hair_map + (1.0 - hair[..., None]) * rest_map
    return HeadTexture(own * log_color + (1.0 - own) * mixed + shade, hair, trust, pose, centre)


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


def _texels(points_mm: Array, triangles: Array, values: Array) -> Array:
    """Interpolate values (v, c) over the map; the outermost surface counts; 0 where none is."""
    place = unrolled(points_mm)
    corner = place[triangles, 0]
    wrapped = np.ptp(corner, axis=1) > COLUMNS / 2
    left = np.where(place[:, 0] > COLUMNS / 2, place[:, 0] - COLUMNS, place[:, 0])
    right = np.where(place[:, 0] < COLUMNS / 2, place[:, 0] + COLUMNS, place[:, 0])
    column = np.concatenate([place[:, 0], left, right])
    row = np.tile(place[:, 1], 3)
    n = len(place)
    pieces = np.concatenate(
        [triangles[~wrapped], triangles[wrapped] + n, triangles[wrapped] + 2 * n]
    )
    depth = 1000.0 - np.tile(np.linalg.norm(points_mm, axis=1), 3)
    flat = np.stack([column * depth, row * depth, depth], axis=1)
    fragments = rasterize(flat, pieces, np.eye(3), ROWS, COLUMNS, False)
    return interpolate(fragments, pieces, np.tile(values, (3, 1)))


def _seen(
    capture: Capture, measured: MeasuredHead, points: Array, normals: Array
) -> tuple[Array, Array]:
    """Linear colours (k, 3) and trust (k,) of points by the picture."""
    px = px_from_cam(points, capture.intrinsics)
    x, y = np.nan_to_num(px, nan=-9.0).astype(np.float32).T
    shape = (ROWS, COLUMNS)
    color = cv2.remap(
        capture.rgb,
        x.reshape(shape),
        y.reshape(shape),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    at = px_from_cam(points, measured.intrinsics)
    depth = at_nearest_pixel(measured.depth_mm, at, np.nan)
    sight = points / np.linalg.norm(points, axis=1, keepdims=True)
    length = np.maximum(np.linalg.norm(normals, axis=1), 1e-9)
    cosine = -np.einsum("nd,nd->n", normals, sight) / length
    trust = np.clip((cosine - COSINES[0]) / (COSINES[1] - COSINES[0]), 0.0, 1.0)
    with np.errstate(invalid="ignore"):
        trust *= np.abs(depth - points[:, 2]) < NEAR_MM
    trust *= at_nearest_pixel(measured.pure, at, False)
    return linear_from_srgb(color.reshape(-1, 3)), trust


class _Regions(NamedTuple):
    """Maps (R, C) in [0, 1]: prior of hair, long hair, face, plain skin, features, neck and what
    is below it, ears.

    `behind` is where the picture shows something before the head's surface.
    """

    scalp: Array
    long: Array
    face: Array
    plain: Array
    features: Array
    below: Array
    ear: Array
    behind: Array


def _log_shade(
    light: Light | None, normals: Array, points: Array, log_color: Array, plain: Array
) -> Array:
    """Logarithm of the light (R, C, 3) on the head, as far as the picture shows such light.

    A light can be fitted to any picture; of one that was taken in even light, or of a texture
    with its light painted in, it explains little of what is bright on plain skin. It counts
    by its correlation with that.
    """
    if light is None or plain.sum() < LEAST_TEXELS:
        return np.zeros((1, 1, 3), np.float32)
    towards = -normalized(points.reshape(-1, 3))
    shade = shade_and_gloss(normalized(normals.reshape(-1, 3)), towards, light)[0]
    log_shade = np.log(shade.reshape(normals.shape) + DARK)
    middle = np.median(log_shade[plain], axis=0)
    # Shadows that one lamp and even light give are deeper than those of a room.
    log_shade = np.clip(log_shade - middle, -SHADOW, SHADOW) + middle
    explained = np.corrcoef(log_shade[plain].mean(axis=1), log_color[plain].mean(axis=1))[0, 1]
    return np.asarray(max(explained, 0.0) * log_shade, dtype=np.float32)


def _hair(log_color: Array, trust: Array, regions: _Regions) -> tuple[Array, Array]:
    """How likely hair is at texels that are seen, by their colour, and at all texels."""
    skin = (regions.plain > 0.9) & (trust > 0.5)
    crown = _crown(regions.scalp, trust > GLIMPSE)
    none = np.zeros(trust.shape, np.float32)
    if skin.sum() < LEAST_TEXELS or crown.sum() < LEAST_TEXELS:
        return none, none
    off_skin, skin_spread = _unlikeliness(log_color, skin, SKIN_SPREAD)
    if np.median(off_skin[crown]) < BALD:
        return none, none
    # Half of the crown that is seen may be mixed with the skin along the hair line.
    unmixed = crown & (off_skin >= np.median(off_skin[crown]))
    off_hair, hair_spread = _unlikeliness(log_color, unmixed, HAIR_SPREAD)
    likelier = (off_skin - off_hair + skin_spread - hair_spread).astype(np.float32)
    ratio = np.asarray(cv2.GaussianBlur(likelier, (0, 0), 1.5))
    # A hand or a microphone is no hair, though it is even less skin.
    curtain = _curtain((ratio > 0.0) & (off_hair < LIKE_HAIR), trust, regions)
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
    excess = _continued((likely - expected)[..., None], trust, 1)[..., 0]
    away = cv2.distanceTransform((trust < 0.5).astype(np.uint8), cv2.DIST_L2, 5) * TEXEL_MM
    hair = expected + np.exp(-away / HAIR_REACH_MM) * excess
    # A hair line is a line, not a mixture.
    hair = np.clip((hair - 0.5) / HAIR_LINE + 0.5, 0.0, 1.0) * (1.0 - face)
    return likely, (trust * likely + (1.0 - trust) * hair).astype(np.float32)


def _crown(scalp: Array, seen: Array) -> Array:
    """Where hair is surest of all that is seen (R, C): some texels at least, if any bear hair."""
    most = np.sort(scalp[seen])[::-1][:LEAST_TEXELS]
    least = float(most[-1]) if len(most) else 1.0
    return seen & (scalp >= min(CROWN[1], max(CROWN[0], least)))


def _curtain(like_hair: Array, trust: Array, regions: _Regions) -> Array:
    """Where hair hangs before the head, (R, C) in [0, 1]: seen there, and carried on sideways.

    What is beside a curtain of hair, on the side that the picture does not show, is under it.
    """
    on_face = (regions.face > 0.5) | (regions.scalp > NO_HAIR)
    seen = (regions.behind & on_face & like_hair).astype(np.float32)
    if seen.sum() < LEAST_TEXELS:
        return np.zeros_like(seen)
    told = np.where(regions.behind, 1.0, trust).astype(np.float32)
    share = _continued(seen[..., None], told, LEVEL)[..., 0]
    away = cv2.distanceTransform((told < 0.5).astype(np.uint8), cv2.DIST_L2, 5) * TEXEL_MM
    unseen = np.where(regions.behind, seen, share * np.exp(-away / CURTAIN_MM))
    return np.asarray((1.0 - trust) * np.clip((unseen - 0.5) / HAIR_LINE + 0.5, 0.0, 1.0))


def _skin_and_clothes(log_color: Array, weight: Array, plain: Array, regions: _Regions) -> Array:
    """Continue what is no hair of the head: skin as skin, clothes and beards by themselves.

    Their borders are continued as borders, so that a collar stays one.
    """
    if plain.sum() < LEAST_TEXELS:
        return _continued(log_color, weight, LEVEL)
    off = _unlikeliness(log_color, plain, SKIN_SPREAD)[0]
    unlike = np.clip((off - SKIN_OFF[0]) / (SKIN_OFF[1] - SKIN_OFF[0]), 0.0, 1.0)
    unlike = np.asarray(cv2.GaussianBlur(unlike.astype(np.float32), (0, 0), 1.0))
    # Above the neck it is a beard, or hair that was not told as such; ears are skin, though redder.
    beard = unlike * (regions.below <= 0.5) * (regions.ear <= 0.5)
    clothes = unlike * (regions.below > 0.5)
    share = _continued(np.stack([clothes, beard], axis=2), weight, LEVEL)
    # Along a collar colours are mixed: what is left out there is continued.
    edge = np.ones((2 * EDGE_TEXELS + 1,) * 2, np.uint8)
    no_clothes = weight * (cv2.dilate(clothes, edge) < UNMIXED)
    skin = _continued(log_color, no_clothes * (1.0 - beard), 1)
    part = np.clip((share[..., 1:] - 0.5) / BEARD_LINE + 0.5, 0.0, 1.0)
    face = part * _continued(log_color, no_clothes * beard, LEVEL) + (1.0 - part) * skin
    sure = weight * (cv2.erode(clothes, edge) > 1.0 - UNMIXED)
    if sure.sum() < LEAST_TEXELS:
        return np.asarray(face)
    part = _line(share[..., 0] > 0.5, COLLAR_TEXELS)[..., None]
    return np.asarray(part * _continued(log_color, sure, LEVEL) + (1.0 - part) * face)


def _line(mask: Array, width: float) -> Array:
    """A mask (R, C) as shares in [0, 1] that go from 0 to 1 within so many texels."""
    inside = mask.astype(np.uint8)
    off = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(
        1 - inside, cv2.DIST_L2, 5
    )
    off += np.where(mask, -0.5, 0.5).astype(np.float32)
    return np.asarray(np.clip(off / width + 0.5, 0.0, 1.0))


def _unlikeliness(
    log_color: Array, mask: Array, spread: tuple[float, float, float]
) -> tuple[Array, float]:
    """Half squared distance (R, C), in deviations, of colours to a mask's, and their spread.

    The distance tells what is like the mask; added to the spread, which of two is likelier.
    """
    color = tone(log_color)
    middle = np.median(color[mask], axis=0)
    deviation = 1.48 * np.median(np.abs(color[mask] - middle), axis=0)
    deviation = np.maximum(deviation, spread)
    off = np.clip((color - middle) / deviation, -4.0, 4.0)
    return np.asarray(0.5 * (off**2).sum(axis=-1)), float(np.log(deviation).sum())


def _continued(values: Array, weight: Array, level: int) -> Array:
    """Continue values (R, C, k) from where they are weighted, around the head.

    `level` is how much farther to the sides than up and down.
    """
    rows, columns, channels = values.shape
    size = (columns // level, rows)
    share = cv2.resize(weight, size, interpolation=cv2.INTER_AREA).reshape(size[::-1])
    total = cv2.resize(values * weight[..., None], size, interpolation=cv2.INTER_AREA)
    total = total.reshape(*share.shape, channels)
    color = total / np.maximum(share, 1e-6)[..., None]
    half = share.shape[1] // 2
    wide, known = (np.concatenate([x[:, -half:], x, x[:, :half]], axis=1) for x in (color, share))
    middle = spread_out(wide, known)[:, half : half + share.shape[1]]
    out = cv2.resize(middle, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(out.reshape(values.shape))


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


def _mirrored_detail(log_color: Array, weight: Array) -> Array:
    """Texture (R, C, 3) of the weighted texels, mirrored into all others."""
    sure = weight > 0.5
    if not sure.any():
        return np.zeros_like(log_color)
    smooth = cv2.GaussianBlur(np.where(sure[..., None], log_color, 0), (0, 0), DETAIL_TEXELS)
    share = cv2.GaussianBlur(sure.astype(np.float32), (0, 0), DETAIL_TEXELS)
    detail = np.where(sure[..., None], log_color - smooth / np.maximum(share, 1e-3)[..., None], 0.0)
    top, bottom, left, right = largest_rectangle(sure)
    if min(bottom - top, right - left) < LEAST_TILE:
        strength = DETAIL_SHARE * float(detail[sure].mean(axis=1).std())
        return np.where(sure[..., None], detail, strength * _strands()[..., None]).astype(
            np.float32
        )
    y, x = np.mgrid[: sure.shape[0], : sure.shape[1]]
    tile = detail[top:bottom, left:right]
    out = tile[_mirrored(y - top, bottom - top), _mirrored(x - left, right - left)]
    return np.where(sure[..., None], detail, DETAIL_SHARE * out).astype(np.float32)


@lru_cache(maxsize=1)
def _strands() -> Array:
    """A texture (R, C) of deviation 1 that runs down the head as hair does."""
    noise = np.random.default_rng(0).standard_normal((ROWS, COLUMNS)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), STRAND_TEXELS[0], sigmaY=STRAND_TEXELS[1])
    return np.asarray(blurred / blurred.std())


def _mirrored(index: Array, size: int) -> Array:
    """Indices that run to and fro within a tile."""
    folded = index % (2 * size)
    return np.where(folded < size, folded, 2 * size - 1 - folded)


@numba.njit(cache=True)
def largest_rectangle(mask):  # type: ignore[no-untyped-def]
    """The largest rectangle of a mask (R, C): first row, end, first column, end."""
    rows, columns = mask.shape
    height = np.zeros(columns + 1, np.int64)
    stack = np.zeros(columns + 2, np.int64)
    best, found = 0, (0, 0, 0, 0)
    for row in range(rows):
        for column in range(columns):
            height[column] = height[column] + 1 if mask[row, column] else 0
        depth = 0
        for column in range(columns + 1):
            while depth > 0 and height[stack[depth - 1]] >= height[column]:
                depth -= 1
                tall = height[stack[depth]]
                left = stack[depth - 1] + 1 if depth > 0 else 0
                if tall * (column - left) > best:
                    best = tall * (column - left)
                    found = (row + 1 - tall, row + 1, left, column)
            stack[depth] = column
            depth += 1
    return found
