"""Every kind of file that a later step believes: damaged at any place, it is not believed.

Each is written once, then damaged at seeded places: bits flipped, the end cut off, a part zeroed.
Its reader returns what was written (where the change is none to it, as white space in JSON) or
raises the documented error, which names the file; never anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from toy_models import toy_model
from toy_shards import write_toy_shards

from fg3d_builder.config import BuildConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.facemodel.storage import load_model, save_model
from fg3d_builder.fgnet.networks.architectures import NetworkConfig, build_network
from fg3d_builder.fgnet.training.checkpoint import (
    DamagedCheckpointError,
    Progress,
    read_checkpoint,
    save_checkpoint,
)
from fg3d_builder.fgnet.training.settings import TrainConfig, read_settings
from fg3d_builder.files.products import read_product, write_product
from fg3d_builder.files.sealed import (
    DAMAGED_SUFFIX,
    DamagedFileError,
    read_sealed_json,
    write_sealed_json,
)
from fg3d_builder.files.sealed_object import read_sealed_object, write_sealed_object
from fg3d_builder.layout import BuildLayout
from fg3d_builder.pipeline.stages import cached_model
from fg3d_builder.records import Landmarks
from fg3d_builder.review.decisions import Decisions, Rejection
from fg3d_builder.shards.manifest import describe_shard, read_manifest
from fg3d_builder.tasks.review import read_decisions, write_decisions
from fg3d_builder.testsets.results import (
    FIT,
    ImageResult,
    ProtocolResults,
    read_results,
    read_row,
    write_results,
    write_row,
)

DAMAGES = 40
NETWORK = TrainConfig(network=NetworkConfig(size=32, base_channels=4, levels=2, view_set="3"))
LANDMARKS = Landmarks("ibug68", np.ones((68, 2)), np.ones(68), "annotation")
ROW = ImageResult("a1", "a", FIT, 0.0, 10.0, "nominal", 0.02, 1.0, "", "")
DECISIONS = Decisions({"a": 0.5}, (Rejection("a", "s", 0.1, "by_hand", "blurred"),), ("b",))


class Kind(NamedTuple):
    """A kind of file: how it is written, how it is read, and what a damaged one raises."""

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], Any]
    error: type[Exception]
    moved: bool = False


def _layout(path: Path) -> BuildLayout:
    return BuildLayout.frozen(path.parent.parent, path.stem.removeprefix("config-"))


def _freeze(path: Path) -> None:
    layout = BuildLayout(path.parent.parent, BuildConfig(name="toy"), "model")
    layout.freeze()
    write_sealed_json(path, read_sealed_json(layout.config_file))
    layout.config_file.unlink()


def _checkpoint(path: Path) -> None:
    torch.manual_seed(4)
    save_checkpoint(path, NETWORK, {}, Progress(), {"network": build_network(NETWORK.network)})


def _shards(path: Path) -> None:
    write_toy_shards(path.parent, train=1, test=1)


def _model(path: Path, read: Callable[[Path], Any]) -> tuple[str, bytes, bytes]:
    model = read(path)
    return model.name, model.mean.tobytes(), model.id_basis.tobytes()


def _weights(path: Path) -> list[bytes]:
    weights = read_checkpoint(path)["parts"]["network"].values()
    return [tensor.numpy().tobytes() for tensor in weights]


def _product(path: Path) -> bytes:
    found = read_product(path, "landmarks", "d1", Landmarks)
    return b"".join(record.points_px.tobytes() for record in found.records.values())


KINDS = (
    Kind(
        "product",
        lambda path: write_product(path, "landmarks", "d1", {"a": LANDMARKS}),
        _product,
        DamagedFileError,
        moved=True,
    ),
    Kind(
        "index.json",
        lambda path: write_sealed_json(path, [{"name": "chunk-00000", "entries": [1.5, None]}]),
        read_sealed_json,
        DamagedFileError,
        moved=True,
    ),
    Kind(
        "decisions.json",
        lambda path: write_decisions(path, DECISIONS),
        lambda path: read_decisions(path).decisions,
        DamagedFileError,
        moved=True,
    ),
    Kind("config-0123.json", _freeze, _layout, DamagedFileError, moved=True),
    Kind(
        "facemodel.h5",
        lambda path: save_model(toy_model(), path),
        lambda path: _model(path, cached_model.__wrapped__),
        DamagedFileError,
        moved=True,
    ),
    Kind(
        "mine.h5",
        lambda path: save_model(toy_model(), path),
        lambda path: _model(path, load_model),
        ValueError,
    ),
    Kind("train-00000.h5", _shards, describe_shard, DamagedFileError, moved=True),
    Kind("manifest.json", _shards, lambda path: read_manifest(path.parent), ValueError),
    Kind("checkpoint.pt", _checkpoint, _weights, DamagedCheckpointError),
    Kind(
        "config.json",
        lambda path: write_sealed_object(path, {"preset": "tiny", "seed": 17}),
        read_settings,
        ConfigError,
    ),
    Kind(
        "trained-on.json",
        lambda path: write_sealed_object(path, {"schema": "s-1", "crop_margin": 1.25}),
        lambda path: read_sealed_object(path, "s-1"),
        ValueError,
    ),
    Kind(
        "results.json",
        lambda path: write_results(ProtocolResults("now", (FIT,), (ROW,), (), {}), path.parent),
        read_results,
        ValueError,
    ),
)


def damaged_versions(whole: bytes) -> list[bytes]:
    """Bytes of a file after one accident each, at places that are the same in every run."""
    rng = np.random.default_rng([len(whole), 15])
    found = [b"", whole[:1], whole[:511], whole[:512], whole[:-1], whole + b"x", whole[1:]]
    for number in range(DAMAGES):
        data = bytearray(whole)
        # Half of them near the beginning, where seals, schemas and superblocks are.
        place = int(rng.integers(len(data) if number % 2 else min(len(data), 1024)))
        if number % 4 < 2:
            data[place] ^= 1 << int(rng.integers(8))
        elif number % 4 == 2:
            data[place : place + 64] = bytes(len(data[place : place + 64]))
        else:
            del data[place:]
        found.append(bytes(data))
    return [data for data in found if data != whole]


def _read(kind: Kind, path: Path) -> tuple[Any, str]:
    """What a file holds, or the message of the documented error."""
    try:
        return kind.read(path), ""
    except kind.error as error:
        return None, str(error)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_nothing_damaged_is_believed(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "work" / kind.name
    path.parent.mkdir()
    kind.write(path)
    whole, wanted = path.read_bytes(), kind.read(path)
    believed = 0
    for data in damaged_versions(whole):
        path.write_bytes(data)
        aside = path.with_name(path.name + DAMAGED_SUFFIX)
        found, message = _read(kind, path)
        if not message:
            assert found == wanted
            believed += 1  # white space in JSON, or padding: the content is the same
            continue
        assert path.name in message
        assert path.exists() != kind.moved
        assert aside.exists() == kind.moved
        assert not kind.moved or aside.read_bytes() == data
        aside.unlink(missing_ok=True)
    assert believed < 8
    # Made again, it is what it was.
    kind.write(path)
    assert path.read_bytes() == whole


def test_a_damaged_row_is_measured_anew(tmp_path: Path) -> None:
    path = tmp_path / "row.json"
    write_row(path, "key", ROW)
    whole = path.read_bytes()
    for data in damaged_versions(whole):
        path.write_bytes(data)
        assert read_row(path, "key") in (None, ROW)
