"""The images of a protocol: photos as they are, renderings made from the scan."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from fg3d_builder.captures.clay import has_colour
from fg3d_builder.captures.scan import render_scan
from fg3d_builder.config import digest
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.pipeline.photo import Focal, Photo, capture_of, focal_of, read_photo
from fg3d_builder.records import Capture
from fg3d_builder.testsets.records import Protocol, ProtocolConfig, ProtocolImage, Unusable
from fg3d_builder.testsets.registered import view_config
from fg3d_builder.testsets.surfaces import UprightSurface, open_surface


def image_key(image: ProtocolImage, scan_key: str, config: ProtocolConfig) -> str:
    """Return a digest of what an image shows and of what the protocol says about it.

    Raises
    ------
    CaptureError
        ``missing_file``.
    """
    shown = (image.image_id, image.subject, image.pitch_deg, image.yaw_deg)
    if image.photo is None:
        camera = (config.image_size, config.focal_px, config.distance_mm)
        return digest("view", scan_key, shown, camera)
    if not os.path.isfile(image.photo):
        raise CaptureError("missing_file", f"{image.photo}: file not found")
    return digest("photo", file_sha256(image.photo), shown)


def image_capture(
    image: ProtocolImage, surface: UprightSurface, folder: Path, config: ProtocolConfig
) -> Capture:
    """Return an image as a capture without depth; a rendering is written to `folder` as well.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``unreadable_image``; ``no_texture`` of a scan to be rendered.
    """
    if image.photo is not None:
        return photo_capture(image, config)
    photo = write_rendering(image, surface, folder, config)
    focal = Focal(config.focal_px, "given")
    capture = capture_of(image.image_id.replace("/", "-"), photo, focal)
    return replace(capture, subject_id=image.subject)


def photo_capture(image: ProtocolImage, config: ProtocolConfig) -> Capture:
    """Return an image that is a photo as a capture without depth.

    Raises
    ------
    CaptureError
        ``missing_file`` or ``unreadable_image``.
    """
    if image.photo is None:
        raise ValueError(f"image {image.image_id}: no photo")
    photo = read_photo(image.photo, config.landmarks.detector)
    capture = capture_of(image.photo.stem, photo, focal_of(photo, None))
    return replace(capture, subject_id=image.subject)


def write_rendering(
    image: ProtocolImage, surface: UprightSurface, folder: Path, config: ProtocolConfig
) -> Photo:
    """Render the scan from the image's side and write it as ``IMAGE_ID.png``.

    Raises
    ------
    CaptureError
        ``no_texture``.
    """
    if image.pitch_deg is None or image.yaw_deg is None:
        raise ValueError(f"image {image.image_id}: neither a photo nor a view")
    if not has_colour(surface.mesh):
        raise CaptureError(
            "no_texture", f"{image.subject}: the scan has no colours to render images with"
        )
    view = (image.pitch_deg, image.yaw_deg)
    rgb, _, _ = render_scan(view_config(config), view, surface.mesh)
    write_bytes(folder / f"{image.image_id}.png", encode_png(rgb))
    return Photo(rgb, None)


def write_renderings(
    protocol: Protocol, folder: Path, model: FaceModel, config: ProtocolConfig
) -> tuple[int, list[Unusable]]:
    """Write all images of a protocol that are renderings, with a progress bar on stderr.

    Returns
    -------
    written : int
        Number of images.
    failed : list of Unusable
        Subjects whose scan cannot be rendered.
    """
    written = 0
    failed = []
    for subject, images in tqdm(protocol.by_subject().items(), unit="scan", desc=protocol.name):
        views = [image for image in images if image.photo is None]
        if not views:
            continue
        try:
            surface = open_surface(protocol.scans[subject], model)
            for image in views:
                write_rendering(image, surface, folder, config)
                written += 1
        except CaptureError as error:
            failed.append(Unusable(subject, subject, error.code, error.message))
    return written, failed
