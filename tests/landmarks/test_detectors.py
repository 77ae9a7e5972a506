"""Detectors: what they find, that they find the same twice, and how they fail."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fg3d_builder.config import LandmarkConfig
from fg3d_builder.errors import CaptureError, ConfigError, MissingDependencyError
from fg3d_builder.landmarks import open_detector
from fg3d_builder.landmarks.edges import mediapipe_mirror
from fg3d_builder.landmarks.face_alignment_detector import (
    FINDER_FILE,
    NETWORK_FILE,
    FaceAlignmentDetector,
    load_networks,
    weight_files,
)
from fg3d_builder.landmarks.mediapipe_detector import MediaPipeDetector, unwarped, warped
from fg3d_builder.records import Array, Capture, Landmarks

SVEN = ("sven-044", "sven-052", "sven-056", "sven-064", "sven-072")


def capture_of(rgb: Array, landmarks: Landmarks | None = None) -> Capture:
    return Capture(
        capture_id="test-1",
        subject_id="test",
        source="test",
        rgb=rgb,
        depth_mm=np.full(rgb.shape[:2], np.nan, np.float32),
        intrinsics=np.eye(3),
        landmarks=landmarks,
    )


def sven(folder: Path, name: str) -> Array:
    return np.ascontiguousarray(
        cv2.imread(str(folder / "captures" / name / "color.png"))[..., ::-1]
    )


def test_mediapipe_finds_no_face_in_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype(np.uint8)
    with pytest.raises(CaptureError, match="test-1") as raised:
        open_detector(LandmarkConfig("mediapipe")).detect(capture_of(noise))
    assert raised.value.code == "no_face"


@pytest.mark.data
@pytest.mark.parametrize("name", SVEN)
def test_mediapipe_finds_every_real_frame(shared_data: Path, name: str) -> None:
    rgb = sven(shared_data, name)
    found = MediaPipeDetector().detect(capture_of(rgb))
    assert found.scheme == "mediapipe478"
    assert found.points_px.shape == (478, 2)
    assert np.median(found.confidence) > 0.85
    # Eyes above nose above mouth, the subject's right eye on the left of the image.
    right, left, nose, mouth = (found.points_px[i] for i in (159, 386, 4, 14))
    assert right[0] < left[0]
    assert max(right[1], left[1]) < nose[1] < mouth[1]


@pytest.mark.data
def test_mediapipe_is_deterministic_and_survives_pickling(shared_data: Path) -> None:
    rgb = sven(shared_data, "sven-052")
    detector = MediaPipeDetector()
    first = detector.detect_image(rgb)
    second = detector.detect_image(rgb)
    third = pickle.loads(pickle.dumps(detector)).detect_image(rgb)
    assert first is not None
    for other in (second, third):
        assert other is not None
        assert np.array_equal(first.points_px, other.points_px)
        assert np.array_equal(first.confidence, other.confidence)


@pytest.mark.data
def test_mediapipe_follows_mirror_shift_and_scale(shared_data: Path) -> None:
    rgb = sven(shared_data, "sven-052")
    detector = MediaPipeDetector()
    plain = detector.detect_image(rgb)
    assert plain is not None
    size = float(np.ptp(plain.points_px, axis=0).max())
    mirrored = detector.detect_image(rgb[:, ::-1])
    assert mirrored is not None
    back = mirrored.points_px[mediapipe_mirror()] * [-1, 1] + [rgb.shape[1] - 1, 0]
    assert np.abs(back - plain.points_px).mean() < 0.004 * size
    large = cv2.resize(rgb, None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
    bigger = detector.detect_image(large)
    assert bigger is not None
    # Pixel centres at integers: a wrong convention shows as a common shift of a third of a pixel.
    shift = ((bigger.points_px + 0.5) / 3 - 0.5 - plain.points_px).mean(axis=0)
    assert np.abs(shift).max() < 0.15
    wide = np.full((900, 1200, 3), 90, np.uint8)
    wide[500:820, 900:1140] = rgb
    small = detector.detect_image(wide)
    assert small is not None
    assert np.abs(small.points_px - [900, 500] - plain.points_px).mean() < 0.005 * size


@pytest.mark.data
def test_mediapipe_takes_the_largest_face(shared_data: Path) -> None:
    rgb = sven(shared_data, "sven-052")
    two = np.full((480, 700, 3), 90, np.uint8)
    two[100:420, 440:680] = rgb
    two[:480, :360] = cv2.resize(rgb, (360, 480))
    found = MediaPipeDetector().detect_image(two)
    assert found is not None
    assert found.points_px[:, 0].max() < 400


@pytest.mark.data
def test_mediapipe_writes_nothing_to_the_terminal(
    shared_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    MediaPipeDetector().detect_image(sven(shared_data, "sven-052"))
    captured = capfd.readouterr()
    assert captured.err == ""
    assert captured.out == ""


@pytest.mark.parametrize("scale", [0.2, 0.7, 1.6])
def test_warp_keeps_places(scale: float) -> None:
    spot = np.array([61.0, 40.0])
    y, x = np.mgrid[:90, :120]
    image = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * 5.0**2))
    angle = 0.3
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([scale * turn, [40.0, 10.0]])
    out = warped(np.float32(image), matrix, (220, 200))
    grid_y, grid_x = np.mgrid[: out.shape[0], : out.shape[1]]
    centre = np.array([(grid_x * out).sum(), (grid_y * out).sum()]) / out.sum()
    assert np.abs(centre - matrix @ [*spot, 1]).max() < 0.05
    assert np.abs(unwarped((matrix @ [*spot, 1])[None], matrix) - spot).max() < 1e-9


def test_annotation_is_handed_on() -> None:
    known = Landmarks("ibug68", np.zeros((68, 2)), np.ones(68), "by hand")
    detector = open_detector(LandmarkConfig("annotation"))
    image = np.zeros((4, 4, 3), np.uint8)
    assert detector.detect(capture_of(image, known)) is known
    with pytest.raises(CaptureError, match="test-1") as raised:
        detector.detect(capture_of(image))
    assert raised.value.code == "no_annotation"


def test_unknown_detector_is_named() -> None:
    with pytest.raises(ConfigError, match="'dlib'"):
        open_detector(LandmarkConfig("dlib"))


class DotNetwork:
    """Stands in for the landmark network: a heat map that peaks where the crop is brightest."""

    def __call__(self, crops: Any) -> Any:
        import torch.nn.functional as functional

        heat = functional.avg_pool2d(crops.mean(dim=1, keepdim=True), 4)
        return heat.repeat(1, 68, 1, 1)


class OneBox:
    """Stands in for the face finder: the same share of any image."""

    reference_scale = 195.0

    def detect_from_image(self, image: Array) -> list[Array]:
        height, width = image.shape[:2]
        return [np.array([0.3 * width, 0.3 * height, 0.7 * width, 0.7 * height, 0.9])]


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weight files in the package's formats, with random content."""
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("face_alignment.models")
    from face_alignment.detection.sfd.net_s3fd import s3fd

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save(models.FAN(4).state_dict(), folder / NETWORK_FILE)
    torch.save(s3fd().state_dict(), folder / FINDER_FILE)
    return folder


def test_face_alignment_reads_local_weights(random_weights: Path) -> None:
    import torch

    networks = load_networks(str(random_weights))
    stored = torch.load(random_weights / NETWORK_FILE, weights_only=True)
    loaded = networks.face_alignment_net.state_dict()
    assert all(torch.equal(stored[key], loaded[key]) for key in stored)
    finder = torch.load(random_weights / FINDER_FILE, weights_only=True)
    found = networks.face_detector.face_detector.state_dict()
    assert all(torch.equal(finder[key], found[key]) for key in finder)
    # The network itself runs and gives a heat map a point.
    assert networks.face_alignment_net(torch.zeros(1, 3, 256, 256))[-1].shape[-3:] == (68, 64, 64)


@pytest.mark.parametrize("size", [(200, 260), (600, 500), (1500, 1400)])
def test_face_alignment_returns_pixels_of_the_image(
    random_weights: Path, size: tuple[int, int]
) -> None:
    height, width = size
    detector = FaceAlignmentDetector(str(random_weights))
    networks = detector.networks()
    networks.face_detector = OneBox()
    networks.face_alignment_net = DotNetwork()
    random = np.random.default_rng(1)
    errors = []
    y, x = np.mgrid[:height, :width]
    cell = 0.4 * (height + width) / 195.0 * 200.0 / 64
    for _ in range(12):
        spot = np.array([width, height]) * random.uniform(0.4, 0.6, 2)
        blob = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * cell**2))
        rgb = np.repeat((255 * blob).astype(np.uint8)[..., None], 3, axis=2)
        found = detector.detect_image(rgb)
        assert found is not None
        errors.append(found.points_px.mean(axis=0) - spot)
    # A heat map cell is `cell` pixels wide; the network says where within it to a quarter.
    assert np.abs(errors).max() < 0.75 * cell
    assert np.abs(np.mean(errors, axis=0)).max() < 0.3 * cell


def test_face_alignment_names_the_missing_local_file(tmp_path: Path) -> None:
    (tmp_path / NETWORK_FILE).write_bytes(b"")
    with pytest.raises(MissingDependencyError, match=FINDER_FILE):
        weight_files(str(tmp_path))
    with pytest.raises(MissingDependencyError, match="nowhere"):
        weight_files(str(tmp_path / "nowhere.pth.tar"))


def test_face_alignment_names_broken_weights(tmp_path: Path) -> None:
    pytest.importorskip("face_alignment")
    for name in (NETWORK_FILE, FINDER_FILE):
        (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(MissingDependencyError, match="are not the weights"):
        load_networks(str(tmp_path))


def test_face_alignment_offline_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("torch.hub")
    monkeypatch.setattr(hub, "get_dir", lambda: str(tmp_path))

    def refuse(*_args: Any, **_options: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(hub, "download_url_to_file", refuse)
    with pytest.raises(MissingDependencyError) as raised:
        weight_files("")
    for word in (NETWORK_FILE, FINDER_FILE, str(tmp_path / "checkpoints"), "no route to host"):
        assert word in str(raised.value)


def test_face_alignment_uses_its_own_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("torch.hub")
    monkeypatch.setattr(hub, "get_dir", lambda: str(tmp_path))
    fetched = []

    def fetch(url: str, target: str, **_options: Any) -> None:
        fetched.append(url.rsplit("/", 1)[1])
        Path(target).write_bytes(b"weights")

    monkeypatch.setattr(hub, "download_url_to_file", fetch)
    assert weight_files("") == weight_files("")
    assert fetched == [NETWORK_FILE, FINDER_FILE]
