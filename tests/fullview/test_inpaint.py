from __future__ import annotations

import cv2
import numpy as np
import pytest

from fg3d_builder.fullview.inpaint import inpaint_view
from fg3d_builder.rendering.shading import linear_from_srgb, srgb_from_linear

SIZE = 128
ROWS, COLUMNS = np.mgrid[0:SIZE, 0:SIZE]
FACE = ((COLUMNS - 64) / 46) ** 2 + ((ROWS - 64) / 56) ** 2 < 1
UNKNOWN = FACE & (COLUMNS > 78)


def skin(seed: int = 0) -> np.ndarray:
    """Linear light of a shaded face with some texture."""
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.standard_normal((SIZE, SIZE)), (0, 0), 2.0)
    shade = 0.35 + 0.5 * np.sqrt(np.clip(1 - ((COLUMNS - 40) / 90) ** 2, 0, 1))
    return (shade * (1 + 0.15 * grain))[..., None] * np.array([0.6, 0.4, 0.32])


def picture(linear: np.ndarray, background: tuple[int, int, int] = (20, 200, 60)) -> np.ndarray:
    """The face before a background, sRGB; garbage where it is unknown."""
    rgb = srgb_from_linear(linear)
    rgb[~FACE] = background
    rgb[UNKNOWN] = (255, 0, 255)
    return rgb


def softened(width_px: float = 6.0) -> np.ndarray:
    """Mask that falls from 1 to 0 over some pixels of the known side."""
    distance = cv2.distanceTransform((~UNKNOWN).astype(np.uint8), cv2.DIST_L2, 5)
    return np.clip(1 - distance / width_px, 0, 1).astype(np.float32) * FACE


@pytest.mark.parametrize("gain", [(1.0, 1.0, 1.0), (0.7, 0.7, 0.7), (1.25, 1.0, 0.85)])
def test_a_model_off_by_a_gain_is_brought_to_the_image(gain: tuple[float, ...]) -> None:
    truth = skin()
    found = inpaint_view(picture(truth), truth * gain, UNKNOWN, softened(), FACE)
    # Near the border the gain is the image's; further away it fades.
    near = UNKNOWN & (COLUMNS < 81)
    error = np.abs(found.astype(int) - srgb_from_linear(truth).astype(int))[near]
    model_error = np.abs(
        srgb_from_linear(truth * gain).astype(int) - srgb_from_linear(truth).astype(int)
    )[near]
    if gain != (1.0, 1.0, 1.0):
        assert error.mean() < 0.3 * model_error.mean()
    else:
        assert error.max() <= 2


def test_far_from_the_image_the_model_gets_its_say() -> None:
    truth = skin()
    size = 512
    big = [cv2.resize(a.astype(np.float32), (size, size)) for a in (truth, FACE, UNKNOWN)]
    face, unknown = big[1] > 0.5, big[2] > 0.5
    model = 0.7 * big[0]
    found = inpaint_view(
        srgb_from_linear(big[0]), model, unknown, np.zeros((size, size), np.float32), face
    )
    columns = np.arange(size)[None, :] * np.ones((size, 1))
    ratio = linear_from_srgb(found)[..., 1] / np.maximum(model[..., 1], 1e-6)
    inner = cv2.erode(unknown.astype(np.uint8), np.ones((5, 5))) > 0
    assert abs(np.median(ratio[inner & (columns < 325)]) - 1 / 0.7) < 0.12
    assert abs(np.median(ratio[inner & (columns > 418)]) - 1.0) < 0.6 * (1 / 0.7 - 1.0)


def test_no_seam_where_the_painting_begins() -> None:
    truth = skin()
    found = inpaint_view(picture(truth), 0.8 * truth, UNKNOWN, softened(), FACE)
    across = np.diff(linear_from_srgb(found), axis=1) - np.diff(truth, axis=1)
    rows = slice(30, 98)
    assert np.abs(across[rows, 60:84]).mean() < 2 * np.abs(across[rows, 30:54]).mean() + 0.004


def test_background_does_not_bleed_into_the_face() -> None:
    truth = skin()
    results = [
        inpaint_view(picture(truth, background), truth, UNKNOWN, softened(), FACE)
        for background in ((0, 0, 0), (255, 255, 255), (255, 0, 0))
    ]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0][FACE], other[FACE])


def test_what_is_not_painted_is_the_image_to_the_bit() -> None:
    image, soft = picture(skin()), softened()
    before = image.copy()
    found = inpaint_view(image, 0.5 * skin(1), UNKNOWN, soft, FACE)
    same = ~UNKNOWN & (soft == 0)
    np.testing.assert_array_equal(found[same], image[same])
    np.testing.assert_array_equal(image, before)
    nothing = np.zeros_like(UNKNOWN)
    np.testing.assert_array_equal(
        inpaint_view(image, skin(), nothing, np.zeros_like(soft), FACE), image
    )


def test_a_face_without_any_believed_pixel_is_the_model() -> None:
    model = skin(2)
    found = inpaint_view(picture(skin()), model, FACE, softened(), FACE)
    difference = found[FACE].astype(int) - srgb_from_linear(model)[FACE].astype(int)
    assert np.abs(difference).max() <= 1
