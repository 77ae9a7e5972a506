"""Phong illumination (Eq. 14) in linear light, and conversion between linear light and sRGB."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from fg3d_builder.records import Array


@dataclass(frozen=True)
class Light:
    """Lighting parameters of Eq. 14; colours are linear RGB.

    Attributes
    ----------
    ambient : (3,) float64
        Diagonal of ``Amb``.
    directional : (3,) float64
        Diagonal of ``Dir``.
    direction : (3,) float64
        ``l``: unit vector from the surface towards the light, in the frame of the normals.
    specular : float
        ``k_s``.
    shininess : float
        ``nu``.
    """

    ambient: Array
    directional: Array
    direction: Array
    specular: float = 0.0
    shininess: float = 20.0


def phong(albedo: Array, normals: Array, view: Array, light: Light) -> Array:
    """Return the colour of surface points by Eq. 14.

    ``C = Amb * T + Dir * T * <n, l> + k_s * Dir * <r, ve>^nu`` with
    ``r = 2 <n, l> n - l``. The equation leaves out what happens on the far side of the
    light: here, as in Phong's model, both products are zero where ``<n, l> < 0``, and the
    last one where ``<r, ve> < 0``.

    Parameters
    ----------
    albedo : (..., 3) float
        ``T``, linear RGB reflectance.
    normals, view : (..., 3) float
        Unit vectors: the surface normal, and ``ve`` from the surface towards the camera;
        any frame, the same for both and for ``light.direction``.
    light : Light

    Returns
    -------
    (..., 3) float64
        Linear RGB, not clipped.
    """
    facing = np.einsum("...d,d->...", normals, light.direction)[..., None]
    lit = np.maximum(facing, 0.0)
    color = albedo * (light.ambient + light.directional * lit)
    if light.specular:
        # <r, ve> without building r.
        along = 2.0 * facing[..., 0] * np.einsum("...d,...d->...", normals, view)
        along -= np.einsum("...d,d->...", view, light.direction)
        glint = np.maximum(along, 0.0) ** light.shininess * (facing[..., 0] > 0)
        color = color + light.specular * light.directional * glint[..., None]
    return np.asarray(color)


def shade_and_gloss(normals: Array, view: Array, light: Light) -> tuple[Array, Array]:
    """Return the factor of the albedo in Eq. 14 and the colour added to it, (n, 3) each.

    ``C = shade * T + gloss``; with a target shape's normals this is Eq. 17. Arguments as in
    `phong`.
    """
    facing = np.einsum("...d,d->...", normals, light.direction)
    shade = light.ambient + light.directional * np.maximum(facing, 0.0)[..., None]
    return shade, phong(np.zeros_like(normals), normals, view, light)


def linear_from_srgb(srgb: Array) -> Array:
    """Decode sRGB (IEC 61966-2-1) to linear light.

    uint8 [0, 255] or float [0, 1] of any shape -> float32 in [0, 1] of that shape.

    `srgb` is what is decoded.
    """
    if srgb.dtype == np.uint8:
        return np.asarray(_LINEAR_OF_BYTE[srgb])
    return decoded_srgb(np.asarray(srgb, dtype=np.float64)).astype(np.float32)


def linear_per_srgb(srgb: Array) -> Array:
    """Return the derivative of linear light by sRGB; float in [0, 1] -> float64, any shape.

    `srgb` is where it is taken.
    """
    return np.where(srgb <= 0.04045, 1 / 12.92, 2.4 / 1.055 * ((srgb + 0.055) / 1.055) ** 1.4)


def srgb_from_linear(linear: Array) -> Array:
    """Encode linear light, clipped to [0, 1], as sRGB uint8; what is no number becomes 0."""
    values = np.ascontiguousarray(linear)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    out = np.empty(values.shape, np.uint8)
    _encode(values.reshape(-1), _ENDS, _FIRST, out.reshape(-1))
    return out


@numba.njit(cache=True, nogil=True)
def _encode(values, ends, first, out):  # type: ignore[no-untyped-def]
    """Find each value's byte: the table's, or the next ones as long as it is beyond their ends."""
    for k in range(len(values)):
        value = values[k]
        # False for what is not a number, too.
        if not value > 0.0:
            out[k] = 0
            continue
        value = min(value, 1.0)
        byte = int(first[int(value * (len(first) - 1))])
        while byte < 255 and value > ends[byte]:
            byte += 1
        out[k] = byte


def decoded_srgb(srgb: Array) -> Array:
    """Decode sRGB, float in [0, 1], to linear light in float64, any shape.

    `srgb` is what is decoded.
    """
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


_LINEAR_OF_BYTE = decoded_srgb(np.arange(256) / 255.0).astype(np.float32)

_ENDS = decoded_srgb((np.arange(255) + 0.5) / 255.0)
"""Linear light up to which each byte is the nearest in sRGB."""

_FIRST = np.searchsorted(_ENDS, np.arange(4097) / 4096.0).astype(np.uint8)
"""The byte of each 4096th of linear light: the first that what is above it may have."""
