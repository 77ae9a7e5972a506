"""How large plaster pictures have to be (Eq. 7 and 8), and what they cost.

`python -m benchmarks.plaster` compares faces of the synthetic population with what the first eight
components of the embedded model make of them, shrunk, some 1.7 mm off. For each size of pictures it
prints which share of the vertices no pixel shows, so that VGD never weighs them; how far weights
and PSD are from those at 512 pixels; and, as processor time on one thread, what a face costs in
VGD, in PSD with its gradients, and in a step of the preset `tiny`. Writes build/bench/plaster.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.data.uv import UVMap
from fg3d_builder.fgnet.losses import LossConfig, ReconstructionLoss
from fg3d_builder.fgnet.losses.plaster import PlasterViews, plaster_distance, plaster_errors
from fg3d_builder.fgnet.losses.visual_guided import visual_weights
from fg3d_builder.fgnet.networks.architectures import build_network
from fg3d_builder.fgnet.networks.complexity import input_of_shape
from fg3d_builder.fgnet.training.settings import TRAIN_PRESETS
from fg3d_builder.files.markdown import table
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.heads.library import default_model, head_population
from fg3d_builder.records import Array

SIZES_PX = (64, 96, 128, 256, 512)
COMPONENTS, SHRUNK = 8, 0.7
_FIRST_SEED = 77_000_000
"""Of people that are in no model."""
LOSSES = {
    "MSE": {"mse": 1.0, "vgd": 0.0},
    "VGD": {"vgd": 1.0},
    "MSE + PSD": {"mse": 1.0, "psd": 4.0, "vgd": 0.0},
}


class Faces(NamedTuple):
    """Fits and truths (B, n, 3) float32 mm, and confidence (B, n)."""

    fit: Tensor
    truth: Tensor
    confidence: Tensor


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("build/bench/plaster.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = default_model()
    faces = some_faces(model, options.faces)
    found = {size: measured(model, faces, size) for size in SIZES_PX}
    best = found[SIZES_PX[-1]]
    rows = [row(size, one, best, model.reliable) for size, one in found.items()]
    print("\n".join(table(list(rows[0]), [[str(v) for v in r.values()] for r in rows])))
    steps = [
        {"loss": name, "pictures, px": size, "a sample, ms": round(step_ms(model, loss, size), 1)}
        for name, loss in LOSSES.items()
        for size in ((64, 128) if name != "MSE" else (128,))
    ]
    print("\n".join(table(list(steps[0]), [[str(v) for v in r.values()] for r in steps])))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"pictures": rows, "steps": steps}, indent=1) + "\n")


def some_faces(model: FaceModel, count: int) -> Faces:
    """People of the population, and coarse shapes of the model as a fit would give them."""
    population = head_population()
    basis = np.moveaxis(model.id_basis, -1, 0).reshape(model.id_basis.shape[-1], -1)
    basis = basis[:COMPONENTS].T
    fits, truths = [], []
    for number in range(count):
        face = population.neutral(_FIRST_SEED + number)[1]
        alpha = np.linalg.lstsq(basis, (face - model.mean).ravel(), rcond=None)[0]
        fit = model.mean + (basis @ (SHRUNK * alpha)).reshape(-1, 3)
        aligned = align_similarity(face, fit, model.reliable.astype(float))
        fits.append(fit)
        truths.append(aligned.cam_from_obj(face))
    confidence = np.where(model.reliable, 1.0, 0.1)[None].repeat(count, axis=0)
    return Faces(*(torch.from_numpy(np.asarray(v)).float() for v in (fits, truths, confidence)))


def measured(model: FaceModel, faces: Faces, size_px: int) -> dict[str, Any]:
    """Weights (B, n), PSD (B,), and milliseconds a face."""
    cameras = PlasterViews(model.mean, model.triangles, size_px)
    weights, distances = [], []

    def guided() -> None:
        for one in range(len(faces.fit)):
            part = Faces(*(v[one : one + 1] for v in faces))
            errors = plaster_errors(cameras, *part, differentiable=False)
            weights.append(visual_weights(errors, cameras.triangles, part.confidence, "face"))
            distances.append(float(plaster_distance(errors)[0]))

    def descending() -> None:
        for one in range(len(faces.fit)):
            part = Faces(*(v[one : one + 1] for v in faces))
            moved = part.fit.clone().requires_grad_()
            errors = plaster_errors(cameras, moved, part.truth, part.confidence)
            plaster_distance(errors).sum().backward()

    with torch.no_grad():
        guided_ms = milliseconds(guided) / len(faces.fit)
    return {
        "weights": torch.cat(weights).numpy(),
        "psd": np.array(distances),
        "vgd_ms": guided_ms,
        "psd_ms": milliseconds(descending) / len(faces.fit),
    }


def row(size_px: int, one: dict[str, Any], best: dict[str, Any], reliable: Array) -> dict[str, Any]:
    """What is printed of one size."""
    unseen = one["weights"] == 0
    pairs = zip(one["weights"], best["weights"], strict=True)
    off = one["psd"] / best["psd"] - 1.0
    return {
        "pictures, px": size_px,
        "vertices without weight, %": round(100 * float(unseen.mean()), 1),
        "of the reliable, %": round(100 * float(unseen[:, reliable].mean()), 1),
        "correlation of weights": round(
            float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs])), 2
        ),
        "PSD off, mean, %": round(100 * float(abs(off.mean())), 2),
        "largest, %": round(100 * float(np.abs(off).max()), 2),
        "VGD, ms": round(one["vgd_ms"]),
        "PSD with gradients, ms": round(one["psd_ms"]),
    }


def step_ms(model: FaceModel, loss: dict[str, float], size_px: int) -> float:
    """Forward, loss and backward of the preset `tiny`, a sample; the simulation is not in it."""
    config = TRAIN_PRESETS["tiny"]
    batch = 8
    torch.manual_seed(0)
    network = build_network(config.network)
    given = input_of_shape(config.network, batch, torch.rand)
    faces = some_faces(model, batch)
    compare = ReconstructionLoss(
        LossConfig(**loss, plaster_size_px=size_px),  # type: ignore[arg-type]
        model.mean,
        model.triangles,
    )
    chart = UVMap(model.uv, model.triangles, config.network.size)

    def step() -> None:
        moved = faces.fit + chart.vertices_from_uv_map(network(given))
        compare(moved, faces.truth, faces.confidence).total.backward()

    step()
    return milliseconds(step) / batch


def milliseconds(work: Callable[[], object]) -> float:
    """Processor time."""
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began)


if __name__ == "__main__":
    main()
