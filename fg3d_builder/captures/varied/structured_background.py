"""Backgrounds with structure: patterns, writing, things, foliage and other people.

A plain room tells a network where the face is; these do not.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from fg3d_builder.captures.background import random_background
from fg3d_builder.captures.varied.room_light import black_body
from fg3d_builder.records import Array

_SKIN = np.array([[0.62, 0.41, 0.32], [0.42, 0.25, 0.17], [0.12, 0.065, 0.045]])
"""Linear reflectance of light, middle and dark skin."""


def structured_background(height: int, width: int, rng: np.random.Generator) -> Array:
    """Return (H, W, 3) linear light of one to three kinds of structure over a blurred room.

    Parameters
    ----------
    height, width : int
        In pixels.
    rng : numpy.random.Generator
    """
    image: Array = random_background(height, width, rng).astype(np.float32)
    for kind in rng.choice(len(_LAYERS), size=int(rng.integers(1, 4)), replace=False):
        _LAYERS[kind](image, rng)
    image *= 1.0 + 0.04 * _cloudy((height, width), rng)[..., None]
    sigma = rng.uniform(0.0, 0.004) * max(height, width)
    if sigma > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    return np.clip(image, 0.0, None).astype(np.float64)


def _stripes(image: Array, rng: np.random.Generator) -> None:
    """Paint blinds, planks or striped cloth over all of it or a part."""
    y, x = _grid(image)
    angle = rng.choice([0.0, np.pi / 2.0, rng.uniform(0.0, np.pi)])
    period = rng.uniform(0.008, 0.12) * max(image.shape[:2])
    phase = (x * np.cos(angle) + y * np.sin(angle)) / period
    wave = np.clip(np.sin(2.0 * np.pi * phase) * rng.uniform(1.0, 8.0), -1.0, 1.0)
    region = _box(image, rng, least=0.4)
    part = (0.5 + 0.5 * wave[region])[..., None] * rng.uniform(0.4, 1.0)
    image[region] += part * (_colour(rng) - image[region])


def _tiles(image: Array, rng: np.random.Generator) -> None:
    """Paint bricks, tiles or a chequered cloth, each of its own brightness, with joints."""
    rows = int(rng.integers(4, 28))
    tall = image.shape[0] / rows
    wide = tall * rng.uniform(0.7, 3.0)
    y, x = _grid(image)
    row = np.floor(y / tall).astype(int)
    shifted = x + rng.choice([0.0, 0.5]) * wide * (row % 2)
    column = np.floor(shifted / wide).astype(int)
    tones = np.exp(rng.normal(0.0, rng.uniform(0.05, 0.4), size=(rows + 1, column.max() + 1)))
    wall = tones[row, column][..., None] * _colour(rng)
    joint = rng.uniform(0.02, 0.1) * tall
    is_joint = (y % tall < joint) | (shifted % wide < joint)
    wall[is_joint] = _colour(rng)
    region = _box(image, rng, least=0.5)
    image[region] = wall[region]


def _writing(image: Array, rng: np.random.Generator) -> None:
    """Paint lines of letter-like signs as on posters, book spines and screens."""
    region = _box(image, rng, least=0.3)
    patch = image[region]
    patch += rng.uniform(0.3, 1.0) * (_colour(rng) - patch)
    ink: Array = np.zeros(patch.shape[:2], np.uint8)
    tall = rng.uniform(0.012, 0.09) * max(image.shape[:2])
    wide, thick = 0.65 * tall, max(1, round(tall * rng.uniform(0.06, 0.2)))
    alphabet = [rng.integers(0, 4, size=(int(rng.integers(2, 5)), 2)) / 3.0 for _ in range(24)]
    left = rng.uniform(0.0, 0.15) * ink.shape[1]
    for top in np.arange(0.5 * tall, ink.shape[0], rng.uniform(1.4, 2.4) * tall):
        end = rng.uniform(0.4, 1.0) * ink.shape[1]
        for x in np.arange(left, end, wide):
            if rng.uniform() < 0.85:  # else a space
                sign = alphabet[rng.integers(len(alphabet))] * [0.7 * wide, tall] + [x, top]
                line = np.rint(sign).astype(np.int32)
                cv2.polylines(ink, [line], False, 255, thick, cv2.LINE_AA)
    patch += (ink / np.float32(255.0))[..., None] * (_colour(rng) - patch)


def _shelves(image: Array, rng: np.random.Generator) -> None:
    """Paint rows of upright boxes: books, bottles, folders."""
    height, width = image.shape[:2]
    rows = int(rng.integers(2, 6))
    tall = height // rows
    board = tuple(float(c) for c in _colour(rng))
    for row in range(rows):
        bottom, x = (row + 1) * tall, 0
        while x < width:
            wide = int(rng.uniform(0.01, 0.06) * width) + 2
            top = bottom - int(rng.uniform(0.4, 0.95) * tall)
            colour = tuple(float(c) for c in _colour(rng))
            cv2.rectangle(image, (x, top), (x + wide - 1, bottom), colour, cv2.FILLED)
            x += wide + int(rng.uniform(0, 0.02) * width)
        cv2.rectangle(image, (0, bottom - 5), (width, bottom), board, cv2.FILLED)


def _window(image: Array, rng: np.random.Generator) -> None:
    """Paint bright panes between dark bars; they may be brighter than the picture can show."""
    region = _box(image, rng, least=0.3)
    pane = image[region]
    pane[:] = rng.uniform(0.8, 2.5) * black_body(float(rng.uniform(5000.0, 9000.0)))
    bars = int(rng.integers(1, 4))
    for axis in (0, 1):
        for place in np.linspace(0, pane.shape[axis] - 1, bars + 2).astype(int):
            first = max(0, place - 4)
            pane[(slice(None),) * axis + (slice(first, place + 5),)] = _colour(rng) * 0.5


def _foliage(image: Array, rng: np.random.Generator) -> None:
    """Paint leaves in many greens, and what is between them."""
    height, width = image.shape[:2]
    size = rng.uniform(0.006, 0.03) * max(height, width)
    green = np.array([0.12, 0.22, 0.05]) * rng.uniform(0.5, 1.8)
    for _ in range(int(min(900, 0.4 * height * width / size**2))):
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        axes = (int(size * rng.uniform(0.6, 1.6)) + 1, int(size * rng.uniform(0.2, 0.6)) + 1)
        colour = tuple(float(c) for c in green * np.exp(rng.normal(0.0, [0.4, 0.35, 0.5])))
        cv2.ellipse(image, centre, axes, rng.uniform(0, 360), 0, 360, colour, cv2.FILLED)


def _people(image: Array, rng: np.random.Generator) -> None:
    """Paint areas in the colours of skin with dark hair above, out of focus, as other people."""
    height, width = image.shape[:2]
    layer = image.copy()
    for _ in range(int(rng.integers(1, 6))):
        wide = rng.uniform(0.05, 0.22) * width
        tall = wide * rng.uniform(0.6, 1.7)
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        skin = _SKIN[rng.integers(3)] * np.exp(rng.normal(0.0, 0.25, size=3))
        lean = rng.uniform(-30, 30)
        above = (centre[0], int(centre[1] - 0.35 * tall))
        hair = tuple(float(c) for c in rng.uniform(0.01, 0.2) * np.ones(3))
        cv2.ellipse(layer, above, (int(wide), int(tall)), lean, 0, 360, hair, cv2.FILLED)
        colour = tuple(float(c) for c in skin)
        axes = (int(0.85 * wide), int(0.9 * tall))
        cv2.ellipse(layer, centre, axes, lean, 0, 360, colour, cv2.FILLED)
    image[:] = cv2.GaussianBlur(layer, (0, 0), rng.uniform(0.004, 0.03) * max(height, width))


_LAYERS: tuple[Callable[[Array, np.random.Generator], None], ...] = (
    _stripes,
    _tiles,
    _writing,
    _shelves,
    _window,
    _foliage,
    _people,
)


def _grid(image: Array) -> tuple[Array, Array]:
    rows, columns = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
    return rows.astype(np.float32), columns.astype(np.float32)


def _box(image: Array, rng: np.random.Generator, least: float) -> tuple[slice, slice]:
    """Rows and columns of a part of the picture, at least `least` of each side."""
    spans = []
    for side in image.shape[:2]:
        length = int(rng.uniform(least, 1.2) * side)
        start = int(rng.uniform(-0.1, 1.0) * max(side - length, 1))
        spans.append(slice(max(start, 0), max(start, 0) + length))
    return spans[0], spans[1]


def _colour(rng: np.random.Generator) -> Array:
    """A linear colour, brightness spread evenly in the eye's terms, grey or saturated."""
    value = rng.uniform(0.12, 0.97) ** 2.2
    saturation = rng.choice([0.1, 0.5])
    return np.asarray(value * np.exp(rng.normal(0.0, saturation, size=3)), dtype=np.float32)


def _cloudy(shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Noise (H, W) of unit size in octaves, as cloth, plaster and wood have it."""
    out = np.zeros(shape, np.float32)
    for octave in range(5):
        coarse = tuple(max(2, side >> octave) for side in shape)
        noise = rng.standard_normal(coarse).astype(np.float32)
        out += cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(out / np.sqrt(5.0))
