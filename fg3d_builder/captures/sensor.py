"""Imitates depth sensors: what a structured-light or time-of-flight camera would have measured.

Structured light
    The sensor measures disparity ``d = f b / z`` with an error that does not depend on
    distance, and reports it in steps, so the depth error grows with ``z^2`` (Khoshelham &
    Elberink, "Accuracy and Resolution of Kinect Depth Data", Sensors 2012); it grows further
    on slanted surfaces, because a match wanders sideways by a fraction of a pixel (Nguyen,
    Izadi & Lovell, "Modeling Kinect Sensor Noise", 3DIMPVT 2012; sideways shift, then
    disparity noise, then rounding: Handa et al., "A Benchmark for RGB-D Visual Odometry",
    ICRA 2014). Surface that the projector beside the camera does not reach has no depth.
    The numbers are fitted to iPhone TrueDepth frames (320 x 240): disparity is stored in
    steps of 1/640 per metre, the residual of locally cubic fits is 1.4 steps from 1.8 m to
    4 m and 1.4 to 1.9 steps on the head at 0.27 m, with a correlation of 0.4 to 0.6 between
    neighbouring pixels, and the shadow beside the head shows a baseline of 24 mm.
Time of flight
    Range noise is limited by the photons that come back: its standard deviation grows with
    distance and falls with the square root of the surface's reflectance and of the cosine
    of incidence (Lange & Seitz, "Solid-state time-of-flight range camera", IEEE JQE 2001;
    Belhedi et al., "Noise modelling in time-of-flight sensors", IET Computer Vision 2015).
    Pixels that see two surfaces report a mixture of both ("flying pixels"), and light that
    took a detour adds a bias that varies smoothly over the image (Foix, Alenya & Torras,
    "Lock-in Time-of-Flight Cameras: A Survey", IEEE Sensors Journal 2011).
"""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates
from scipy.special import ndtr

from fg3d_builder.config import SensorConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.geometry.camera import cam_from_depth
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import linear_from_srgb

KINDS = ("none", "structured_light", "time_of_flight")

BASELINE_MM = 24.0
DISPARITY_STEP_PER_MM = 1.0 / 640e3
DISPARITY_SIGMA_STEPS = 1.4
STRUCTURED_FOCAL_PX = 298.6
"""Focal length of the measured frames. Noise has the angular resolution of the sensor, so
lengths in pixels grow with the focal length of an image that shows it finer."""
SIDEWAYS_SIGMA_PX = 0.3
CORRELATION_SIGMA_PX = 0.8
"""Gaussian that correlates white noise like the measured one."""

TOF_FOCAL_PX = 504.0
"""Focal length of a common 640 x 576 time-of-flight sensor."""
TOF_SIGMA_MM = 0.8
"""Noise at 500 mm, on a white surface that faces the sensor."""
TOF_CORRELATION_SIGMA_PX = 0.6
TOF_BIAS_MM = 0.8
TOF_BIAS_PX = 35.0
"""Scale of the smooth bias in the image."""
_HOLE_PX = 0.5


def apply_sensor(
    depth_mm: Array, rgb: Array, intrinsics: Array, config: SensorConfig, capture_id: str
) -> Array:
    """Return the depth image that a sensor would have measured.

    Parameters
    ----------
    depth_mm : (H, W) float32
        Depth without noise; NaN where there is no surface.
    rgb : (H, W, 3) uint8
        Colour image; dark pixels send little light back.
    intrinsics : (3, 3) float64
    config : SensorConfig
        ``strength`` multiplies standard deviations, bias and dropout probabilities;
        rounding and shadows belong to the geometry of the sensor and stay.
    capture_id : str
        Determines the random numbers, together with ``config.seed``.

    Returns
    -------
    (H, W) float32
        NaN where the sensor sees nothing.

    Raises
    ------
    ConfigError
        Unknown kind.
    """
    if config.kind == "none":
        return depth_mm
    rng = capture_generator(config.seed, capture_id, "sensor")
    clean = depth_mm.astype(np.float64)
    if config.kind == "structured_light":
        measured = _structured_light(clean, rgb, intrinsics, config.strength, rng)
    elif config.kind == "time_of_flight":
        measured = _time_of_flight(clean, rgb, intrinsics, config.strength, rng)
    else:
        choices = ", ".join(KINDS)
        raise ConfigError(f"sensor.kind: unknown kind '{config.kind}'; known are {choices}")
    return measured.astype(np.float32)


def capture_generator(seed: int, capture_id: str, purpose: str) -> np.random.Generator:
    """Return a generator of its own for every seed, capture and purpose."""
    digest = hashlib.sha256(f"{seed}:{capture_id}:{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def _structured_light(
    depth: Array, rgb: Array, intrinsics: Array, strength: float, rng: np.random.Generator
) -> Array:
    finer = intrinsics[0, 0] / STRUCTURED_FOCAL_PX
    correlation_px = CORRELATION_SIGMA_PX * finer
    moved = _shifted_sideways(depth, strength * SIDEWAYS_SIGMA_PX * finer, correlation_px, rng)
    sigma = strength * DISPARITY_SIGMA_STEPS * DISPARITY_STEP_PER_MM
    disparity = 1.0 / moved + sigma * _correlated(depth.shape, correlation_px, rng)
    disparity = np.rint(disparity / DISPARITY_STEP_PER_MM) * DISPARITY_STEP_PER_MM
    with np.errstate(invalid="ignore", divide="ignore"):
        measured = np.where(disparity > 0, 1.0 / disparity, np.nan)
    lost = _in_shadow(depth, intrinsics)
    lost |= _dropped(_loss(depth, rgb, intrinsics), strength, _HOLE_PX * finer, rng)
    measured[lost] = np.nan
    return measured


def _time_of_flight(
    depth: Array, rgb: Array, intrinsics: Array, strength: float, rng: np.random.Generator
) -> Array:
    finer = intrinsics[0, 0] / TOF_FOCAL_PX
    mixed = _flying_pixels(depth, rng)
    # Skin, hair and most cloth are much brighter in the infrared than in colour.
    reflectance = 0.4 + 0.6 * _luminance(rgb)
    cosine = np.maximum(np.nan_to_num(_incidence_cosine(depth, intrinsics), nan=1.0), 0.1)
    sigma = strength * TOF_SIGMA_MM * (depth / 500.0) / np.sqrt(reflectance * cosine)
    noise = sigma * _correlated(depth.shape, TOF_CORRELATION_SIGMA_PX * finer, rng)
    bias = strength * TOF_BIAS_MM * _correlated(depth.shape, TOF_BIAS_PX * finer, rng)
    measured = mixed + noise + bias
    loss = 0.5 * _loss(depth, rgb, intrinsics)
    measured[_dropped(loss, strength, _HOLE_PX * finer, rng)] = np.nan
    return np.asarray(measured)


def _shifted_sideways(
    depth: Array, sigma_px: float, correlation_px: float, rng: np.random.Generator
) -> Array:
    """Look every pixel up a little beside itself, never across a depth step."""
    height, width = depth.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    dy = sigma_px * _correlated(depth.shape, correlation_px, rng)
    dx = sigma_px * _correlated(depth.shape, correlation_px, rng)
    # Bilinear with NaN: any missing neighbour gives NaN and keeps the pixel as it was.
    moved = map_coordinates(depth, [y + dy, x + dx], order=1, mode="nearest")
    with np.errstate(invalid="ignore"):
        near = np.abs(moved - depth) < 0.01 * depth
    return np.where(near, moved, depth)


def _correlated(shape: tuple[int, ...], sigma_px: float, rng: np.random.Generator) -> Array:
    """Gaussian noise of unit variance, white noise blurred by `sigma_px`."""
    # Coarse noise is made small and enlarged: blurring with a wide kernel costs seconds.
    factor = max(1, int(sigma_px / 4))
    small = tuple(-(-n // factor) + 2 for n in shape)
    sigma = sigma_px / factor
    noise = gaussian_filter(rng.standard_normal(small), sigma, mode="wrap")
    impulse = np.zeros(101)
    impulse[50] = 1.0
    # In two dimensions the variance is the square of the kernel's sum of squares.
    noise /= np.sum(gaussian_filter1d(impulse, sigma) ** 2)
    if factor > 1:
        size = (small[1] * factor, small[0] * factor)
        noise = cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(noise[: shape[0], : shape[1]])


def _in_shadow(depth: Array, intrinsics: Array) -> Array:
    """Pixels that the projector, `BASELINE_MM` to the right of the camera, does not reach.

    Seen from the projector, a point is at ``x - f b / z``: it is hidden where a point further
    right in its row is as far left or further.
    """
    x = np.arange(depth.shape[1], dtype=np.float64)
    from_projector = x - intrinsics[0, 0] * BASELINE_MM / depth
    blocking = np.where(np.isfinite(depth), from_projector, np.inf)[:, ::-1]
    leftmost = np.minimum.accumulate(blocking, axis=1)[:, ::-1]
    beyond = np.full_like(leftmost, np.inf)
    beyond[:, :-1] = leftmost[:, 1:]
    with np.errstate(invalid="ignore"):
        return np.asarray(beyond < from_projector)


def _loss(depth: Array, rgb: Array, intrinsics: Array) -> Array:
    """Probability (H, W) that a pixel returns no depth: grazing, dark, or at a depth step."""
    cosine = _incidence_cosine(depth, intrinsics)
    grazing = np.clip((0.30 - np.nan_to_num(cosine, nan=0.3)) / 0.20, 0.0, 1.0)
    dark = 0.5 * np.clip((0.02 - _luminance(rgb)) / 0.02, 0.0, 1.0)
    step = 0.7 * _at_step(depth)
    return np.asarray(1.0 - (1.0 - grazing) * (1.0 - dark) * (1.0 - step))


def _dropped(
    probability: Array, strength: float, hole_px: float, rng: np.random.Generator
) -> Array:
    """Draw holes of a few pixels with the given probability of each pixel."""
    noise = _correlated(probability.shape, hole_px, rng)
    # The noise is standard normal: its distribution function turns it into a fair draw.
    return np.asarray(ndtr(noise) < np.clip(strength * probability, 0.0, 1.0))


def _flying_pixels(depth: Array, rng: np.random.Generator) -> Array:
    """Mix the two surfaces that a pixel at a depth step sees, half of the time."""
    filled = np.nan_to_num(depth, nan=0.0)
    near = -cv2.dilate(np.where(filled > 0, -filled, -1e9), np.ones((3, 3)))
    far = cv2.dilate(filled, np.ones((3, 3)))
    share = rng.uniform(size=depth.shape)
    flies = (
        _at_step(depth) & np.isfinite(depth) & (far > near) & (rng.uniform(size=far.shape) < 0.5)
    )
    return np.where(flies, share * near + (1 - share) * far, depth)


def _at_step(depth: Array) -> Array:
    """Pixels whose 3 x 3 neighbourhood spans more than 4 % of their depth, or ends."""
    filled = np.nan_to_num(depth, nan=0.0)
    far = cv2.dilate(filled, np.ones((3, 3)))
    near = cv2.erode(filled, np.ones((3, 3)))
    return np.asarray((far - near > 0.04 * filled) & (filled > 0))


def _incidence_cosine(depth: Array, intrinsics: Array) -> Array:
    """Cosine between surface normal and line of sight; NaN beside missing depth."""
    points = cam_from_depth(depth, intrinsics)
    x, y, z = np.ascontiguousarray(points.transpose(2, 0, 1)[:, 1:-1, 1:-1])
    ax, ay, az = np.ascontiguousarray((points[1:-1, 2:] - points[1:-1, :-2]).transpose(2, 0, 1))
    bx, by, bz = np.ascontiguousarray((points[2:, 1:-1] - points[:-2, 1:-1]).transpose(2, 0, 1))
    # The normal by its components: three planes are faster than many points of three numbers.
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    length = np.sqrt((nx * nx + ny * ny + nz * nz) * (x * x + y * y + z * z))
    cosine = np.full(depth.shape, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine[1:-1, 1:-1] = np.abs(nx * x + ny * y + nz * z) / length
    return cosine


def _luminance(rgb: Array) -> Array:
    return np.asarray(linear_from_srgb(rgb) @ np.array([0.2126, 0.7152, 0.0722]))
