"""Sheets of turned views beside true pictures, for a look that does not know which is which.

`python -m benchmarks.turned_sheet --out FOLDER` draws 40 views at a yaw of 45 degrees to either
side, of textured heads, scans, the sven frames and the demo's subjects. Each tile has two pictures
in random order, the view and the same head truly turned; where nobody knows the turned head, the
view alone. FOLDER/sheet-N.png are to be looked at; only then FOLDER/key.json, which says what
every tile is.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.fullview import SIZE, camera_of, chosen_heads
from benchmarks.turned_background import background_of, on_background
from benchmarks.turned_heads import DEMO, SCANS, SVEN, Frontal, Frontals
from benchmarks.turned_regions import head_pixels
from benchmarks.turning import turnable, turned
from fg3d_builder.config import FaceModelConfig
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.files.atomic import write_bytes, write_json
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.fullview.augment import FULL_VIEW
from fg3d_builder.geometry.crop import crop_image
from fg3d_builder.heads.library import get_model
from fg3d_builder.records import Array
from fg3d_builder.report.paper import PAPER, contact_sheet, joined

HEADS = "heads"
SHARES = {HEADS: 16, SCANS: 10, SVEN: 4, DEMO: 10}
"""Views of each kind among the 40."""

YAWS_DEG = (45.0, -45.0)
REPORTED_SEED = 0
ON_A_SHEET = 8
COLUMNS = 2


class Drawn(NamedTuple):
    """One view of a sheet: its kind, the capture's number among its kind's, and the turn."""

    kind: str
    number: int
    yaw_deg: float
    ours_first: bool


class Pair(NamedTuple):
    """A view and the true picture of the same camera, (S, S, 3) uint8; None where unknown."""

    view: Array
    truth: Array | None


def draw(counts: Mapping[str, int], shares: Mapping[str, int], seed: int) -> list[Drawn]:
    """Draw views without repetition, in random order.

    Parameters
    ----------
    counts : mapping of str to int
        Captures of each kind.
    shares : mapping of str to int
        Views wanted of each kind; less where there are fewer captures.
    seed : int
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for kind, share in shares.items():
        views = [(number, yaw) for number in range(counts.get(kind, 0)) for yaw in YAWS_DEG]
        for place in rng.permutation(len(views))[:share]:
            number, yaw = views[place]
            drawn.append(Drawn(kind, number, yaw, bool(rng.integers(2))))
    return [drawn[place] for place in rng.permutation(len(drawn))]


def pair_of(model: FaceModel, frontals: Frontals, frontal: Frontal, yaw_deg: float) -> Pair:
    """Turn a capture, and its head truly, before the same background."""
    camera = camera_of(model, frontal, 0.0, yaw_deg)
    ready = turnable(model, frontal.capture, frontal.registration, FULL_VIEW)
    view = turned(ready, camera).rgb
    if frontal.head is None:
        return Pair(view, None)
    straight = camera_of(model, frontal, 0.0, 0.0)
    photo = crop_image(frontal.capture.rgb, straight.px_crop_from_px, SIZE)
    background = background_of(photo, head_pixels(frontals.picture(frontal, straight).rgb))
    return Pair(view, on_background(frontals.picture(frontal, camera), background))


def tile(pair: Pair, ours_first: bool) -> Array:
    """Put the pictures of a pair side by side; a view alone beside white paper."""
    truth = np.full_like(pair.view, PAPER) if pair.truth is None else pair.truth
    first = ours_first or pair.truth is None
    return joined((pair.view, truth) if first else (truth, pair.view), axis=1, gap=2)


def pools(frontals: Frontals, heads: Sequence[str]) -> dict[str, list[Frontal]]:
    """Return all captures that views are drawn from, by kind."""
    return {
        HEADS: list(frontals.heads(heads)),
        SCANS: list(frontals.scans()),
        SVEN: list(frontals.sven()),
        DEMO: list(frontals.demo()),
    }


def drawn_pairs(
    model: FaceModel, data: Path, heads: Sequence[str], seed: int
) -> list[tuple[Drawn, str, Pair]]:
    """Draw views; return each with its capture's name and its pictures."""
    frontals = Frontals(model, data)
    captures = pools(frontals, chosen_heads(frontals.head_names(), heads))
    found = []
    for view in draw({kind: len(c) for kind, c in captures.items()}, SHARES, seed):
        frontal = captures[view.kind][view.number]
        pair = pair_of(model, frontals, frontal, view.yaw_deg)
        found.append((view, frontal.capture.capture_id, pair))
    return found


def main() -> None:
    """Write the sheets and their key."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--seed", type=int, default=REPORTED_SEED)
    parser.add_argument(
        "--heads", nargs="*", default=[], help="names, a number, 'reported' or 'others'"
    )
    a = parser.parse_args()
    pairs = drawn_pairs(get_model(FaceModelConfig()), a.data, a.heads, a.seed)
    key, tiles = [], []
    for number, (view, name, pair) in enumerate(pairs, start=1):
        ours = "left" if view.ours_first else "right"
        row = {"number": number, "kind": view.kind, "capture": name, "yaw_deg": view.yaw_deg}
        key.append({**row, "ours": "alone" if pair.truth is None else ours})
        tiles.append((str(number), tile(pair, view.ours_first)))
    for first in range(0, len(tiles), ON_A_SHEET):
        sheet = contact_sheet(tiles[first : first + ON_A_SHEET], columns=COLUMNS, height=SIZE)
        file = a.out / f"sheet-{1 + first // ON_A_SHEET}.png"
        write_bytes(file, encode_png(sheet))
        print(f"wrote {file}")
    write_json(a.out / "key.json", {"seed": a.seed, "tiles": key})


if __name__ == "__main__":
    main()
