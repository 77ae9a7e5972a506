"""Registrations that models are learnt from: synthetic subjects through the whole way.

`python -m benchmarks.learnt_registrations --seed 200 --subjects 200` registers the captures of
tasks/subjects-200.toml, one after the other, and keeps each; `benchmarks.learnt_model` takes them.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks.kept import Kept, code_behind
from fg3d_builder.captures.synthetic import SyntheticSource
from fg3d_builder.config import BuildConfig, SourceConfig, load_preset
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.heads.library import default_model, head_population
from fg3d_builder.landmarks import open_detector
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array

PRESET = "tasks/subjects-200.toml"
CODE = ("registration", "fitting", "landmarks", "occlusion", "captures/synthetic.py", "heads")
KEPT = Path("build/bench/learnt")


class Registered(NamedTuple):
    """What is kept of a registration; `shape_obj_mm` (n, 3) float32, `confidence` (n,) float32."""

    subject_id: str
    expression: str
    shape_obj_mm: Array
    confidence: Array


def source_config(seed: int, subjects: int) -> SourceConfig:
    """Return the source of the preset with another seed and number of subjects."""
    preset = load_preset(PRESET).sources[0]
    return dataclasses.replace(preset, seed=seed, subjects=subjects)


def registrations(model: FaceModel, seed: int, subjects: int) -> Iterator[Registered]:
    """Register all captures, or read what is kept; those that fail are left out, and said."""
    config = BuildConfig()
    kept = Kept(KEPT, code_behind(CODE), model.topology_hash, repr(config.registration))
    source = SyntheticSource(source_config(seed, subjects))
    detector = open_detector(config.landmarks)
    for entry in tqdm(source.entries(), f"registrations, seed {seed}", unit="capture"):

        def made(entry=entry) -> Registered | None:  # type: ignore[no-untyped-def]
            capture = source.load(entry)
            try:
                found = register_capture(model, capture, config, detector=detector).registration
            except CaptureError as error:
                print(f"{entry.capture_id}: {error}")
                return None
            return Registered(
                entry.subject_id,
                capture.expression,
                found.shape_obj_mm.astype(np.float32),
                found.confidence.astype(np.float32),
            )

        # What a capture shows does not depend on how many subjects there are.
        facts = [repr(source_config(seed, 1)), entry.capture_id]
        one = kept.get(entry.capture_id, facts, made)
        if one is not None:
            yield one


def true_neutral_faces(seed: int, subjects: int) -> Array:
    """Return the (s, n, 3) true neutral faces of a source's subjects, relief included, mm."""
    source = SyntheticSource(source_config(seed, subjects))
    first = [entry for entry in source.entries() if entry.capture_id.endswith("-00")]
    return np.array([source.scene(entry)[0].head.neutral_obj_mm for entry in first])


def main() -> None:
    """Register, as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=200)
    parser.add_argument("--subjects", type=int, default=200)
    arguments = parser.parse_args()
    head_population()
    count = sum(1 for _ in registrations(default_model(), arguments.seed, arguments.subjects))
    print(f"{count} registrations")


if __name__ == "__main__":
    main()
