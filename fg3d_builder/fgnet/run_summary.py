"""What a run on another machine measured, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fg3d_builder.fgnet.parity import Parity, parity_text
from fg3d_builder.fgnet.training.names import ASSESSMENT_PAGE_NAME, assessment_folder
from fg3d_builder.files.sealed_object import SEAL, read_sealed_object

PAPER_SAMPLES, PAPER_EPOCHS = 474_000, 45


def summary(folder: Path, epochs: int, seconds: float, gpus: int) -> str:
    """Write the page as Markdown.

    Parameters
    ----------
    folder : Path
        With ``throughput.json``, ``parity.json``, ``parity-trained.json`` and ``training/``.
    epochs : int
        Epochs that this run has trained; 0 where it found a finished one.
    seconds : float
        Wall time that it took for them, with start and assessment.
    gpus : int
        Processes that trained together.
    """
    speed = read_sealed_object(folder / "throughput.json")
    lines = ["# Training on this machine", "", *_speed_lines(speed, gpus)]
    if epochs:
        lines.append(f"* {epochs} epochs took {seconds:.0f} s: {seconds / epochs:.1f} s each")
    for name, title in (("parity", "fresh weights"), ("parity-trained", "trained weights")):
        value = read_sealed_object(folder / f"{name}.json")
        value.pop(SEAL)
        lines += ["", f"## Against the CPU, {title}", "", parity_text(Parity(**value)).rstrip()]
    assessed = assessment_folder(folder / "training") / ASSESSMENT_PAGE_NAME
    if assessed.is_file():
        lines += ["", "## Against the 3DMM fit, unseen subjects", ""]
        lines.append(assessed.read_text(encoding="utf-8").rstrip())
    return "\n".join(lines) + "\n"


def _speed_lines(speed: dict[str, Any], gpus: int) -> list[str]:
    rates = speed["samples_per_s"]
    step = rates["simulation and step"]
    read = [rate for name, rate in rates.items() if name.startswith("reading")][-1]
    rate = min(step, read)
    limit = "reading" if read < step else "simulation and step"
    lines = [
        f"* {speed['device']}, torch {speed['torch']}, preset {speed['preset']}, "
        f"{speed['precision']}, batches of {speed['batch_size']}",
        *(f"* {name}: {value:.1f} samples/s" for name, value in rates.items()),
    ]
    if speed["memory_gib"] is not None:
        lines.append(f"* largest memory of the device: {speed['memory_gib']:.1f} GiB")
    epoch_hours = PAPER_SAMPLES / rate / 3600
    lines.append(
        f"* {PAPER_SAMPLES} samples x {PAPER_EPOCHS} epochs on one device: "
        f"{PAPER_EPOCHS * epoch_hours:.1f} h ({epoch_hours:.2f} h an epoch), limited by {limit}"
    )
    if gpus > 1:
        lines.append(f"* this run trained on {gpus} devices")
    return lines
