"""A captured picture whose face has a new shape (Sec. 6.3, Fig. 9).

The picture's mesh keeps its triangles: face vertices go to the target shape, in the pose of the
capture, the background follows the outline (Eq. 16), and every pixel is fetched from where its
surface point was in the captured picture. Then the shading is adjusted (Eq. 17), what the
captured picture never showed is painted, and what stood before the face is laid over it, in its
own place and light. The result is a capture with a registration like any other, so turned views
are made of it in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numba
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.delight import softened
from fg3d_builder.fullview.head_layers import HeadLayers
from fg3d_builder.fullview.image_mesh import ImageMesh
from fg3d_builder.fullview.inpaint import inpaint_view
from fg3d_builder.fullview.texture_fit import TextureFit
from fg3d_builder.geometry.camera import cam_from_px, px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.records import Array, Capture, Registration
from fg3d_builder.rendering.fragments import Fragments
from fg3d_builder.rendering.rasterizer import interpolate, rasterize, visible_vertices
from fg3d_builder.rendering.shading import linear_from_srgb, srgb_from_linear
from fg3d_builder.transform.background_warp import Background
from fg3d_builder.transform.before_face import BeforeFace, MovedThings, moved_things
from fg3d_builder.transform.correspondence import pixel_places, put_places
from fg3d_builder.transform.moved_head import moved_head
from fg3d_builder.transform.shading_change import (
    ShadingChange,
    ShapeShading,
    changed,
    shading_change,
    shape_shading,
)
from fg3d_builder.transform.target_shape import TargetShape

UNSEEN = 0.5
"""Interpolated visibility below which a pixel's surface was hidden in the captured picture."""

BEHIND_MM = 4.0
"""Depth by which a place of the face was behind another one in the captured picture, or behind one
beside it: there colours are mixed."""

STRETCHES = (3.0, 5.0)
"""Growth of a surface's area in the picture from which its colour is doubted, and not believed."""

RIM_PX = 2
RIM_STRETCHES = (1.0, 2.0)
"""The same for what was so near to the outline that it is mixed with what is behind."""

FAR_MM = 1e9
"""Stands for no depth in images that OpenCV works on: it knows no infinity."""

DOUBT_PX = 2
"""Pixels around the face that take part in what is doubted on it."""

SOFT_SIGMA_PX = 1.0
"""Blur of the border between fetched and painted pixels."""

LEAST_CHANGE = 1e-4
"""Gains and offsets that together differ from none by less leave a pixel as it is."""

OPENED = 0.25
"""Weight of what hid a place of the face and no longer does, from which it is painted."""

LEAST_GAP_MM = 6.0
"""Things nearer to the new face than to the captured one are at least so far before it, or as far
as they were: enough to be told from it by depth."""


@dataclass(frozen=True)
class Transformed:
    """A capture with another shape.

    Attributes
    ----------
    capture : Capture
        With the new picture and depth; everything else is the source's.
    registration : Registration
        Registration of the target shape.
    mesh : ImageMesh
    texture : TextureFit
        The source's light and albedo on the target shape.
    warped_rgb : (H, W, 3) uint8
        The picture before its shading was adjusted.
    painted : float
        Share of the face's pixels that the source did not show.
    head : HeadLayers or None
        The head around the new face; None where the captured one was not given.
    """

    capture: Capture
    registration: Registration
    mesh: ImageMesh
    texture: TextureFit
    warped_rgb: Array
    painted: float
    head: HeadLayers | None


def transform_capture(
    model: FaceModel,
    capture: Capture,
    registration: Registration,
    mesh: ImageMesh,
    texture: TextureFit,
    before: BeforeFace | None,
    target: TargetShape,
    solver: str,
    head: HeadLayers | None = None,
) -> Transformed | None:
    """Put a target shape under a captured picture.

    Parameters
    ----------
    model : FaceModel
    capture : Capture
    registration : Registration
    mesh : ImageMesh
    texture : TextureFit
    before : BeforeFace or None
        All of the capture; see `fg3d_builder.transform.before_face.before_face`.
    target : TargetShape
        In the capture's object frame.
    solver : str
        Sparse backend, see `fg3d_builder.numerics.sparse_solver.analyze`.
    head : HeadLayers, optional
        The captured head. It is carried along, for turned views.

    Returns
    -------
    Transformed or None
        None where the background cannot follow without folds.
    """
    target_cam = registration.pose.cam_from_obj(target.shape_obj_mm)
    moved = moved_mesh(mesh, target_cam, solver, before)
    if moved is None:
        return None
    still, moved_to = moved
    fetched = _fetch(mesh, still, moved_to, capture)
    shaded, skin = _captured_shading(model, registration, mesh, texture)
    after = shape_shading(target_cam, model.triangles, texture.light)
    change = shading_change(shaded, after, skin)
    rgb = _reshaded(fetched.rgb, fetched.face, model.triangles, change)
    albedo = texture.delit_albedo
    if before is not None:
        # The picture's own albedo is that of the thing, or mixed with it.
        under = before.hides(mesh.source_px[: mesh.face_vertex_count])
        albedo = np.where(under[:, None], texture.albedo, albedo)
    lit = replace(
        texture,
        normals_cam=after.normals,
        colors_linear=texture.albedo * after.shade + after.gloss,
        delit_albedo=albedo,
        completed_linear=albedo * after.shade + after.gloss,
    )
    hidden = _hidden(fetched.face, model.triangles, registration.visible, fetched.doubt)
    things = None if before is None else moved_things(before, capture, still, moved_to)
    warped = fetched.rgb
    if before is not None and things is not None:
        hidden |= _opened(before, things, fetched)
        warped = _laid_over(before, things, warped)
    depth = np.where(hidden, fetched.face.depth_mm, fetched.depth_mm)
    rgb = _hidden_painted(rgb, fetched.face, model.triangles, hidden, fetched.doubt, lit)
    if before is not None and things is not None:
        rgb = _laid_over(before, things, rgb)
        depth = _depth_laid_over(before, things, depth, fetched.face)
    if head is not None:
        both = None if before is None or things is None else (before, things)
        head = moved_head(
            model, registration, head, target_cam, still, moved_to, both, solver, mesh
        )
        head = _on_new_picture(head, fetched, hidden, mesh.intrinsics, both)
    normals = vertex_normals(target_cam, model.triangles)
    height, width = mesh.image_size
    visible = visible_vertices(
        target_cam, model.triangles, normals, capture.intrinsics, height, width
    )
    return Transformed(
        capture=replace(capture, rgb=rgb, depth_mm=depth, landmarks=None, truth=None),
        registration=replace(
            registration,
            vertices_cam_mm=target_cam,
            shape_obj_mm=target.shape_obj_mm,
            coarse_obj_mm=model.shape(target.alpha_id, target.alpha_exp),
            alpha_id=target.alpha_id,
            alpha_exp=target.alpha_exp,
            confidence=target.confidence,
            visible=visible,
        ),
        mesh=moved_to,
        texture=lit,
        warped_rgb=warped,
        painted=float(hidden.sum() / max(int((fetched.face.triangle >= 0).sum()), 1)),
        head=head,
    )


def _captured_shading(
    model: FaceModel, registration: Registration, mesh: ImageMesh, texture: TextureFit
) -> tuple[ShapeShading, Array]:
    """Shading of the captured face, and how far its vertices (n,) are skin; kept with its mesh."""
    parts = (model, registration, texture)
    key = ("shading", *map(id, parts))
    if key not in mesh.kept:
        shaded = shape_shading(registration.vertices_cam_mm, model.triangles, texture.light)
        skin = softened(np.where(model.reliable & ~texture.occluder, 1.0, 0.0), model.triangles)
        # Kept together with the parts, so that no others get their identities.
        mesh.kept[key] = parts, shaded, skin
    _, shaded, skin = mesh.kept[key]
    return shaded, skin


def moved_mesh(
    mesh: ImageMesh, target_cam_mm: Array, solver: str, before: BeforeFace | None = None
) -> tuple[ImageMesh, ImageMesh] | None:
    """Give the face of a picture's mesh other vertices (n, 3); the background follows (Eq. 16).

    Anchors keep their depth. Where the background could not follow the outline without a fold
    it lets go of it, and gets vertices of its own. So it does where something before the face
    hides the outline: what the picture shows there is no outline.

    Returns
    -------
    tuple of two ImageMesh, or None
        The mesh as it was and as it moved, of one topology; None where folds remain.
    """
    n = mesh.face_vertex_count
    wanted = mesh.source_px.copy()
    wanted[:n] = px_from_cam(target_cam_mm, mesh.intrinsics)
    # Where two contour lines of the face crossed they will cross elsewhere, or no more: those
    # corners of the outline go with the background.
    on_face = np.arange(len(wanted)) < n
    covered = np.zeros(len(wanted), dtype=bool)
    if before is not None:
        corners = mesh.outline[mesh.outline < n]
        covered[corners] = before.hides(mesh.source_px[corners])
    held = (on_face & ~covered) | mesh.border
    warp = _background(mesh, held, solver).warped(wanted, on_face)
    if warp.folded:
        return None
    loose = np.flatnonzero(warp.yielded | covered)
    still = _with_copies(mesh, loose)
    points = np.concatenate([warp.points_px, warp.points_px[loose]])
    points[:n] = wanted[:n]
    vertices = cam_from_px(points, still.vertices_cam_mm[:, 2], mesh.intrinsics)
    vertices[:n] = target_cam_mm
    return still, replace(still, vertices_cam_mm=vertices, source_px=points)


def _background(mesh: ImageMesh, held: Array, solver: str) -> Background:
    """A mesh's background, held (v,) at some points; kept with the mesh."""
    key = ("background", held.tobytes(), solver)
    if key not in mesh.kept:
        mesh.kept[key] = Background(mesh.source_px, mesh.background_triangles, held, solver)
    found: Background = mesh.kept[key]
    return found


def _with_copies(mesh: ImageMesh, loose: Array) -> ImageMesh:
    """Let background and lining use copies of some of the face's vertices."""
    number = np.arange(len(mesh.source_px) + len(loose), dtype=np.int32)
    number[loose] = len(mesh.source_px) + np.arange(len(loose), dtype=np.int32)
    sheet = number[mesh.sheet_triangles]

    def extended(values: Array) -> Array:
        return np.concatenate([values, values[loose]])

    return replace(
        mesh,
        vertices_cam_mm=extended(mesh.vertices_cam_mm),
        source_px=extended(mesh.source_px),
        triangles=np.concatenate([mesh.face_triangles, sheet]),
        outline=number[mesh.outline],
        border=extended(mesh.border),
    )


class _Fetched(NamedTuple):
    """The new picture before painting.

    rgb : (H, W, 3) uint8; depth_mm : (H, W) float32; face : Fragments of the face.
    from_px : (H, W, 2) float32, where each pixel was in the captured picture.
    doubt : (H, W) float32, 1 where the face's colour there was another one's.
    """

    rgb: Array
    depth_mm: Array
    face: Fragments
    from_px: Array
    doubt: Array


def _fetch(mesh: ImageMesh, source: ImageMesh, moved: ImageMesh, capture: Capture) -> _Fetched:
    """Render the moved mesh in the captured camera with the captured picture's pixels.

    `source` is the captured `mesh`, of the moved one's topology; it looks the same.
    The measured depth comes along, corrected by how far the surface moved in depth: so what
    stood before the face or behind it still does.
    """
    height, width = source.image_size
    face = rasterize(moved.vertices_cam_mm, moved.face_triangles, moved.intrinsics, height, width)
    sheet = rasterize(
        moved.vertices_cam_mm, moved.sheet_triangles, moved.intrinsics, height, width, False
    )
    places = pixel_places(height, width)
    here, there = moved.vertices_cam_mm, source.vertices_cam_mm
    for drawn, triangles in ((sheet, source.sheet_triangles), (face, source.face_triangles)):
        put_places(places, drawn, triangles, here, there, source.intrinsics)
    x, y, farther = (np.ascontiguousarray(places[..., k]) for k in range(3))
    rgb = cv2.remap(capture.rgb, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    depth = cv2.remap(
        capture.depth_mm,
        x,
        y,
        cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=np.nan,
    )
    return _Fetched(
        rgb=rgb,
        depth_mm=(depth - farther).astype(np.float32),
        face=face,
        from_px=places[..., :2],
        doubt=_doubt(mesh, moved, face, face.depth_mm + farther, x, y),
    )


def _doubt(
    still: ImageMesh, moved: ImageMesh, face: Fragments, depth_mm: Array, x: Array, y: Array
) -> Array:
    """How little the colours that the face's pixels take were theirs, (H, W) float32 in [0, 1].

    Another part of the face hid them in the captured picture, or they were beside one that did
    and are mixed with it (though not all that is beside something nearer: so is every pixel of
    a steep side). Or they were seen so obliquely that a few pixels of the picture, at the rim
    mixed with what is behind, are drawn out over many.
    """
    doubt = np.zeros(face.triangle.shape, np.float32)
    box = _box_of(face.triangle >= 0, DOUBT_PX)
    triangle, depth, x, y = (image[box] for image in (face.triangle, depth_mm, x, y))
    was = _face_as_captured(still)
    square = np.ones((3, 3), np.uint8)
    x, y = (at - np.float32(first) for at, first in zip((x, y), was.first_px, strict=True))
    farthest, nearest = (
        cv2.remap(image, x, y, cv2.INTER_NEAREST, borderValue=FAR_MM)
        for image in (was.farthest_mm, was.nearest_mm)
    )
    with np.errstate(invalid="ignore"):
        certain = (depth - farthest > BEHIND_MM).astype(np.uint8)
        beside = cv2.dilate(certain, square, iterations=2) > 0
        hidden = beside & (depth - nearest > BEHIND_MM)
    area, new_area = (-_areas(mesh.source_px, mesh.face_triangles) for mesh in (still, moved))
    stretch = (new_area / np.maximum(area, 1e-6))[triangle]
    rim = cv2.remap(was.inner, x, y, cv2.INTER_NEAREST, borderValue=0) == 0
    first, last = (
        np.where(rim, at_rim, inside)
        for at_rim, inside in zip(RIM_STRETCHES, STRETCHES, strict=True)
    )
    drawn_out = np.clip((stretch - first) / (last - first), 0.0, 1.0)
    doubt[box] = np.where(triangle >= 0, np.maximum(drawn_out, hidden), 0.0)
    return doubt


class _FaceAsCaptured(NamedTuple):
    """Images (h, w) of a captured face, in a window of its picture that begins at a pixel.

    farthest_mm, nearest_mm : float32, depth of the face among a pixel's neighbours; `FAR_MM` for
    none. inner : uint8, 1 away from the outline. first_px : (2,) int, column and row.
    """

    farthest_mm: Array
    nearest_mm: Array
    inner: Array
    first_px: Array


def _face_as_captured(mesh: ImageMesh) -> _FaceAsCaptured:
    """Look at the captured face; kept with its mesh."""
    if "face" not in mesh.kept:
        drawn = rasterize(
            mesh.vertices_cam_mm, mesh.face_triangles, mesh.intrinsics, *mesh.image_size
        )
        rows, columns = box = _box_of(drawn.triangle >= 0, DOUBT_PX)
        square = np.ones((3, 3), np.uint8)
        known = np.nan_to_num(drawn.depth_mm[box], nan=FAR_MM)
        face = (drawn.triangle[box] >= 0).astype(np.uint8)
        mesh.kept["face"] = _FaceAsCaptured(
            cv2.dilate(known, square),
            cv2.erode(known, square),
            cv2.erode(face, square, iterations=RIM_PX),
            np.array([columns.start, rows.start]),
        )
    found: _FaceAsCaptured = mesh.kept["face"]
    return found


@numba.njit(cache=True, nogil=True)
def _areas(points, triangles):  # type: ignore[no-untyped-def]
    """Signed areas (m,) of triangles in the plane, as `signed_areas` has them."""
    out = np.empty(len(triangles))
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x, y = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
        u, v = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1]
        out[t] = 0.5 * (x * v - y * u)
    return out


def _box_of(mask: Array, margin: int) -> tuple[slice, slice]:
    """Rows and columns of a mask's pixels, with a margin around them; empty without any."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + 1 + margin),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + 1 + margin),
    )


def _opened(before: BeforeFace, things: MovedThings, fetched: _Fetched) -> Array:
    """Return the (H, W) mask of face pixels that something hid and hides no longer."""
    x, y = np.moveaxis(fetched.from_px[before.window] - before.first_px, -1, 0).astype(np.float32)
    was = cv2.remap(before.weight, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    opened = np.zeros(fetched.face.triangle.shape, dtype=bool)
    opened[before.window] = was - things.weight > OPENED
    return opened & (fetched.face.triangle >= 0)


def _laid_over(before: BeforeFace, things: MovedThings, rgb: Array) -> Array:
    """Lay things over a picture (H, W, 3) uint8."""
    out = rgb.copy()
    under, weight = rgb[before.window].astype(np.float32), things.weight[..., None]
    out[before.window] = np.rint(under + weight * (things.rgb - under))
    return out


def _depth_laid_over(
    before: BeforeFace, things: MovedThings, depth_mm: Array, face: Fragments
) -> Array:
    """Lay things over a picture's depth (H, W); they stay before the face where it came nearer."""
    new = things.depth_mm
    gap = np.minimum(things.gap_mm, LEAST_GAP_MM)
    limit = np.nan_to_num(face.depth_mm[before.window], nan=np.inf) - gap
    out = depth_mm.copy()
    out[before.window] = np.where(things.weight > 0.5, np.minimum(new, limit), out[before.window])
    return out.astype(np.float32)


def _on_new_picture(
    head: HeadLayers,
    fetched: _Fetched,
    hidden: Array,
    intrinsics: Array,
    things: tuple[BeforeFace, MovedThings] | None,
) -> HeadLayers:
    """Bring what a head knows of its picture to the new one; what was painted there is shown."""
    x, y = np.moveaxis(fetched.from_px, -1, 0)
    found = head.found
    shown = found.shown_on(intrinsics, hidden.shape)
    moved = cv2.remap(shown, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE) > 0
    moved |= hidden
    if things is not None:
        before, after = things
        moved[before.window] &= after.weight == 0
    backdrop = cv2.remap(found.backdrop, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return replace(head, shown=moved, shown_intrinsics=intrinsics, backdrop=np.asarray(backdrop))


def _reshaded(rgb: Array, face: Fragments, triangles: Array, change: ShadingChange) -> Array:
    """Apply a change of shading to the face's pixels (H, W, 3) uint8."""
    vertex = np.concatenate([change.gain - 1.0, change.offset], axis=1).astype(np.float32)
    pixel, both = _changes(face.triangle, face.barycentric, triangles, vertex)
    out = rgb.copy()
    flat = out.reshape(-1, 3)
    color = linear_from_srgb(flat[pixel])
    flat[pixel] = srgb_from_linear(changed(color, 1.0 + both[:, :3], both[:, 3:]))
    return out


@numba.njit(cache=True, nogil=True)
def _changes(triangle, barycentric, triangles, vertex):  # type: ignore[no-untyped-def]
    """Pixels (k,) of an image, row by row, that vertices' values (n, 6) change, and by what.

    What stays as it is must not be rounded to it, so pixels without a change are left out.
    """
    rows, columns = triangle.shape
    count = 0
    for row in range(rows):
        for column in range(columns):
            count += triangle[row, column] >= 0
    pixel, both = np.empty(count, np.int64), np.empty((count, 6), np.float32)
    kept = 0
    for row in range(rows):
        for column in range(columns):
            t = triangle[row, column]
            if t < 0:
                continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            u, v, w = barycentric[row, column]
            total = 0.0
            for k in range(6):
                value = u * vertex[a, k] + v * vertex[b, k] + w * vertex[c, k]
                both[kept, k] = value
                total += abs(value)
            pixel[kept] = row * columns + column
            kept += total > LEAST_CHANGE
    return pixel[:kept], both[:kept]


def _hidden_painted(
    rgb: Array, face: Fragments, triangles: Array, hidden: Array, doubt: Array, lit: TextureFit
) -> Array:
    """Paint the hidden pixels (H, W) of the face, and doubted ones in part, in its own texture."""
    guide = interpolate(face, triangles, lit.completed_linear.astype(np.float32), np.float32)
    soft = cv2.GaussianBlur(hidden.astype(np.float32), (0, 0), SOFT_SIGMA_PX)
    return inpaint_view(rgb, guide, hidden, np.maximum(soft, doubt), face.triangle >= 0)


def _hidden(face: Fragments, triangles: Array, visible: Array, doubt: Array) -> Array:
    """Return the (H, W) mask of face pixels whose surface the captured picture does not show.

    That of vertices which it does not show, and what is beyond doubt (H, W) another one's colour.
    """
    seen = interpolate(face, triangles, visible[:, None].astype(np.float64))[..., 0]
    hidden = (face.triangle >= 0) & ((seen < UNSEEN) | (doubt >= 1.0))
    # Single pixels along an outline are neither hidden nor worth a colour of their own.
    opened = cv2.morphologyEx(hidden.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.asarray(opened > 0)
