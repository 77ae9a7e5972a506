"""Which frames of a sequence are taken."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from fg3d_builder.captures.layouts.layout import Item
from fg3d_builder.config import FramesConfig


def chosen_frames(items: Sequence[Item], config: FramesConfig, seed: int) -> list[Item]:
    """Choose frames of each sequence; items that belong to none are all taken.

    Parameters
    ----------
    items : sequence of Item
    config : FramesConfig
    seed : int
        Of ``take = "random"``. Each sequence draws by its own name, so that further sequences
        change nothing of what is drawn of the others.

    Returns
    -------
    list of Item
        In the order given.
    """
    if config.take == "all":
        return list(items)
    sequences: dict[str, list[Item]] = {}
    for item in items:
        if item.sequence:
            sequences.setdefault(item.sequence, []).append(item)
    taken = set()
    for name, frames in sequences.items():
        frames.sort(key=lambda item: (item.frame, item.name))
        taken |= {item.name for item in _of_sequence(frames, config, name, seed)}
    return [item for item in items if not item.sequence or item.name in taken]


def _of_sequence(frames: list[Item], config: FramesConfig, name: str, seed: int) -> Sequence[Item]:
    if config.take == "every":
        return frames[:: config.count]
    if config.take == "peak":
        return [frame for frame in frames if frame.peak] or [frames[len(frames) // 2]]
    own = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    rng = np.random.default_rng([seed, own])
    chosen = rng.permutation(len(frames))[: config.count]
    return [frames[k] for k in sorted(chosen)]
