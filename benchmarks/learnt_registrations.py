"""Registrations that models are learnt from: synthetic subjects through the whole way.

`python -m benchmarks.learnt_registrations --seed 200 --subjects 200` registers the captures of
tasks/subjects-200.toml, one after the other, and keeps each; `benchmarks.learnt_model` takes them.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.kept import Kept, code_behind
from fg3d_builder.captures.source import CaptureEntry
from fg3d_builder.captures.synthetic import SyntheticSource
from fg3d_builder.config import BuildConfig, SourceConfig, load_preset
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.facemodel.learning.shapes import CapturedShape
from fg3d_builder.heads.library import default_model, head_population
from fg3d_builder.landmarks import open_detector
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array

PRESET = "tasks/subjects-200.toml"
CODE = ("registration", "fitting", "landmarks", "occlusion", "captures/synthetic.py", "heads")
KEPT = Path("build/bench/learnt")


def source_config(seed: int, subjects: int) -> SourceConfig:
    """Return the source of the preset with another seed and number of subjects."""
    preset = load_preset(PRESET).sources[0]
    return dataclasses.replace(preset, seed=seed, subjects=subjects)


def registrations(
    model: FaceModel, seed: int, subjects: int, captures: int = 2
) -> Iterator[CapturedShape]:
    """Register the first captures of every subject, or read what is kept.

    The first is neutral, the second shows an expression. Those that fail are left out, and said.
    """
    config = BuildConfig()
    kept = Kept(KEPT, code_behind(CODE), model.topology_hash, repr(config.registration))
    source = SyntheticSource(source_config(seed, subjects))
    detector = open_detector(config.landmarks)
    wanted = [e for e in source.entries() if int(e.capture_id.rsplit("-", 1)[1]) < captures]
    for entry in tqdm(wanted, f"registrations, seed {seed}", unit="capture"):
        # Plain tuples: pickles name the module that classes are from, which may be the program.
        def made(entry: CaptureEntry = entry) -> tuple[str, str, Array, Array] | None:
            capture = source.load(entry)
            try:
                found = register_capture(model, capture, config, detector=detector).registration
            except CaptureError as error:
                print(f"{entry.capture_id}: {error}")
                return None
            shape = found.shape_obj_mm.astype(np.float32)
            confidence = found.confidence.astype(np.float32)
            return entry.subject_id, capture.expression, shape, confidence

        # What a capture shows does not depend on how many subjects there are.
        facts = [repr(source_config(seed, 1)), entry.capture_id]
        one = kept.get(entry.capture_id, facts, made)
        if one is not None:
            yield CapturedShape(*one)


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
    parser.add_argument("--captures", type=int, default=2, choices=(1, 2))
    arguments = parser.parse_args()
    head_population()
    chosen = arguments.seed, arguments.subjects, arguments.captures
    count = sum(1 for _ in registrations(default_model(), *chosen))
    print(f"{count} registrations")


if __name__ == "__main__":
    main()
