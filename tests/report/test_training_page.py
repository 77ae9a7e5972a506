"""The page of a training run."""

from __future__ import annotations

import html
import logging
import math
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest
from toy_shards import write_toy_shards

from fg3d_builder.cli import main
from fg3d_builder.commands.training_options import page_writer
from fg3d_builder.fgnet.losses import LossConfig
from fg3d_builder.fgnet.networks.architectures import NetworkConfig
from fg3d_builder.fgnet.session import assess_run, train
from fg3d_builder.fgnet.training.log import ERRORS, NAMES, read_log
from fg3d_builder.fgnet.training.names import REPORT_NAME, assessment_folder
from fg3d_builder.fgnet.training.run_status import run_status
from fg3d_builder.fgnet.training.settings import TrainConfig
from fg3d_builder.files.sealed_object import read_sealed_object, write_sealed_object
from fg3d_builder.report.training_page import page_can_be_written, write_training_page

CONFIG = TrainConfig(
    network=NetworkConfig(size=32, base_channels=4, levels=2, view_set="1"),
    loss=LossConfig(mse=1.0, vgd=0.0),
    epochs=3,
    drop_epochs=(2,),
    learning_rate=0.02,
    warmup_steps=2,
    batch_size=3,
    precision="float32",
    workers=0,
    picture_epochs=(1,),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset in ``data`` and a finished run in ``run``, with the pages of its epochs."""
    folder = tmp_path_factory.mktemp("trained")
    write_toy_shards(folder / "data", train=6, test=3)
    pages: list[str] = []
    write = page_writer(folder / "run")

    def after_epoch() -> None:
        write()
        pages.append((folder / "run" / REPORT_NAME).read_text(encoding="utf-8"))

    train(folder / "data", folder / "run", CONFIG, "cpu", after_epoch=after_epoch)
    for number, page in enumerate(pages):
        (folder / f"page-{number}.html").write_text(page, encoding="utf-8")
    return folder


def page_of(folder: Path) -> str:
    return (folder / "run" / REPORT_NAME).read_text(encoding="utf-8")


def told(page: str, name: str) -> list[tuple[float, float]]:
    """The points of a curve, as they are told when they are pointed at."""
    found = re.findall(rf"<title>{re.escape(name)}, ([\d.]+): ([\d.e+-]+)</title>", page)
    return [(float(x), float(y)) for x, y in found]


def test_the_page_grows_with_each_epoch(folder: Path) -> None:
    pages = sorted(folder.glob("page-*.html"))
    assert len(pages) == CONFIG.epochs + 1  # and once more after the assessment
    for epoch, page in enumerate(pages[: CONFIG.epochs], start=1):
        text = page.read_text(encoding="utf-8")
        assert [x for x, _ in told(text, "loss")] == list(range(1, epoch + 1))
        assert f"{epoch} of {CONFIG.epochs}" in text


def test_curves_are_those_of_the_log(folder: Path) -> None:
    page, rows = page_of(folder), read_log(folder / "run" / "log.csv")
    for (x, y), row in zip(told(page, "loss"), rows, strict=True):
        assert x == row["epoch"]
        assert y == pytest.approx(row["total"], rel=1e-3)
    tested = [row for row in rows if row["test_nme"] > 0]
    assert [x for x, _ in told(page, "network")][: len(tested)] == [1.0, 3.0]
    level = re.search(r"<title>3DMM fit: ([\d.e+-]+)</title>", page)
    assert level
    assert float(level[1]) == pytest.approx(100 * tested[-1]["test_fit_nme"], rel=1e-3)
    share = tested[-1]["test_nme"] / tested[-1]["test_fit_nme"]
    assert f"<b>{100 * (share - 1):+.1f} %</b><span>NME against the 3DMM fit</span>" in page
    assert tested[-1]["test_dace"] <= tested[-1]["test_nme"]  # the nearest point is no farther


def test_a_val_split_is_watched_and_the_test_split_kept_for_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_toy_shards(tmp_path / "data", train=4, test=2, val=3)
    run = tmp_path / "run"
    with caplog.at_level(logging.INFO):
        train(tmp_path / "data", run, CONFIG, "cpu", after_epoch=page_writer(run))
    assert "4 training samples, 2 test samples, 3 val samples, which are watched" in caplog.text
    assert "epoch 3/3" in caplog.text
    assert ", val NME" in caplog.text
    assert "test NME" not in caplog.text
    last = read_log(run / "log.csv")[-1]
    assert all(math.isnan(last[f"test_{error}"]) for error in ERRORS)
    # The last epoch's error is what an assessment of the val split finds with the same weights.
    assess_run(tmp_path / "data", run, "val", device="cpu")
    val = read_sealed_object(assessment_folder(run, "val") / "assessment.json")
    assert {sample["subject_id"] for sample in val["samples"]} == {"val0", "val1", "val2"}
    assert last["val_nme"] == pytest.approx(val["mean_predicted"], rel=1e-5)
    assert last["val_fit_nme"] == pytest.approx(val["mean_fit"], rel=1e-5)
    at_the_end = read_sealed_object(assessment_folder(run) / "assessment.json")
    assert {sample["subject_id"] for sample in at_the_end["samples"]} == {"test0", "test1"}
    page = write_training_page(run).read_text(encoding="utf-8")
    curves = page[page.index('id="curves"') : page.index('id="assessment-test"')]
    assert "NME on the val split" in curves
    assert "test" not in curves
    assert "Samples of the val split after epoch 3" in page
    status = run_status(run)
    assert (status.watched, status.complete) == ("val", True)
    assert status.best_nme == min(
        row["val_nme"] for row in read_log(run / "log.csv") if row["val_nme"] > 0
    )


def test_a_run_without_a_test_split_is_complete_without_an_assessment(tmp_path: Path) -> None:
    write_toy_shards(tmp_path / "data", train=4, test=0, val=2)
    train(tmp_path / "data", tmp_path / "run", CONFIG, "cpu")
    status = run_status(tmp_path / "run")
    assert status.complete
    assert status.network_nme is None


def test_the_worst_samples_come_first(folder: Path) -> None:
    about = read_sealed_object(assessment_folder(folder / "run") / "assessment.json")
    errors = [about["samples"][one["sample"]]["predicted"] for one in about["worst"]]
    assert errors == sorted((s["predicted"] for s in about["samples"]), reverse=True)[:8]
    captions = re.findall(r"NME ([\d.]+) % \(3DMM fit", page_of(folder))
    assert [float(c) for c in captions] == [pytest.approx(100 * e, abs=0.0051) for e in errors]


def test_every_link_of_the_page_is_a_file(folder: Path) -> None:
    page = page_of(folder)
    links = [unquote(html.unescape(x)) for x in re.findall(r'(?:href|src)="([^"]*)"', page)]
    assert any(link.endswith("error-maps.png") for link in links)
    for link in links:
        target, _, anchor = link.partition("#")
        assert not target or (folder / "run" / target).is_file(), link
        assert not anchor or f'id="{anchor}"' in page, link


def test_the_command_writes_the_page_anew(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = page_of(folder)
    (folder / "run" / REPORT_NAME).unlink()
    assert main(["report", str(folder / "run")]) == 0
    assert str((folder / "run" / REPORT_NAME).resolve()) in capsys.readouterr().out
    assert page_of(folder) == before
    assert page_can_be_written(folder / "run")
    assert not page_can_be_written(folder / "data")


def test_a_log_of_an_earlier_version_is_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((folder / "run" / "config.json").read_bytes())
    old = "step,epoch,rate,total,mse,psd,vgd,test_nme\n2,1,0.1,4,4,,,0.02\n4,2,0.1,2,2,,,\n"
    (tmp_path / "log.csv").write_text(old)
    assert [set(row) for row in read_log(tmp_path / "log.csv")] == [set(NAMES)] * 2
    page = write_training_page(tmp_path).read_text(encoding="utf-8")
    assert told(page, "loss") == [(1.0, 4.0), (2.0, 2.0)]
    assert told(page, "network") == [(1.0, 2.0)]
    assert "Nothing measured yet" in page  # DACE


def test_a_damaged_assessment_is_named(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    file = assessment_folder(run) / "assessment.json"
    file.write_bytes(file.read_bytes().replace(b"predicted", b"predacted", 1))
    page = write_training_page(run).read_text(encoding="utf-8")
    assert "assessment.json" in page
    assert "makes it anew" in page
    assert "Worst first" not in page


def test_a_page_is_named_after_its_build_and_advises_what_is_there(
    folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "demo" / "training"
    run.mkdir(parents=True)
    (run / "config.json").write_bytes((folder / "run" / "config.json").read_bytes())
    page = write_training_page(run).read_text(encoding="utf-8")
    assert "<h1>Training run demo/training</h1>" in page
    assert "tensorboard" not in page
    (run / "tensorboard").mkdir()
    page = write_training_page(run).read_text(encoding="utf-8")
    assert f"<code>tensorboard --logdir {run}/tensorboard</code>" in page


def test_one_subject_is_one_subject(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder / "run", run)
    page = write_training_page(run).read_text(encoding="utf-8")
    assert "3 samples of 3 subjects; content" in page
    file = assessment_folder(run) / "assessment.json"
    about = read_sealed_object(file)
    write_sealed_object(file, {**about, "samples": about["samples"][:1], "worst": []})
    page = write_training_page(run).read_text(encoding="utf-8")
    assert "1 sample of 1 subject; content" in page


def test_a_run_without_an_epoch_has_a_page(folder: Path, tmp_path: Path) -> None:
    name = "<b>run"
    (tmp_path / name).mkdir()
    config = (folder / "run" / "config.json").read_bytes()
    (tmp_path / name / "config.json").write_bytes(config)
    page = write_training_page(tmp_path / name).read_text(encoding="utf-8")
    assert "No epoch has ended yet" in page
    assert "<b>run" not in page
    assert "&lt;b&gt;run" in page
