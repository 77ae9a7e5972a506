"""Inputs that runs share: what is damaged is not taken, and made again as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fg3d_builder.fgnet.data.kept_inputs import Fed, SharedInputs, packed, unpacked
from fg3d_builder.fgnet.networks.architectures import NetworkInput

COUNT = 6
ABOUT = {"content_sha256": "0123"}
CPU = torch.device("cpu")


def batches() -> Iterator[Fed]:
    for number in range(0, COUNT, 2):
        made = torch.Generator().manual_seed(number)

        def some(*shape: int, generator: torch.Generator = made) -> torch.Tensor:
            return torch.rand(2, *shape, generator=generator)

        fields = {name: None for name in NetworkInput._fields}
        yield Fed(
            number=torch.tensor([number, number + 1]),
            given=NetworkInput(**{**fields, "image": some(3, 8, 8), "pncc": some(3, 8, 8)}),
            features=some(4),
            shape_mm=some(5, 3),
            target_mm=some(5, 3),
            confidence=some(5),
        )


def test_a_shape_is_kept_to_a_hundredth_of_a_millimetre() -> None:
    fed = next(batches())
    shape = torch.linspace(-32.0, 32.0, 2 * 3 * 8 * 8).view(2, 3, 8, 8)
    kept = packed(fed._replace(given=fed.given._replace(shape_map=shape)))
    found = unpacked(fed.number.tolist(), kept, CPU).given.shape_map
    assert found is not None
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, shape, atol=0.01, rtol=0)
    assert kept["shape_map"].nbytes == 2 * shape.numel()


class Made:
    """Counts how often inputs are simulated."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Iterator[Fed]:
        self.times += 1
        return batches()


def open_inputs(folder: Path, made: Made, checks: bool = True) -> SharedInputs:
    inputs = SharedInputs(folder, COUNT, ABOUT)
    inputs.open_or_make(made, checks)
    return inputs


def content(folder: Path) -> dict[str, bytes]:
    names = ("*.npy", "*.json")
    return {p.name: p.read_bytes() for name in names for p in folder.glob(name)}


def test_they_are_made_once(tmp_path: Path) -> None:
    made = Made()
    first = open_inputs(tmp_path, made)
    again = open_inputs(tmp_path, made)
    assert made.times == 1
    assert first.missing(range(COUNT)) == []
    one, two = (inputs.batch([4, 1], CPU) for inputs in (first, again))
    assert torch.equal(one.given.image, two.given.image)
    assert torch.equal(one.target_mm, two.target_mm)


@pytest.mark.parametrize("name", ["image.npy", "shape_mm.npy", "confidence.npy", "inputs.json"])
@pytest.mark.parametrize("how", ["flip", "cut", "gone"])
def test_what_is_damaged_is_made_again(tmp_path: Path, name: str, how: str) -> None:
    made = Made()
    folder = open_inputs(tmp_path, made).folder
    before = content(folder)
    path = folder / name
    data = bytearray(path.read_bytes())
    if how == "flip":
        data[-3] ^= 4
    path.write_bytes(data if how == "flip" else data[:-3])
    if how == "gone":
        path.unlink()
    open_inputs(tmp_path, made)
    assert made.times == 2
    assert content(folder) == before
    assert path.with_name(f"{name}.damaged").exists() == (how != "gone")


def test_lengths_are_compared_without_reading(tmp_path: Path) -> None:
    made = Made()
    path = open_inputs(tmp_path, made).folder / "image.npy"
    path.write_bytes(path.read_bytes()[:-1])
    open_inputs(tmp_path, made, checks=False)
    assert made.times == 2
