"""The general import of face models, held against what is known of real ones.

`python -m benchmarks.model_import --data ../shared/data` imports ICT-FaceKit as if nothing were
known of it but its mesh and modes, and prints how far its 68 published points are from the
transferred ones, by region; then the figures of the import for every other head, and what maps
of 256 x 256 texels on the models' charts lose of their shapes. `--only NAME ...` takes some of
the heads, `--pictures FOLDER` keeps a picture of each model. Written to build/bench.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.model_sources import all_sources, ict_source
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.facemodel.importing import Imported, import_model
from fg3d_builder.fgnet.data.uv import UVMap
from fg3d_builder.files.atomic import write_bytes, write_json
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.heads.library import default_model
from fg3d_builder.landmarks.edges import IBUG
from fg3d_builder.records import Array
from fg3d_builder.report.model_overview import model_overview

LANDMARK_REGIONS = {
    "jaw": slice(0, 17),
    "brows": slice(17, 27),
    "nose": slice(27, 36),
    "eyes": slice(36, 48),
    "lips": slice(48, 68),
    "all but jaw": slice(17, 68),
    "all": slice(0, 68),
}
MAP_SIZE = 256
_SHAPES, _SEED = 6, 1


def landmark_errors_mm(model: FaceModel, published_mm: Array) -> tuple[Array, Array]:
    """Return (68,) distances of the carried iBUG-68 points to (68, 3) published ones.

    The second are distances across the published outline in the frontal view, for the jaw:
    along it, points of different schemes slide.
    """
    carried = model.embedded(IBUG, range(68)).points(model.mean, model.triangles)
    across = np.linalg.norm(carried - published_mm, axis=1)
    outline = published_mm[:17, :2]
    a, along = outline[:-1], np.diff(outline, axis=0)
    to_point = carried[:17, None, :2] - a
    share = (to_point * along).sum(axis=2) / (along**2).sum(axis=1)
    foot = a + np.clip(share, 0.0, 1.0)[..., None] * along
    sideways = across.copy()
    sideways[:17] = np.linalg.norm(carried[:17, None, :2] - foot, axis=2).min(axis=1)
    return across, sideways


def map_loss_mm(model: FaceModel, size: int = MAP_SIZE) -> dict[str, float]:
    """Return what displacements lose on their way to a map and back, mm, over all vertices.

    Displacements from the mean of random identities with random expressions; mean, median and
    95th percentile of the distances, and the 95th over the reliable face.
    """
    random = np.random.default_rng(_SEED)
    shapes = []
    for _ in range(_SHAPES):
        shape = model.shape(
            model.id_sd * random.standard_normal(len(model.id_sd)),
            model.exp_sd * np.abs(random.standard_normal(len(model.exp_sd))),
        )
        shapes.append(shape - model.mean)
    displacement = torch.from_numpy(np.array(shapes))
    maps = UVMap(model.uv, model.triangles, size)
    back = maps.vertices_from_uv_map(maps.uv_map_from_vertices(displacement))
    lost = np.linalg.norm((back - displacement).numpy(), axis=2)
    return {
        "mean": float(lost.mean()),
        "median": float(np.median(lost)),
        "95 %": float(np.quantile(lost, 0.95)),
        "95 % reliable": float(np.quantile(lost[:, model.reliable], 0.95)),
    }


def import_figures(imported: Imported) -> dict[str, Any]:
    """Return sizes, distances and losses of an imported model."""
    model, check = imported.model, imported.check
    return {
        "vertices": model.vertex_count,
        "surface_mm": check.surface_mm,
        "landmarks_mm": check.by_region_mm,
        "problems": check.problems,
        "own_chart": imported.own_chart,
        "map_loss_mm": map_loss_mm(model),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print and write all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/bench/model_import.json"))
    options = parser.parse_args(arguments)
    donor = default_model()
    figures: dict[str, Any] = {"donor map_loss_mm": map_loss_mm(donor)}
    print(f"donor: maps lose {figures['donor map_loss_mm']}")
    for name, make in all_sources(options.data).items():
        if options.only and name not in options.only:
            continue
        start = time.process_time()
        imported = import_model(make(), donor)
        seconds = time.process_time() - start
        figures[name] = import_figures(imported) | {"seconds": seconds}
        print(f"{name}: {figures[name]}", flush=True)
        if name == "ict":
            source, points = ict_source(options.data, 1)
            distance, sideways = landmark_errors_mm(imported.model, source.mean[points])
            for region, chosen in LANDMARK_REGIONS.items():
                row = f"  {region:12s} mean {distance[chosen].mean():5.2f} mm"
                print(f"{row}, across the outline {sideways[chosen].mean():5.2f} mm")
                figures[name][f"published {region}"] = float(distance[chosen].mean())
        if options.pictures is not None:
            picture = encode_png(model_overview(imported.model))
            write_bytes(options.pictures / f"{name}.png", picture)
    write_json(options.out, figures)


if __name__ == "__main__":
    main()
