"""Files as people bring them, made of heads from the embedded population."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fg3d_builder.captures.synthetic import draw_subject, whole_head
from fg3d_builder.rendering.shading import srgb_from_linear


def write_obj_scans(folder: Path, names: list[str], unit_mm: float = 1.0) -> None:
    """Write a scan with vertex colours, as MeshLab does, for each name."""
    folder.mkdir(parents=True)
    for seed, name in enumerate(names):
        subject = draw_subject(1000 + seed)
        vertices, triangles, albedo = whole_head(subject, subject.head.neutral_obj_mm)
        colours = srgb_from_linear(np.clip(albedo, 0, 1)) / 255
        rows = np.hstack([vertices / unit_mm, colours]).tolist()
        lines = [f"v {x:.7g} {y:.7g} {z:.7g} {r:.4f} {g:.4f} {b:.4f}" for x, y, z, r, g, b in rows]
        lines += [f"f {a} {b} {c}" for a, b, c in (triangles + 1).tolist()]
        (folder / f"{name}.obj").write_text("\n".join(lines) + "\n", encoding="ascii")
