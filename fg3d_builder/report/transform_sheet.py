"""Contact sheets of shape transformation: whose parts, which shape, which picture."""

from __future__ import annotations

import json
from collections.abc import Sequence

import cv2
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.encoding import decode_image
from fg3d_builder.records import Array, Capture, Registration
from fg3d_builder.report.paper import contact_sheet, joined, message_card
from fg3d_builder.report.pictures import image_picture, side_picture
from fg3d_builder.report.sheets import face_view
from fg3d_builder.shards.rows import TransformedShape
from fg3d_builder.shards.schema import SampleImage
from fg3d_builder.transform.transformed import Transformed

HEIGHT = 300
COLUMNS = 5
MAX_MOVED_MM = 8.0
"""Upper end of the colour scale of the distance between the new and the captured shape."""


def transform_sheet(
    model: FaceModel,
    capture: Capture,
    registration: Registration,
    made: Sequence[tuple[TransformedShape, Transformed]],
) -> Array:
    """Show what the photo of one capture became under each of its new shapes.

    Two rows per shape: the photo; the captured shape, the new one and the distance between
    them; where its parts come from. Then the photo warped (Eq. 16) and with its shading
    adjusted (Eq. 17), and samples as they are stored, as captured and turned.

    Parameters
    ----------
    model : FaceModel
    capture : Capture
    registration : Registration
    made : sequence of (TransformedShape, Transformed)
        At least one; the record of a shape, and the transformed capture that it describes.

    Returns
    -------
    (H, W, 3) uint8
    """
    view = face_view(model, capture, registration.vertices_cam_mm)
    sheets = []
    for number, (record, transformed) in enumerate(made):
        shape = record.shape.shape_obj_mm
        moved = np.linalg.norm(shape - registration.shape_obj_mm, axis=1)
        tiles = [
            ("source", image_picture(capture, view)),
            ("captured shape", plaster(model, registration.shape_obj_mm)),
            ("target shape", plaster(model, shape)),
            (f"moved, 0 to {MAX_MOVED_MM:g} mm", plaster(model, shape, moved)),
            ("donors", donor_card(record)),
            ("warped (Eq. 16)", view.image(transformed.warped_rgb)),
            ("shaded (Eq. 17), painted", image_picture(transformed.capture, view)),
            *stored_pictures(record.views),
        ]
        title = f"{capture.capture_id}: shape transformation {number}"
        sheets.append(contact_sheet(tiles, title=title, columns=COLUMNS, height=HEIGHT))
    return joined(sheets, axis=0)


def donor_card(record: TransformedShape) -> Array:
    """Name the capture that each part comes from, and how much of the parts was kept."""
    donors = json.loads(record.shape.donors)
    lines = [f"{part}: {name}" for part, name in sorted(donors.items())]
    lines.append(f"{record.share:.0%} of the difference to them kept")
    lines.append(f"largest coefficient {record.deviation_sd:.1f} sd")
    return message_card(lines, height=HEIGHT, width=260)


def plaster(model: FaceModel, shape_obj_mm: Array, moved_mm: Array | None = None) -> Array:
    """Show a shape as plaster from the front, or coloured by how far it moved (n,)."""
    picture = side_picture(
        shape_obj_mm, model.triangles, yaws_deg=(0.0,), error_mm=moved_mm, max_mm=MAX_MOVED_MM
    )
    margin = picture.shape[1] // 6  # heads are higher than wide
    return np.ascontiguousarray(picture[:, margin:-margin])


def stored_pictures(views: Sequence[SampleImage]) -> list[tuple[str, Array]]:
    """Return the sample as captured and, of either side, the one that is turned furthest."""
    chosen = [views[0]]
    for sign in (-1, 1):
        side = [view for view in views if sign * view.view_deg[1] > 0]
        if side:
            chosen.append(max(side, key=lambda view: abs(float(view.view_deg[1]))))
    pictures = []
    for view in chosen:
        picture = decode_image(np.frombuffer(view.image, np.uint8))
        small = cv2.resize(picture, (HEIGHT, HEIGHT), interpolation=cv2.INTER_AREA)
        pictures.append((f"stored {view.name}", small))
    return pictures
