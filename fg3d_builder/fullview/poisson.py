"""Poisson editing: paint unknown pixels with a guide's gradients and the image's border.

The unknown picture is ``guide + c``. Its gradients are the guide's (Perez et al. 2003) where the
correction ``c`` is harmonic: each unknown pixel's correction is the mean of its four
neighbours', and on the border it is ``target - guide``. Only pixels whose colour may be believed
are border; all others, and the picture's edge, do not pull (Neumann). The system is solved by
conjugate gradients with a multigrid V-cycle over aggregates of 2 x 2 pixels, compiled.

On the holes of real views (2,000 to 14,000 pixels, three channels, `python -m benchmarks.poisson
--subjects 2`) it takes 2.3 ms in the median, CHOLMOD 14 ms (5 ms with its best ordering). It is
solved in single precision, in which a byte's colours are exact many times over.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np

from fg3d_builder.records import Array

_COARSEST = 8
_COARSE_SCALE = 0.55
"""Constant aggregates are too stiff: by two for smooth errors, by less beside the border."""
_MOST_ITERATIONS = 60
_LANES = 4
"""Channels that are solved for in step: so many single-precision numbers a register holds."""
_STEP_Y, _STEP_X = (0, 0, -1, 1), (-1, 1, 0, 0)


def solve_poisson(
    target_rgb: Array,
    guide_rgb: Array,
    unknown: Array,
    border_ok: Array | None = None,
    decay_px: float = np.inf,
    tolerance: float = 1e-3,
    largest: float = np.inf,
) -> Array:
    """Fill unknown pixels so that they join the known ones and vary as the guide does.

    Parameters
    ----------
    target_rgb, guide_rgb : (H, W, 3) float
        Picture to fill, and what lends its gradients; in the same units.
    unknown : (H, W) bool
    border_ok : (H, W) bool, optional
        Known pixels that hold the correction; all of them by default.
    decay_px : float
        Distance over which the correction fades and the guide's own colour returns; infinite
        for Poisson's equation as it stands.
    largest : float
        Larger differences between picture and guide on the border are cut to this.
    tolerance : float
        Largest residual, relative to that of no correction. The default leaves errors of about
        a thousandth of the correction at the border.

    Returns
    -------
    (H, W, 3) float64
        `target_rgb` with its unknown pixels filled. Unknown pixels that are connected to no
        border pixel take the guide's colour.
    """
    target = np.asarray(target_rgb, dtype=np.float64)
    guide = np.asarray(guide_rgb, dtype=np.float64)
    out = target.copy()
    border = ~unknown if border_ok is None else border_ok & ~unknown
    screen = 0.0 if np.isinf(decay_px) else 1.0 / decay_px**2
    step = corrections(target - guide, unknown, border, screen, tolerance, largest)
    out[unknown] = guide[unknown] + step
    return out


def membrane(
    known: Array, unknown: Array, border: Array, screen: float = 0.0, tolerance: float = 1e-3
) -> Array:
    """Stretch a membrane over unknown pixels, held by border pixels: (H, W, c) float64.

    Each unknown value is the mean of those of its neighbours that are unknown or border, with
    `screen` as the weight of a further neighbour that is zero. Components that touch no
    border are zero.

    Parameters
    ----------
    known : (H, W, c) float
        Read at border pixels alone.
    unknown, border : (H, W) bool
    screen : float
    tolerance : float
        See `solve_poisson`.
    """
    solution = np.zeros(known.shape)
    solution[unknown] = corrections(known, unknown, border, screen, tolerance)
    return solution


def corrections(
    known: Array,
    unknown: Array,
    border: Array,
    screen: float = 0.0,
    tolerance: float = 1e-3,
    largest: float = np.inf,
) -> Array:
    """Return the values (k, c) float32 of a membrane at the unknown pixels, row by row.

    Parameters
    ----------
    known : (H, W, c) float
        Read at border pixels alone, and cut to +-`largest`.
    unknown, border : (H, W) bool
    screen, tolerance : float
        See `membrane` and `solve_poisson`.
    """
    channels = known.shape[2]
    found = np.zeros((int(np.count_nonzero(unknown)), channels), np.float32)
    # Parts without a border would share coarse unknowns with those that have one.
    solved = held(unknown, border)
    if not solved.any():
        return found
    first, neighbour, link, diagonal, parent = _multigrid(solved, border, screen)
    where = solved[unknown]
    for start in range(0, channels, _LANES):
        part = known[..., start : start + _LANES]
        pull = _border_pull(part, solved, border, float(largest))
        values = _conjugate_gradients(
            first, neighbour, link, diagonal, parent, pull, tolerance, _MOST_ITERATIONS
        )
        found[where, start : start + _LANES] = values[:, : part.shape[2]]
    return found


def held(unknown: Array, border: Array) -> Array:
    """Drop the unknown components that touch no border pixel: nothing decides their value."""
    count, label = cv2.connectedComponents(unknown.astype(np.uint8), connectivity=4)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    beside = cv2.dilate(border.astype(np.uint8), cross) > 0
    held = np.zeros(count, dtype=bool)
    held[label[beside & unknown]] = True
    return np.asarray(held[label] & unknown)


def _multigrid(unknown: Array, border: Array, screen: float) -> tuple[Array, ...]:
    """Number the unknowns of all levels one after the other, finest first.

    Every level ends with an unknown that is always zero: the neighbour that is not there.

    Returns
    -------
    first : (levels + 1,) int64
        Where each level begins.
    neighbour : (k, 4) int32
    link : (k, 4) float32
        Weight of each neighbour.
    diagonal : (k,) float32
    parent : (k,) int32
        Aggregate on the next level.
    """
    rows, columns = np.nonzero(unknown)
    place = np.stack([rows, columns], axis=1).astype(np.int32)
    level = _finest(place, unknown, border, screen)
    first, parts = [0], []
    while True:
        count = len(place)
        offset = first[-1]
        first.append(offset + count + 1)
        neighbour, link, diagonal = level
        if count <= _COARSEST:
            parent = np.zeros(count + 1, dtype=np.int32)
        else:
            parent, place, level = _coarser(place, neighbour, link, diagonal)
            parent += np.int32(first[-1])
        parts.append((neighbour + np.int32(offset), link, diagonal, parent))
        if count <= _COARSEST:
            break
    joined = (np.concatenate([part[i] for part in parts]) for i in range(4))
    return (np.array(first), *joined)


@numba.njit(cache=True)
def _finest(place, unknown, border, screen):  # type: ignore[no-untyped-def]
    """Links of the five-point Laplacian among unknowns; border pixels count as stiffness."""
    height, width = unknown.shape
    count = len(place)
    number = np.full((height, width), count, dtype=np.int32)
    for k in range(count):
        number[place[k, 0], place[k, 1]] = k
    neighbour = np.full((count + 1, 4), count, dtype=np.int32)
    link = np.zeros((count + 1, 4), np.float32)
    diagonal = np.zeros(count + 1, np.float32)
    for k in range(count):
        diagonal[k] = screen
        for d in range(4):
            y, x = place[k, 0] + _STEP_Y[d], place[k, 1] + _STEP_X[d]
            if 0 <= y < height and 0 <= x < width:
                if unknown[y, x]:
                    neighbour[k, d] = number[y, x]
                    link[k, d] = 1.0
                    diagonal[k] += 1.0
                elif border[y, x]:
                    diagonal[k] += 1.0
    return neighbour, link, diagonal


@numba.njit(cache=True)
def _coarser(place, neighbour, link, diagonal):  # type: ignore[no-untyped-def]
    """Join the unknowns of every 2 x 2 cell; Galerkin's matrix, made softer."""
    count = len(place)
    height, width = place[:, 0].max() // 2 + 1, place[:, 1].max() // 2 + 1
    number = np.full((height, width), -1, dtype=np.int32)
    parent = np.zeros(count + 1, dtype=np.int32)
    cells = np.empty((count, 2), dtype=np.int32)
    joined = 0
    for k in range(count):
        y, x = place[k, 0] // 2, place[k, 1] // 2
        if number[y, x] < 0:
            number[y, x] = joined
            cells[joined, 0], cells[joined, 1] = y, x
            joined += 1
        parent[k] = number[y, x]
    parent[count] = joined
    neighbour_out = np.full((joined + 1, 4), joined, dtype=np.int32)
    link_out = np.zeros((joined + 1, 4), np.float32)
    diagonal_out = np.zeros(joined + 1, np.float32)
    for k in range(count):
        own = parent[k]
        diagonal_out[own] += _COARSE_SCALE * diagonal[k]
        for d in range(4):
            other = neighbour[k, d]
            if other == count:
                continue
            if parent[other] == own:
                diagonal_out[own] -= _COARSE_SCALE * link[k, d]
            else:
                neighbour_out[own, d] = parent[other]
                link_out[own, d] += _COARSE_SCALE * link[k, d]
    return parent, cells[:joined].copy(), (neighbour_out, link_out, diagonal_out)


@numba.njit(cache=True)
def _border_pull(known, unknown, border, largest):  # type: ignore[no-untyped-def]
    """Sum of each unknown pixel's border neighbours: the right-hand side (k, _LANES) float32."""
    height, width, channels = known.shape
    pull = np.zeros((unknown.sum(), _LANES), np.float32)
    k = 0
    for y in range(height):
        for x in range(width):
            if not unknown[y, x]:
                continue
            for d in range(4):
                v, u = y + _STEP_Y[d], x + _STEP_X[d]
                if 0 <= v < height and 0 <= u < width and border[v, u]:
                    for c in range(channels):
                        pull[k, c] += min(max(known[v, u, c], -largest), largest)
            k += 1
    return pull


@numba.njit(cache=True, error_model="numpy")
def _conjugate_gradients(  # type: ignore[no-untyped-def]
    first, neighbour, link, diagonal, parent, pull, tolerance, most
):
    """Solve for all channels in step; rests when the preconditioned residual has fallen."""
    count = len(pull)
    x = np.zeros((count, _LANES), np.float32)
    right = np.zeros((len(diagonal), _LANES), np.float32)
    z = np.zeros((len(diagonal), _LANES), np.float32)
    direction = np.zeros((count + 1, _LANES), np.float32)
    image = np.empty((count, _LANES), np.float32)
    right[:count] = pull
    _v_cycle(first, neighbour, link, diagonal, parent, right, z)
    energy = np.zeros(_LANES)
    for k in range(count):
        for c in range(_LANES):
            direction[k, c] = z[k, c]
            energy[c] += right[k, c] * z[k, c]
    goal = tolerance**2 * energy
    length, ratio = np.zeros(_LANES, np.float32), np.zeros(_LANES, np.float32)
    for _ in range(most):
        if np.all(energy <= goal):
            break
        curvature = np.zeros(_LANES)
        for k in range(count):
            a, b = np.uintp(neighbour[k, 0]), np.uintp(neighbour[k, 1])
            d, e = np.uintp(neighbour[k, 2]), np.uintp(neighbour[k, 3])
            for c in range(_LANES):
                value = diagonal[k] * direction[k, c]
                value -= link[k, 0] * direction[a, c] + link[k, 1] * direction[b, c]
                value -= link[k, 2] * direction[d, c] + link[k, 3] * direction[e, c]
                image[k, c] = value
                curvature[c] += value * direction[k, c]
        for c in range(_LANES):
            length[c] = energy[c] / curvature[c] if curvature[c] > 0.0 else 0.0
        for k in range(count):
            for c in range(_LANES):
                x[k, c] += length[c] * direction[k, c]
                right[k, c] -= length[c] * image[k, c]
        _v_cycle(first, neighbour, link, diagonal, parent, right, z)
        following = np.zeros(_LANES)
        for k in range(count):
            for c in range(_LANES):
                following[c] += right[k, c] * z[k, c]
        for c in range(_LANES):
            ratio[c] = following[c] / energy[c] if energy[c] > 0.0 else 0.0
        energy = following
        for k in range(count):
            for c in range(_LANES):
                direction[k, c] = z[k, c] + ratio[c] * direction[k, c]
    return x


@numba.njit(cache=True, error_model="numpy")
def _v_cycle(first, neighbour, link, diagonal, parent, right, z):  # type: ignore[no-untyped-def]
    """One symmetric V-cycle: Gauss-Seidel forwards on the way down, backwards on the way up."""
    levels = len(first) - 1
    for level in range(levels):
        start, stop = first[level], first[level + 1] - 1
        z[start : stop + 1] = 0.0
        for k in range(start, stop):
            _relax(k, neighbour, link, diagonal, right, z)
        if level + 1 == levels:
            for _ in range(_COARSEST):
                for k in range(stop - 1, start - 1, -1):
                    _relax(k, neighbour, link, diagonal, right, z)
                for k in range(start, stop):
                    _relax(k, neighbour, link, diagonal, right, z)
            continue
        right[first[level + 1] : first[level + 2]] = 0.0
        for k in range(start, stop):
            up = np.uintp(parent[k])
            a, b = np.uintp(neighbour[k, 0]), np.uintp(neighbour[k, 1])
            d, e = np.uintp(neighbour[k, 2]), np.uintp(neighbour[k, 3])
            for c in range(_LANES):
                value = right[k, c] - diagonal[k] * z[k, c]
                value += link[k, 0] * z[a, c] + link[k, 1] * z[b, c]
                value += link[k, 2] * z[d, c] + link[k, 3] * z[e, c]
                right[up, c] += value
    for level in range(levels - 1, -1, -1):
        start, stop = first[level], first[level + 1] - 1
        if level + 1 < levels:
            for k in range(start, stop):
                up = np.uintp(parent[k])
                for c in range(_LANES):
                    z[k, c] += z[up, c]
        for k in range(stop - 1, start - 1, -1):
            _relax(k, neighbour, link, diagonal, right, z)


@numba.njit(cache=True, inline="always", error_model="numpy")
def _relax(k, neighbour, link, diagonal, right, z):  # type: ignore[no-untyped-def]
    inverse = np.float32(1.0) / diagonal[k]
    a, b = np.uintp(neighbour[k, 0]), np.uintp(neighbour[k, 1])
    d, e = np.uintp(neighbour[k, 2]), np.uintp(neighbour[k, 3])
    for c in range(_LANES):
        value = link[k, 0] * z[a, c] + link[k, 1] * z[b, c]
        value += link[k, 2] * z[d, c] + link[k, 3] * z[e, c]
        z[k, c] = (right[k, c] + value) * inverse
