"""Made-up rows of views."""

from __future__ import annotations

import numpy as np

from fg3d_builder.records import ViewSet


def views(count: int, k: int = 4, e: int = 2, n: int = 20) -> ViewSet:
    """Rows whose every number tells which row it belongs to."""
    rng = np.random.default_rng(1)
    sizes = rng.integers(3, 9, count)
    return ViewSet(
        view_names=" ".join(f"view+00+{i:02d}" for i in range(count)),
        view_deg=np.array([[0.0, i] for i in range(count)]),
        image_bytes=np.repeat(np.arange(count), sizes).astype(np.uint8),
        image_offset=np.concatenate([[0], np.cumsum(sizes)]),
        px_crop_from_px=rng.normal(size=(count, 3, 3)),
        intrinsics=rng.normal(size=(count, 3, 3)),
        scale=np.arange(count) + 1.0,
        rotation=rng.normal(size=(count, 3, 3)),
        translation_mm=rng.normal(size=(count, 3)),
        visible=rng.integers(0, 255, (count, -(-n // 8)), dtype=np.uint8),
        initial_alpha_id=rng.normal(size=(count, k)),
        initial_alpha_exp=rng.normal(size=(count, e)),
        initial_scale=np.arange(count) + 2.0,
        initial_rotation=rng.normal(size=(count, 3, 3)),
        initial_translation_mm=rng.normal(size=(count, 3)),
        initial_source=np.arange(count, dtype=np.uint8) % 2,
        painted=np.arange(count) / 10,
    )
