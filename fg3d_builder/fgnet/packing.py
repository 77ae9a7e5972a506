"""A dataset and the code that trains on it as one file for a machine with a GPU, and back.

Such a machine needs torch, numpy, scipy, h5py and OpenCV, nothing else::

    fg3d pack build/demo/dataset --out build/pack.tar
    ... copy it; there: tar -xf pack.tar && cd fg3d-pack && ./run.sh ...
    ... copy results.tar back
    fg3d unpack results.tar --out build/from-gpu

The whole package travels, 1 MB of text, rather than a list of the modules that training imports:
such a list would have to be kept.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import fg3d_builder
from fg3d_builder.errors import ConfigError
from fg3d_builder.fgnet.training.settings import TRAIN_PRESETS
from fg3d_builder.files.atomic import replacing
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.shards.manifest import (
    MANIFEST_NAME,
    MODEL_NAME,
    altered_files,
    described_files,
    read_manifest,
)

ROOT = "fg3d-pack"
RESULTS = "out"
_PACKAGE = Path(fg3d_builder.__file__).resolve().parent
_CODE_SUFFIXES = (".py", ".json", ".html", ".typed")

RUN_SH = """\
#!/usr/bin/env bash
# Trains a network and measures the machine; leaves everything in out/ and results.tar.
#   ./run.sh                         preset {preset}, {epochs} epochs, on all GPUs
#   EPOCHS=2 BATCH=128 ./run.sh      these instead of the preset's
#   ./run.sh --network cvn           any options of `fg3d train`
# Environment: PYTHON (whose packages are used as they are), DEVICE (auto, cpu, cuda), GPUS, PRESET,
# EPOCHS, BATCH, MICRO_BATCH (samples in memory together, 0: all), WORKERS, ROUNDS (of the
# measurement), ANYWAY=1 (train though device and CPU differ). EPOCHS, BATCH and WORKERS are preset
# {preset}'s: name them with another PRESET.
# Run it again after an interruption: training goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")"
export PYTHONPATH="$PWD/code${{PYTHONPATH:+:$PYTHONPATH}}" PYTHONUNBUFFERED=1
PYTHON=${{PYTHON:-python3}} PRESET=${{PRESET:-{preset}}} EPOCHS=${{EPOCHS:-{epochs}}}
DEVICE=${{DEVICE:-auto}} WORKERS=${{WORKERS:-{workers}}} BATCH=${{BATCH:-{batch}}}
ROUNDS=${{ROUNDS:-20}} MICRO_BATCH=${{MICRO_BATCH:-0}} ANYWAY=${{ANYWAY:-0}}
fg3d=("$PYTHON" -m fg3d_builder.cli)
"$PYTHON" -c 'import torch, numpy, scipy, h5py, cv2'
count='import torch; print(torch.cuda.device_count())'
if [ "$DEVICE" = auto ]; then
  DEVICE=cpu; [ "$("$PYTHON" -c "$count")" -gt 0 ] && DEVICE=cuda
fi
if [ "$DEVICE" = cuda ]; then GPUS=${{GPUS:-$("$PYTHON" -c "$count")}}; else GPUS=1; fi
mkdir -p {results}
model=(){model}
preset=(--preset "$PRESET" --device "$DEVICE")

alike() {{  # ends the script where device and CPU differ, unless ANYWAY
  local status=0
  "${{fg3d[@]}}" parity dataset "$@" "${{model[@]}}" || status=$?
  if [ "$status" = 1 ] && [ "$ANYWAY" = 1 ]; then status=0; fi
  if [ "$status" = 1 ]; then echo "run.sh: ANYWAY=1 ./run.sh goes on all the same" >&2; fi
  return "$status"
}}

echo "== does $DEVICE compute what the CPU computes?"
alike --out {results}/parity.json "${{preset[@]}}"

echo "== how fast is one step?"
"$PYTHON" -m benchmarks.training dataset --out {results}/throughput.json --preset "$PRESET" \\
  --device "$DEVICE" "${{model[@]}}" --batch-size "$BATCH" --workers "$WORKERS" --rounds "$ROUNDS"

echo "== training"
train=("${{fg3d[@]}}" train)
if [ "$GPUS" -gt 1 ]; then
  launch=("$PYTHON" -m torch.distributed.run --standalone --nproc-per-node "$GPUS")
  train=("${{launch[@]}}" -m fg3d_builder.cli train)
fi
log={results}/training/log.csv
before=0; [ -f "$log" ] && before=$(wc -l < "$log")
began=$SECONDS
"${{train[@]}}" dataset --out {results}/training "${{preset[@]}}" "${{model[@]}}" \\
  --epochs "$EPOCHS" --batch-size "$BATCH" --micro-batch "$MICRO_BATCH" \\
  --workers "$WORKERS" "$@" \\
  2>&1 | tee -a {results}/training.log
# The first row of the log is its heading.
epochs=$(( $(wc -l < "$log") - (before > 0 ? before : 1) ))
took=$(( SECONDS - began ))

echo "== does the trained network answer alike on both?"
"${{fg3d[@]}}" parity dataset --out {results}/parity-trained.json --device "$DEVICE" \\
  "${{model[@]}}" --checkpoint {results}/training/checkpoint.pt

"${{fg3d[@]}}" summary {results} --epochs "$epochs" --seconds "$took" --gpus "$GPUS"
tar -cf results.tar.part {results} && mv results.tar.part results.tar
echo "results.tar: copy it back and unpack it with fg3d unpack"
"""


def pack(
    dataset: Path, out: Path, preset: str, epochs: int | None = None, facemodel: Path | None = None
) -> int:
    """Write the tar file; return its length in bytes.

    Parameters
    ----------
    dataset : Path
        Folder with ``manifest.json``; only the files that it names are packed.
    out : Path
        Not compressed: shards are compressed already.
    preset : str
        One of `TRAIN_PRESETS`; ``run.sh`` trains it unless its environment names another one.
    epochs : int, optional
    facemodel : Path, optional
        Model file, where its licence keeps it out of the dataset.

    Raises
    ------
    ConfigError
        The face model is neither in the dataset nor named.
    FileNotFoundError
        No dataset, or a file that its manifest names is not there.
    ValueError
        Another face model than that of the dataset, or files that its manifest does not describe.
    """
    manifest = read_manifest(dataset)
    wanted = manifest["facemodel"]
    if not wanted["file"] and facemodel is None:
        raise ConfigError(
            f"{dataset}: the licence of face model '{wanted['name']}' keeps it out of the "
            "dataset; name its file with --facemodel"
        )
    if facemodel is not None and file_sha256(facemodel) != wanted["sha256"]:
        raise ValueError(f"{facemodel} is not the face model file that {dataset} was built with")
    files = dataset_files(dataset)
    altered = altered_files(dataset, [entry["file"] for entry in described_files(manifest)])
    if altered:
        raise ValueError(
            f"{dataset}: {', '.join(altered)}: SHA-256 differs from the manifest's; "
            f"`fg3d verify {dataset}` says how to repair the dataset"
        )
    config = TRAIN_PRESETS[preset]
    script = RUN_SH.format(
        preset=preset,
        epochs=epochs or config.epochs,
        batch=config.batch_size,
        workers=config.workers,
        results=RESULTS,
        model="" if facemodel is None else f"; model=(--facemodel {MODEL_NAME})",
    )
    with replacing(out) as temporary, tarfile.open(temporary, "w") as tar:
        _add_text(tar, f"{ROOT}/run.sh", script, mode=0o755)
        for path in code_files():
            tar.add(path, f"{ROOT}/code/{path.relative_to(_PACKAGE.parent).as_posix()}")
        for path in files:
            # A dataset is a link to the folder of its latest build: what it points to travels.
            tar.add(path.resolve(), f"{ROOT}/dataset/{path.name}")
        if facemodel is not None:
            tar.add(facemodel.resolve(), f"{ROOT}/{MODEL_NAME}")
    return out.stat().st_size


def unpack(results: Path, out: Path) -> list[Path]:
    """Unpack what ``run.sh`` left; return the files.

    Raises
    ------
    ValueError
        Not such a file, or one that would write outside of `out`.
    """
    try:
        with tarfile.open(results) as tar:
            members = [m for m in tar.getmembers() if m.isfile()]
            for member in members:
                parts = Path(member.name).parts
                if parts[:1] != (RESULTS,) or ".." in parts:
                    raise ValueError(f"{results}: holds {member.name}, wanted {RESULTS}/ alone")
            written = [_extract(tar, member, out) for member in members]
    except tarfile.TarError:
        raise ValueError(f"{results} is no tar file of a packed training run") from None
    return written


def code_files() -> Iterator[Path]:
    """All files of the package that are code or data of code, and benchmarks of a device."""
    for path in sorted(_PACKAGE.rglob("*")):
        if path.suffix in _CODE_SUFFIXES and "__pycache__" not in path.parts:
            yield path
    for name in ("gpu_check.py", "rasterizer_batch.py", "training.py"):
        yield _PACKAGE.parent / "benchmarks" / name


def dataset_files(dataset: Path) -> list[Path]:
    """Return the manifest of a dataset and all files that it names.

    Raises
    ------
    FileNotFoundError
    """
    names = {entry["file"] for entry in described_files(read_manifest(dataset))}
    files = [dataset / name for name in (MANIFEST_NAME, *sorted(names))]
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; the manifest names it")
    return files


def _add_text(tar: tarfile.TarFile, name: str, text: str, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(text.encode()), mode
    tar.addfile(info, io.BytesIO(text.encode()))


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, out: Path) -> Path:
    content = tar.extractfile(member)
    assert content is not None  # members are regular files
    target = out.joinpath(*Path(member.name).parts[1:])
    with replacing(target) as temporary, temporary.open("wb") as file:
        while block := content.read(1 << 20):
            file.write(block)
    return target
