"""Made-up views."""

from __future__ import annotations

import numpy as np

from fg3d_builder.shards.rows import ViewSet
from fg3d_builder.shards.schema import SampleImage


def views(count: int, k: int = 4, e: int = 2, n: int = 20) -> ViewSet:
    """Views whose every number tells which view it belongs to."""
    rng = np.random.default_rng(1)
    return ViewSet(
        tuple(
            SampleImage(
                name=f"view+00+{i:02d}",
                image=bytes([i]) * int(rng.integers(3, 9)),
                view_deg=np.array([0.0, i]),
                px_crop_from_px=rng.normal(size=(3, 3)),
                intrinsics=rng.normal(size=(3, 3)),
                scale=i + 1.0,
                rotation=rng.normal(size=(3, 3)),
                translation_mm=rng.normal(size=3),
                visible=rng.integers(0, 255, -(-n // 8), dtype=np.uint8),
                initial_alpha_id=rng.normal(size=k),
                initial_alpha_exp=rng.normal(size=e),
                initial_scale=i + 2.0,
                initial_rotation=rng.normal(size=(3, 3)),
                initial_translation_mm=rng.normal(size=3),
                initial_source=i % 2,
                painted=i / 10,
            )
            for i in range(count)
        )
    )
