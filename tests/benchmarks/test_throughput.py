"""What the benchmark of throughput counts, sums and projects."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from toy_shards import write_toy_shards

from benchmarks import throughput
from benchmarks.throughput import Amounts
from fg3d_builder.config import FullViewConfig, load_preset

PRESET = Path(__file__).resolve().parents[2] / "tasks/subjects-200x10.toml"


def test_every_byte_of_a_dataset_is_counted_once(tmp_path: Path) -> None:
    write_toy_shards(tmp_path)
    sizes = throughput.dataset_bytes(tmp_path)
    assert sum(sizes.values()) == throughput.below(tmp_path)
    assert min(sizes.values()) > 0
    counted = throughput.amounts(tmp_path, ("train",))
    assert counted == Amounts(captures=5, turned=0, shaped=0, shapes=5)
    assert throughput.amounts(tmp_path, ("train", "test")).captures == 7


def test_a_projection_to_what_was_built_is_what_was_measured() -> None:
    """And twice as many samples of the same kinds cost twice as much, but for what is done once."""
    built = Amounts(captures=10, turned=80, shaped=360, shapes=50)
    table = {
        "captures": {"processor_s": 9.0, "processor_s_per_sample": 0.02},
        "views": {"processor_s": 18.0, "processor_s_per_sample": 0.04},
        "transform": {"processor_s": 45.0, "processor_s_per_sample": 0.1},
        "shards": {"processor_s": 4.5, "processor_s_per_sample": 0.01},
        "facemodel": {"processor_s": 0.45, "processor_s_per_sample": 0.001},
    }
    rows = {n: {**row, "unknown": 0, "captures": 10, "peak_mb": None} for n, row in table.items()}
    stages = throughput.stage_table(rows, built.samples, 80.0)
    assert stages["outside tasks"]["ms_per_sample"] == pytest.approx(1e3 * (80.0 - 76.95) / 450)
    dataset = {"images": 4_500_000, "shapes": 1_000_000, "rest": 450_000, "beside": 7}
    products = dict.fromkeys(throughput.PRODUCTS, 100) | {"other": 1, "report": 50}
    same = throughput.projection(stages, built, built, dataset, products)
    assert same["hours_in_all"] * 3600 * throughput.CORES == pytest.approx(80.0)
    assert same["dataset_gigabytes"] == pytest.approx(5_950_000 / 1e9)
    twice = throughput.projection(stages, built, built.of(900), dataset, products)
    assert twice["hours_in_all"] * 3600 * throughput.CORES == pytest.approx(160.0 - 0.45)
    assert twice["dataset_gigabytes"] == pytest.approx(2 * 5_950_000 / 1e9)


def test_amounts_keep_their_proportion_and_their_sum() -> None:
    paper = Amounts(captures=9, turned=72, shaped=324, shapes=45).of(throughput.PAPER_SAMPLES)
    assert paper.samples == throughput.PAPER_SAMPLES
    assert paper.captures == round(474_000 / 45)
    assert paper.shapes == round(474_000 / 9)


def test_growth_is_the_rise_within_stages_and_not_between_them(tmp_path: Path) -> None:
    """Later stages need more, which is no growth; 30 MB from the first task to the last is."""
    for stage, level in (("captures", 300.0), ("views", 800.0)):
        folder = tmp_path / f"work/{stage}-0"
        folder.mkdir(parents=True)
        for number in range(11):
            file = folder / f"chunk-{number}.json"
            peak = level + 3.0 * number
            file.write_text(json.dumps({"content": {"cost": {"peak_mb": peak}}}))
            began = 1000.0 if stage == "captures" else 5000.0
            os.utime(file, (began + 60.0 * number,) * 2)
    assert throughput.growth_mb(tmp_path) == pytest.approx(30.0)
    assert throughput.growth_mb(tmp_path / "nothing") is None


def test_a_process_is_seen_from_outside_with_all_below_it() -> None:
    large = "import time; x = b'x' * 300_000_000; time.sleep(1.5)"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {large!r}])"
    run = throughput.watched([sys.executable, "-c", program], 1)
    assert 300 < run.peak_mb < 400
    assert max(run.tenths_mb) == run.peak_mb
    assert 0 < run.processor_s < run.wall_s
    assert run.wall_s > 1.5
    with pytest.raises(RuntimeError, match="exit status 3: it broke"):
        throughput.watched([sys.executable, "-c", "print('it broke'); raise SystemExit(3)"], 1)


def test_the_preset_of_paper_scale_is_what_it_says() -> None:
    config = load_preset(PRESET)
    (source,) = config.sources
    assert (source.subjects, source.captures_per_subject) == (200, 10)
    assert config.transform.shapes_per_capture == 4
    assert config.fullview == FullViewConfig()
