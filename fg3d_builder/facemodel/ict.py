"""Imports the USC-ICT face model (ICT-FaceKit, Li et al. 2020; MIT licence).

What is imported is the model's own "face" geometry, vertices 0-9408: one sheet from the
crown to the collar with the ears. Its eye and mouth openings are closed by patches, so the
sheet is a disk; eyeballs, teeth and lashes are left out. Back of the head and neck, vertices
9409-11247, are not part of the sheet but what lies beyond it.

Source: https://github.com/ICT-VGL/ICT-FaceKit, folder ``FaceXModel``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.arrays import from_arrays
from fg3d_builder.facemodel.chart import relax_chart
from fg3d_builder.facemodel.model import Embedding, FaceModel
from fg3d_builder.facemodel.patches import (
    Patch,
    border_loops,
    close_opening,
    heights_on_surface,
)
from fg3d_builder.facemodel.regions import painted_albedo, reliable_mask
from fg3d_builder.facemodel.surround import Beyond
from fg3d_builder.files.bounded import read_json_object, read_npz, read_regular
from fg3d_builder.files.obj_reader import ObjMesh, parse_obj
from fg3d_builder.geometry.meshes import signed_areas, split_polygons
from fg3d_builder.records import Array

FACE_VERTICES = 9409
"""The model's geometry 0 ("Face") is its first 9,409 vertices."""

HEAD_VERTICES = 11248
"""Geometry 1 ("Head and Neck") goes up to here and shares its inner border with the face."""

EYEBALL_VERTICES = 21451, 24591
"""Left sclera and iris, right sclera and iris, one after the other."""

EXPRESSION_SD = 0.3
"""Typical size of a blendshape weight; the model only bounds weights to [0, 1]."""

_MM_PER_UNIT = 10.0
_STILL_MM = 0.05
_MAX_OBJ_BYTES = 2**28
_EYE_ROWS, _MOUTH_ROWS = 5, 3
_IRISES = slice(2340, 3140), slice(770, 1570)
"""Right and left iris in `IctSource.eyeballs` (each eye: 770 sclera, 800 iris)."""


class IctSource(NamedTuple):
    """The parts of the model that are used: face, rest of the head and eyeballs, mm.

    Attributes
    ----------
    neutral : (9409, 3) float64
    identity : (k, 9409, 3) float64
        Displacements at unit coefficient.
    expression : (e, 9409, 3) float64
    expression_names : tuple of str
    triangles : (m, 3) int32
        Triangles of the face.
    uv : (9409, 2) float64
    landmarks68 : (68,) int32
        Multi-PIE numbering, which is iBUG-68.
    eyeballs : (3140, 3) float64
    eyeball_triangles : (k, 3) int32
        Indices into `eyeballs`.
    rest : (1839, 3) float64
        Back of the head and neck.
    rest_identity : (k, 1839, 3) float64
    rest_triangles : (t, 3) int32
        Indices into face and rest, one after the other.
    """

    neutral: Array
    identity: Array
    expression: Array
    expression_names: tuple[str, ...]
    triangles: Array
    uv: Array
    landmarks68: Array
    eyeballs: Array
    eyeball_triangles: Array
    rest: Array
    rest_identity: Array
    rest_triangles: Array


def import_ict(folder: str | Path) -> FaceModel:
    """Make a `FaceModel` of an ICT-FaceKit checkout.

    Parameters
    ----------
    folder : path
        The ``FaceXModel`` folder, or the one around it. If either holds ``all_modes.npz``
        (every mode in one file), it is read; otherwise the OBJ files: every
        ``identityNNN.obj`` and every other blendshape that is there.

    Returns
    -------
    FaceModel
        9,726 vertices. Expression coefficients are blendshape weights in [0, 1]. The albedo
        is painted from the landmarks; the model has no texture of its own.

    Raises
    ------
    ValueError
        Names the missing or unusable file.
    """
    return import_ict_head(folder)[0]


def import_ict_head(folder: str | Path) -> tuple[FaceModel, Beyond]:
    """Make the model and what it knows of the head beyond its sheet; see `import_ict`."""
    source = read_ict(folder)
    model = model_from_source(source)
    behind = source.rest_triangles >= FACE_VERTICES
    return model, Beyond(
        vertices_mm=source.rest,
        triangles=source.rest_triangles + np.where(behind, model.vertex_count - FACE_VERTICES, 0),
        id_basis=np.moveaxis(source.rest_identity, 0, 2),
    )


def ict_source_files(folder: str | Path) -> tuple[Path, ...]:
    """Return the files that `import_ict` reads.

    Raises
    ------
    ValueError
        Names the file that is missing.
    """
    base = Path(folder)
    for place in (base, base.parent if base.name == "FaceXModel" else base):
        if (place / "all_modes.npz").is_file():
            return (place / "all_modes.npz",)
    inner = base if base.name == "FaceXModel" else base / "FaceXModel"
    inner = inner if inner.is_dir() else base
    for name in ("generic_neutral_mesh.obj", "vertex_indices.json"):
        if not (inner / name).is_file():
            raise ValueError(f"no {name} in {inner}: not the FaceXModel folder of ICT-FaceKit")
    modes = sorted(p for p in inner.glob("*.obj") if p.stem != "generic_neutral_mesh")
    if not any(p.stem.startswith("identity") for p in modes):
        raise ValueError(f"no identityNNN.obj in {inner}: a model needs identity modes")
    return (inner / "generic_neutral_mesh.obj", inner / "vertex_indices.json", *modes)


def read_ict(folder: str | Path) -> IctSource:
    """Read a checkout; see `import_ict`."""
    files = ict_source_files(folder)
    if files[0].suffix == ".npz":
        return _read_npz(files[0])
    return _read_objs(files[0], files[1], files[2:])


def model_from_source(source: IctSource) -> FaceModel:
    """Close the openings, bring the modes along and add the semantics."""
    patches, triangles = _closed_sheet(source)
    vertices = np.vstack([source.neutral, *(p.extend(source.neutral) for p in patches)])
    moved = np.abs(source.expression).max(axis=(1, 2)) > _STILL_MM
    id_basis = _extended(source.identity, patches)
    exp_basis = _extended(source.expression[moved], patches)
    landmarks = vertices[source.landmarks68]
    eyeballs, mouth = _patch_masks(patches)
    iris = np.array([source.eyeballs[half].mean(axis=0) for half in _IRISES])
    count = exp_basis.shape[2]
    return from_arrays(
        name="ict-facekit",
        licence="MIT (USC Institute for Creative Technologies)",
        mean=vertices,
        triangles=triangles,
        id_basis=id_basis,
        id_sd=np.ones(len(source.identity)),
        exp_basis=exp_basis,
        exp_sd=np.full(count, EXPRESSION_SD),
        exp_names=[n for n, m in zip(source.expression_names, moved, strict=True) if m],
        exp_lower=np.zeros(count),
        exp_upper=np.ones(count),
        albedo_mean=painted_albedo(vertices, landmarks, eyeballs, mouth, iris),
        uv=_chart(source, patches, vertices, triangles),
        embeddings={"ibug68": vertex_embedding(source.landmarks68, triangles)},
        edge_points={"ibug68": np.arange(17, 68)},
        reliable=reliable_mask(vertices, triangles, landmarks, eyeballs | mouth),
    )


def vertex_embedding(vertex_index: Array, triangles: Array) -> Embedding:
    """Return the embedding whose point ``i`` is the vertex ``vertex_index[i]``."""
    first: dict[int, tuple[int, int]] = {}
    for t, corners in enumerate(triangles.tolist()):
        for corner, vertex in enumerate(corners):
            first.setdefault(vertex, (t, corner))
    at = np.array([first[int(v)] for v in vertex_index], dtype=np.int32)
    number = np.arange(len(vertex_index), dtype=np.int32)
    return Embedding(number, at[:, 0], np.eye(3)[at[:, 1]])


def _closed_sheet(source: IctSource) -> tuple[list[Patch], Array]:
    """Patches of the right eye, the left eye and the mouth, and all triangles."""
    loops = border_loops(source.triangles)
    if [len(loop) for loop in loops] != [204, 74, 42, 42]:
        raise ValueError("unexpected borders: not the topology of ICT-FaceKit's face")
    eyes = sorted(loops[2:], key=lambda loop: float(source.neutral[loop, 0].mean()))
    patches = []
    triangles = [source.triangles]
    next_vertex = FACE_VERTICES
    for loop, rows in ((eyes[0], _EYE_ROWS), (eyes[1], _EYE_ROWS), (loops[1], _MOUTH_ROWS)):
        patch = close_opening(source.neutral, loop, rows)
        if rows == _EYE_ROWS:
            flat = patch.weights @ source.neutral
            ball = heights_on_surface(flat[:, :2], source.eyeballs, source.eyeball_triangles)
            bulge = np.maximum(np.nan_to_num(ball, nan=-np.inf) - flat[:, 2], 0.0)
            patch = patch._replace(bulge_mm=bulge)
        new = patch.triangles >= FACE_VERTICES
        triangles.append(patch.triangles + np.where(new, next_vertex - FACE_VERTICES, 0))
        next_vertex += patch.weights.shape[0]
        patches.append(patch)
    return patches, np.concatenate(triangles).astype(np.int32)


def _extended(modes: Array, patches: list[Patch]) -> Array:
    """Modes (k, 9409, 3) with the patches' vertices -> basis (n, 3, k)."""
    return np.stack([np.vstack([m, *(p.extend(m) for p in patches)]) for m in modes], axis=2)


def _patch_masks(patches: list[Patch]) -> tuple[Array, Array]:
    sizes = [p.weights.shape[0] for p in patches]
    owner = np.repeat([-1, 0, 1, 2], [FACE_VERTICES, *sizes])
    return (owner == 0) | (owner == 1), owner == 2


def _chart(source: IctSource, patches: list[Patch], vertices: Array, triangles: Array) -> Array:
    """The model's own chart with the eyes, closed slits in it, opened."""
    uv = np.vstack([source.uv, *(p.weights @ source.uv for p in patches)])
    eyeballs, _ = _patch_masks(patches)
    sides = vertices[:, 0] < 0
    for side in (sides, ~sides):
        centre = uv[eyeballs & side].mean(axis=0)
        reach = np.linalg.norm((uv - centre) / [0.075, 0.05], axis=1)
        uv = relax_chart(uv, vertices, triangles, reach < 1.0)
    if np.any(signed_areas(uv[triangles]) <= 0):
        raise ValueError("the chart has flipped triangles: not the UV layout of ICT-FaceKit")
    return uv


def _read_npz(file: Path) -> IctSource:
    try:
        data = read_npz(file, "unreadable_model")
        place = {int(v): i for i, v in enumerate(data["source_vertex_index"])}
        head = np.array([place[i] for i in range(HEAD_VERTICES)])
        ball = np.array([place[i] for i in range(*EYEBALL_VERTICES)])
        original = np.where(data["faces"] >= 0, data["source_vertex_index"][data["faces"]], -1)
        return _cut(
            _MM_PER_UNIT * data["neutral"][head].astype(np.float64),
            _MM_PER_UNIT * data["neutral"][ball].astype(np.float64),
            {
                str(n): _MM_PER_UNIT * mode[head].astype(np.float64)
                for kind in ("identity", "expression")
                for n, mode in zip(data[f"{kind}_names"], data[kind], strict=True)
            },
            (original, data["faces_uv"], data["uv"]),
            data["landmarks_multipie68"],
        )
    except (KeyError, IndexError, TypeError, ValueError, CaptureError) as error:
        raise ValueError(f"{file} is no archive of ICT-FaceKit modes: {error}") from None


def _read_objs(neutral_file: Path, index_file: Path, mode_files: tuple[Path, ...]) -> IctSource:
    neutral = read_obj(neutral_file)
    if len(neutral.vertices) < EYEBALL_VERTICES[1] or not len(neutral.uv):
        raise ValueError(f"{neutral_file}: not ICT-FaceKit's generic mesh")
    positions = neutral.vertices
    quads = obj_quads(neutral)
    landmarks = published_landmarks(index_file)
    modes = {
        name: _MM_PER_UNIT * mode[:HEAD_VERTICES] for name, mode in obj_modes(neutral, mode_files)
    }
    return _cut(
        _MM_PER_UNIT * positions[:HEAD_VERTICES],
        _MM_PER_UNIT * positions[slice(*EYEBALL_VERTICES)],
        modes,
        (quads[..., 0], quads[..., 1], neutral.uv),
        landmarks,
    )


def _cut(
    head: Array,
    eyeballs: Array,
    modes: dict[str, Array],
    polygons: tuple[Array, Array, Array],
    landmarks: Array,
) -> IctSource:
    """Keep head and eyeballs; `polygons` are vertex quads, chart quads and chart points."""
    quads, quads_uv, points_uv = polygons
    of_face = np.all(quads < FACE_VERTICES, axis=1)
    of_rest = np.all(quads < HEAD_VERTICES, axis=1) & ~of_face
    low, high = EYEBALL_VERTICES
    of_eyes = np.all((quads < 0) | ((quads >= low) & (quads < high)), axis=1)
    face, face_uv = quads[of_face], quads_uv[of_face]
    uv = np.zeros((FACE_VERTICES, 2))
    uv[face[face >= 0]] = points_uv[face_uv[face >= 0]]
    identity = [mode for name, mode in modes.items() if name.startswith("identity")]
    identities = np.array(identity).reshape(-1, HEAD_VERTICES, 3)
    expressions = {n: m[:FACE_VERTICES] for n, m in modes.items() if not n.startswith("identity")}
    return IctSource(
        neutral=head[:FACE_VERTICES],
        identity=identities[:, :FACE_VERTICES],
        expression=np.array(list(expressions.values())).reshape(-1, FACE_VERTICES, 3),
        expression_names=tuple(expressions),
        triangles=split_polygons(face),
        uv=uv,
        landmarks68=landmarks.astype(np.int32),
        eyeballs=eyeballs,
        eyeball_triangles=split_polygons(np.where(quads >= 0, quads - low, -1)[of_eyes]),
        rest=head[FACE_VERTICES:],
        rest_identity=identities[:, FACE_VERTICES:],
        rest_triangles=split_polygons(quads[of_rest]),
    )


def obj_quads(mesh: ObjMesh) -> Array:
    """Return (m, 4, 2) int corners, vertex and chart point; -1 in triangles' last place."""
    quads = np.full((len(mesh.sizes), 4, 2), -1)
    quads[np.arange(4) < mesh.sizes[:, None]] = mesh.corners
    return quads


def obj_modes(neutral: ObjMesh, files: Iterable[Path]) -> Iterator[tuple[str, Array]]:
    """Yield name and displacements (n, 3) of each mode, in the files' unit.

    Raises
    ------
    ValueError
        Names the file that is no readable mesh, or another one.
    """
    count = len(neutral.vertices)
    for file in files:
        shape = read_obj(file, vertices_only=True).vertices
        if len(shape) != count:
            raise ValueError(f"{file}: {len(shape)} vertices, wanted {count}")
        yield file.stem, shape - neutral.vertices


def published_landmarks(index_file: Path) -> Array:
    """Return the (68,) int64 vertices of the generic mesh that are the Multi-PIE points.

    Raises
    ------
    ValueError
        Names file and field.
    """
    try:
        return np.array(read_json_object(index_file)["idx_to_landmark_verts"], np.int64)
    except CaptureError as error:
        raise ValueError(error.message) from None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        text = f"{index_file}: no vertices in field 'idx_to_landmark_verts' ({error})"
        raise ValueError(text) from None


def read_obj(file: Path, vertices_only: bool = False) -> ObjMesh:
    """Read one of a checkout's meshes; `ValueError` names the file."""
    try:
        data = read_regular(file, "unreadable_model", _MAX_OBJ_BYTES)
        return parse_obj(data, vertices_only)
    except (CaptureError, ValueError) as error:
        raise ValueError(f"{file}: no readable OBJ file ({error})") from None
