"""The completion scripts, read and asked by the shells themselves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from fg3d_builder.cli import main
from fg3d_builder.commands.completion import SHELLS

ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_shtab_fg3d
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script of each shell."""
    folder = tmp_path_factory.mktemp("completion")
    with pytest.MonkeyPatch.context() as patch:
        for shell in SHELLS:
            printed: list[str] = []
            patch.setattr("builtins.print", lambda text, to=printed: to.append(text))
            assert main(["completion", shell]) == 0
            (folder / shell).write_text("\n".join(printed))
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "studio").mkdir()
    (tmp_path / "studio.toml").touch()
    return tmp_path


def answers(scripts: Path, files: Path, *words: str) -> set[str]:
    """Return what bash completes the last word to, in a folder with files."""
    ask = ["bash", "-c", ASK, "ask", str(scripts / "bash"), "fg3d", *words]
    done = subprocess.run(ask, cwd=files, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_can_read_its_script(scripts: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = scripts / shell
    done = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_commands_and_actions(scripts: Path, files: Path) -> None:
    assert answers(scripts, files, "sp") == {"split"}
    assert {"build", "status", "train", "completion"} <= answers(scripts, files, "")
    assert answers(scripts, files, "export", "we") == {"webdataset"}


def test_options_and_choices(scripts: Path, files: Path) -> None:
    assert answers(scripts, files, "build", "--wo") == {"--workers"}
    assert answers(scripts, files, "build", "--engine", "") == {"luigi", "dask"}
    assert answers(scripts, files, "completion", "") == {"bash", "zsh", "fish"}


def test_files_and_folders(scripts: Path, files: Path) -> None:
    assert answers(scripts, files, "build", "stu") == {"studio", "studio.toml"}
    assert answers(scripts, files, "info", "stu") == {"studio"}  # a folder alone
    assert answers(scripts, files, "build", "--out", "stu") == {"studio"}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_is_in_every_script(scripts: Path, shell: str) -> None:
    from fg3d_builder.cli import COMMANDS

    text = (scripts / shell).read_text()
    for command in COMMANDS:
        assert command.__name__.rpartition(".")[2] in text
