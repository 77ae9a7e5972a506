"""A disk that is full, or cannot be written: the file is named, what was there stays."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from toy_build import build_model

from fg3d_builder.cli import main
from fg3d_builder.errors import sentence
from fg3d_builder.facemodel.storage import save_model
from fg3d_builder.files.atomic import replacing, write_bytes, write_json
from fg3d_builder.files.hdf5_writing import new_hdf5

MEGABYTE = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte; skips where a person may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        made = False
    if not made:
        pytest.skip("a file system can only be mounted by root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def closed_disk(small_disk: Path) -> Path:
    """A disk that can only be read, with one file."""
    (small_disk / "there").write_bytes(b"before")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    return small_disk


def fill(file: h5py.File) -> None:
    rng = np.random.default_rng(0)
    file.attrs["schema"] = "a"
    file["group/noise"] = rng.random(10_000)
    file.create_dataset("packed", data=np.zeros((90, 90)), chunks=(30, 90), compression="gzip")
    images = file.create_dataset("images", (20,), dtype=h5py.vlen_dtype(np.uint8))
    for number in range(20):
        images[number] = np.frombuffer(rng.bytes(9_000 + number), np.uint8)


def fill_with_small(file: h5py.File) -> None:
    """Fill it with data sets so small that each is written when its object goes."""
    for number in range(60):
        file.create_dataset(f"small/{number}", data=np.ones(1000)).attrs["unit"] = "mm"
    fill(file)


def assert_told(error: OSError, path: Path) -> None:
    assert error.errno == errno.ENOSPC
    assert error.filename == str(path)
    said = sentence(error)
    assert said.startswith(f"the disk is full: {path} could not be written")
    assert "\n" not in said
    assert list(path.parent.iterdir()) in ([], [path])  # nothing half written is left behind


def test_a_full_disk_is_told_with_file_and_size(small_disk: Path) -> None:
    path = small_disk / "a.bin"
    write_bytes(path, b"before")
    with pytest.raises(OSError, match="No space") as caught:
        write_bytes(path, bytes(2 * MEGABYTE))
    assert_told(caught.value, path)
    assert f"{2 * MEGABYTE:,} bytes were to be written" in sentence(caught.value)
    assert path.read_bytes() == b"before"
    with pytest.raises(OSError, match="No space") as caught:
        write_json(path, "x" * 2 * MEGABYTE)
    assert_told(caught.value, path)


@pytest.mark.parametrize("options", [{}, {"userblock_size": 512}])
def test_hdf5_files_are_the_same_bytes_as_always(tmp_path: Path, options: dict[str, int]) -> None:
    with new_hdf5(tmp_path / "new.h5", **options) as file:
        fill(file)
    with h5py.File(tmp_path / "plain.h5", "w", **options) as file:
        fill(file)
    assert (tmp_path / "new.h5").read_bytes() == (tmp_path / "plain.h5").read_bytes()


def test_what_libraries_say_of_a_full_disk_is_the_same(small_disk: Path) -> None:
    noise = np.random.default_rng(0).random(MEGABYTE // 4)
    path = small_disk / "a.h5"
    with (
        pytest.raises(OSError, match="No space") as caught,
        replacing(path) as temporary,
        new_hdf5(temporary) as file,
    ):
        file["noise"] = noise
    assert_told(caught.value, path)
    gc.collect()  # HDF5 would crash here over a file that is still open
    path = small_disk / "a.npy"
    with (
        pytest.raises(OSError, match="No space") as caught,
        replacing(path) as temporary,
        temporary.open("wb") as opened,
    ):
        np.save(opened, noise)
    assert_told(caught.value, path)
    path = small_disk / "a.pt"
    with pytest.raises(OSError, match="No space") as caught, replacing(path) as temporary:
        torch.save(torch.from_numpy(noise), temporary)
    assert_told(caught.value, path)


@pytest.mark.parametrize("there", range(4096, 200_000, 14_000))
def test_a_disk_that_gets_full_while_an_hdf5_file_is_filled(
    small_disk: Path, there: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)
    (small_disk / "filler").write_bytes(bytes(MEGABYTE - there))
    path = small_disk / "a.h5"
    with (
        pytest.raises(OSError, match="No space"),
        replacing(path) as temporary,
        new_hdf5(temporary) as file,
    ):
        fill_with_small(file)
    gc.collect()
    assert not reported
    assert [p.name for p in small_disk.iterdir()] == ["filler"]


def test_a_command_on_a_full_disk_is_one_sentence(
    small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(build_model(), tmp_path / "model.h5")
    (small_disk / "filler").write_bytes(bytes(MEGABYTE - 4096))
    out = small_disk / "copy.h5"
    assert main(["models", "build", "--model", str(tmp_path / "model.h5"), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"fg3d: the disk is full: {out} could not be written")
    assert said.splitlines()[1:] == ["see docs/troubleshooting.md#the-disk-is-full"]
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_a_build_on_a_full_disk_names_the_file(
    small_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OSError, match="No space"):
        (small_disk / "filler").write_bytes(bytes(2 * MEGABYTE))
    (tmp_path / "p.toml").write_text("sources = [{}]\n")
    assert main(["build", str(tmp_path / "p.toml"), "--out", str(small_disk)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"fg3d: the disk is full: {small_disk / 'build.lock'} could not be")
    assert said.splitlines()[1:] == ["see docs/troubleshooting.md#the-disk-is-full"]
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_a_disk_that_can_only_be_read(
    closed_disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (closed_disk / "there", closed_disk / "new"):
        with pytest.raises(OSError, match="Read-only") as caught:
            write_bytes(path, b"after")
        assert sentence(caught.value) == f"{path} lies on a disk that can only be read"
    assert (closed_disk / "there").read_bytes() == b"before"
    (tmp_path / "p.toml").write_text("sources = [{}]\n")
    assert main(["build", str(tmp_path / "p.toml"), "--out", str(closed_disk)]) == 2
    lock = closed_disk / "build.lock"
    assert capsys.readouterr().err == f"fg3d: {lock} lies on a disk that can only be read\n"
    out = closed_disk / "build"
    assert main(["build", str(tmp_path / "p.toml"), "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"fg3d: {out} lies on a disk that can only be read\n"
    save_model(build_model(), tmp_path / "model.h5")
    out = closed_disk / "copy.h5"
    assert main(["models", "build", "--model", str(tmp_path / "model.h5"), "--out", str(out)]) == 2
    assert capsys.readouterr().err == f"fg3d: {out} lies on a disk that can only be read\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_errors_without_a_file_get_its_name(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(OSError, match="3 bytes were to be written") as caught:
        write_bytes(tmp_path / "a", b"abc")
    assert caught.value.errno == number
    assert str(tmp_path / "a") in sentence(caught.value)


def test_errors_that_name_a_file_are_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError) as caught:
        write_bytes(tmp_path / "file" / "inside", b"")
    assert caught.value.filename == str(tmp_path / "file")
    with pytest.raises(RuntimeError, match="of another kind"), replacing(tmp_path / "a"):
        raise RuntimeError("of another kind")
    assert (
        sentence(caught.value)
        == f"{tmp_path / 'file'} is in the way: a file, where a folder is to be"
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "a/b"), "a/b does not exist"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a: permission denied"),
        (
            OSError(errno.EROFS, "Read-only file system", "a"),
            "a lies on a disk that can only be read",
        ),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 999), "the path is too long"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "a"), "a is a folder, expected a file"),
        (
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"),
            "a part of this path is a file",
        ),
        (OSError(errno.EIO, "Input/output error", "a", None, "b"), "a -> b: Input/output error"),
        (OSError(errno.ENOSPC, "No space left on device"), "the output could not be written"),
        (OSError("a library's own words"), "a library's own words"),
        (MemoryError(), "not enough memory"),
        (RecursionError("maximum"), "nested too deep"),
        (KeyError(), "KeyError"),
    ],
)
def test_sentences(error: BaseException, said: str) -> None:
    assert said in sentence(error)
    assert len(sentence(error)) < 300
