"""The command line, as a person uses it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import luigi
import numpy as np
import pytest
from toy_build import build_model, write_toy_build

from fg3d_builder.cli import main
from fg3d_builder.files.mesh_io import read_mesh


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    write_toy_build(folder, subjects=2, captures=1)
    return folder


@pytest.fixture(scope="module")
def built(toy: Path) -> Path:
    assert main(["build", str(toy / "toy.toml"), "--out", str(toy / "out")]) == 0
    return toy / "out"


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    names = ("build", "register", "captures", "verify", "models", "report", "review", "predict")
    for name in (*names, "networks"):
        assert f"fg3d {name}" in shown or f"    {name} " in shown


def test_stopping_while_the_interpreter_ends_changes_nothing() -> None:
    # As the installed command does; the signal comes when all that is asked for is there.
    code = (
        "import atexit, os, signal, sys\n"
        "from fg3d_builder.cli import entry_point\n"
        "atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))\n"
        "sys.argv = ['fg3d', '--version']\n"
        "entry_point()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0
    assert ended.stderr == ""


def test_networks_prints_what_each_costs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["networks", "--preset", "tiny"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| VMN")]
    assert len(rows) == 8
    assert "| VMN | 5 | convolve then warp | - | 64 | 32 | 16 | 1.21 | 0.08 |" in rows


def test_build_verify_report(built: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(built / "dataset")]) == 0
    assert "good; " in capsys.readouterr().out
    assert main(["report", str(built)]) == 0
    assert "index.html" in capsys.readouterr().out


def test_review_by_command(
    toy: Path, built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    no_lock = shutil.ignore_patterns("build.lock")  # this process holds the copied one
    shutil.copytree(built, out, symlinks=True, ignore=no_lock)
    assert main(["review", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "2 registrations, 0 left out" in shown
    assert str(out / "review.csv") in shown

    assert main(["review", str(out), "--reject", "s0-0", "--note", "a hand,\nhere"]) == 0
    assert "1 changed; run `fg3d build` again" in capsys.readouterr().out
    assert "s0-0,reject," in (out / "review.csv").read_text()
    assert main(["review", str(out), "--list", "rejected"]) == 0
    shown = capsys.readouterr().out
    assert "a hand, here" in shown
    assert "s1-0" not in shown
    luigi.task_register.Register.clear_instance_cache()
    assert main(["build", str(toy / "toy.toml"), "--out", str(out)]) == 0
    assert main(["report", str(out)]) == 0
    assert "rejected: s0-0: by_hand: a hand, here" in capsys.readouterr().out

    assert main(["review", str(out), "--reset", "s0-0", "--accept", "s1-0"]) == 0
    text = (out / "review.csv").read_text()
    assert "s0-0,auto," in text
    assert "s1-0,accept," in text
    for wrong, message in (
        (["--reject", "nobody"], "not in the review list: nobody\n"),
        (["--reject", "s0-00"], "not in the review list: s0-00; did you mean s0-0?"),
        (["--browser", "--list", "all"], "--browser shows all, and filters in the page"),
        (["--browser", "--count", "3"], "leave out --count"),
        (["--reject", "s0-0", "--accept", "s0-0"], "more than one verdict about s0-0"),
        (["--note", "a hand"], "--note: write --accept, --reject or --reset beside it"),
    ):
        assert main(["review", str(out), *wrong]) == 2
        assert message in capsys.readouterr().err
    assert (out / "review.csv").read_text() == text


def test_a_malformed_review_list_is_named(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "review.csv").write_text("capture_id,verdict,quality,note\ns0-0,no\n")
    assert main(["build", str(toy / "toy.toml"), "--out", str(tmp_path)]) == 2
    assert "review.csv:2: verdict 'no'; known are" in capsys.readouterr().err


def test_verify_names_the_bad_shard(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree((built / "dataset").resolve(), tmp_path / "bad")
    shard = sorted((tmp_path / "bad").glob("t*-0*.h5"))[0]
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 0x10
    shard.write_bytes(bytes(data))
    assert main(["verify", str(tmp_path / "bad")]) == 1
    assert f"{shard.name}: SHA-256 differs" in capsys.readouterr().out


def test_register_writes_meshes_pictures_and_figures(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["register", str(toy / "captures/s1-0"), "--out", str(out)]
    arguments += ["--preset", str(toy / "toy.toml")]
    assert main(arguments) == 0
    assert "converged after" in capsys.readouterr().out
    names = {p.name for p in out.iterdir()}
    pictures = {"overlay.png", "depth_error.png", "sheet.png"}
    assert names == {"registered.ply", "registered.glb", "result.json", *pictures}
    for name in pictures:
        assert cv2.imread(str(out / name)).std() > 5
    model = build_model()
    result = json.loads((out / "result.json").read_text())
    assert result["topology_hash"] == model.topology_hash
    assert result["surface_mm"]["median"] < 0.3  # depth with 0.3 mm of noise
    assert set(result["seconds"]) == {"landmarks", "surface", "fitting", "registration"}
    ply, glb = read_mesh(out / "registered.ply"), read_mesh(out / "registered.glb")
    np.testing.assert_array_equal(ply.triangles, model.triangles)
    n = model.vertex_count
    np.testing.assert_allclose(1000 * glb.vertices[:n], ply.vertices, atol=1e-4)  # from metres
    # The toy face is lit from the front on a dark ground: its middle is bright.
    assert ply.vertex_colors is not None
    front = model.mean[:, 2] > 70
    assert ply.vertex_colors[front].mean() > 120
    assert len(glb.textures) == 1


def test_register_says_why_not(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["register", str(toy / "nothing"), "--out", str(tmp_path)]) == 1
    assert "missing_file" in capsys.readouterr().err
    shutil.copytree(toy / "captures/s0-0", tmp_path / "blind")
    depth = cv2.imread(str(tmp_path / "blind/depth.png"), cv2.IMREAD_UNCHANGED)
    depth[20:] = 0
    depth[:20] = 8000
    cv2.imwrite(str(tmp_path / "blind/depth.png"), depth)
    arguments = ["register", str(tmp_path / "blind"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--preset", str(toy / "toy.toml")]) == 1
    assert "no_depth_on_face" in capsys.readouterr().err
    assert (tmp_path / "out/failure.png").is_file()


def test_captures_shows_what_is_rejected(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check = ["captures", "check", "--detector", "annotation"]
    assert main([*check, str(toy / "captures")]) == 0
    assert "2 good, 0 rejected" in capsys.readouterr().out
    shutil.copytree(toy / "captures", tmp_path / "captures")
    (tmp_path / "captures/s0-0/depth.png").unlink()
    assert main([*check, str(tmp_path / "captures")]) == 1
    shown = capsys.readouterr().out
    assert "1 good, 1 rejected" in shown
    assert "missing_file" in shown
    assert main(["captures", str(tmp_path / "captures")]) == 0
    assert "2 captures of 2 subjects" in capsys.readouterr().out
    assert main(["captures", "check", str(toy / "toy.toml")]) == 0


def test_models(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    assert "anny" in capsys.readouterr().out
    assert main(["models", "info", "--model", str(toy / "model.h5")]) == 0
    assert build_model().topology_hash in capsys.readouterr().out
    copy = tmp_path / "copy.h5"
    assert main(["models", "build", "--model", str(toy / "model.h5"), "--out", str(copy)]) == 0
    assert copy.read_bytes() == (toy / "model.h5").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "none.toml"], "cannot read preset none.toml"),
        (["captures", "none"], "none does not exist"),
        (["report", "none"], "no report at"),
        (["review", "none"], "no dataset at"),
        (["models", "info", "--model", "none.h5"], "none.h5"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown


def test_a_preset_without_captures_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.toml").write_text('[[sources]]\nkind = "folder"\npath = "nowhere"\n')
    assert main(["build", str(tmp_path / "p.toml"), "--out", str(tmp_path / "out")]) == 2
    assert "nowhere does not exist" in capsys.readouterr().err


def test_verify_without_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path)]) == 1
    assert "no dataset at" in capsys.readouterr().out


def test_register_fuses_and_names_what_it_cannot_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two captures of one face get one shape; a third that cannot be read is told and left out."""
    preset = write_toy_build(tmp_path, subjects=1, captures=3, still=True)
    folders = [str(tmp_path / f"captures/s0-{number}") for number in range(3)]
    (tmp_path / "captures/s0-2/color.png").unlink()
    out = tmp_path / "out"
    arguments = ["register", *folders, "--out", str(out), "--preset", str(preset)]
    assert main(arguments) == 2
    assert "--fuse" in capsys.readouterr().err
    assert main([*arguments, "--fuse"]) == 1
    said = capsys.readouterr()
    assert "s0-2" in said.err
    assert "s0-0: one shape of 2 captures" in said.out
    shapes = [read_mesh(out / f"s0-{number}/registered.ply").vertices for number in range(2)]
    np.testing.assert_array_equal(shapes[0], shapes[1])
    result = json.loads((out / "s0-0/result.json").read_text())
    assert result["fusion"]["captures"] == 2
