"""Run the notebooks of the documentation and store what they print and show.

`python -m docs.make_notebooks [NAME ...]` takes those that are named alone. Each is run in a fresh
kernel of this environment and in an empty folder, so what works here works wherever it is opened.
Stored with the outputs is a digest of the code that made them, which the tests compare with the
cells; execution times, versions and other things that differ from run to run are left out, so that
a diff shows what changed.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

from fg3d_builder.files.atomic import write_bytes

NOTEBOOKS = Path(__file__).parent / "notebooks"

KERNEL = "python3"
"""The kernel that every environment with ipykernel has; in `.venv` it is `.venv`'s own."""

CELL_LIMIT_S = 3600
"""Longest time of one cell, on a machine that has other things to do."""

STARTUP_S = 180
"""The same of a kernel's start."""

PICTURES_S = 180
"""The same of what a cell has put out, once it has ended."""


def read(name: str) -> NotebookNode:
    """Read a notebook of the documentation by its name without suffix."""
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def executed(
    notebook: NotebookNode, parameters: str = "", cell_limit_s: int = CELL_LIMIT_S
) -> NotebookNode:
    """Run a copy of a notebook from its first cell to its last, in an empty folder.

    Parameters
    ----------
    notebook : NotebookNode
    parameters : str
        Lines that are run behind those of the cell with the tag "parameters", whose values they
        change.
    cell_limit_s : int
        Seconds after which a cell is given up.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        A cell failed.
    nbclient.exceptions.CellTimeoutError
        A cell, or what it has put out, took too long.
    """
    copy = nbformat.from_dict(notebook)
    if parameters:
        (cell,) = [cell for cell in copy.cells if "parameters" in cell.metadata.get("tags", ())]
        cell.source += f"\n{parameters}"
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as sockets:
        # Sockets in a folder in place of ports: nobody else on this machine reaches the kernel.
        kernel = AsyncKernelManager(
            kernel_name=KERNEL, transport="ipc", ip=str(Path(sockets) / "kernel")
        )
        client = NotebookClient(
            copy,
            km=kernel,
            timeout=cell_limit_s,
            startup_timeout=STARTUP_S,
            # A cell's pictures come by another socket than the word that it has ended. By default
            # those that are not there four seconds after it are left out in silence.
            iopub_timeout=PICTURES_S,
            raise_on_iopub_timeout=True,
            record_timing=False,
            resources={"metadata": {"path": folder}},
        )
        client.execute(cleanup_kc=True)  # a kernel that it did not make is not ended by itself
    return copy


def normalised(notebook: NotebookNode) -> NotebookNode:
    """Return a copy that holds nothing of the machine and the moment, with the digest of its code.

    Texts of one stream that arrived in pieces are joined: how they were cut is chance.
    """
    copy = nbformat.from_dict(notebook)
    copy.nbformat, copy.nbformat_minor = 4, 5
    copy.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": KERNEL},
        "language_info": {"name": "python"},
        "code_sha256": code_digest(copy),
    }
    for number, cell in enumerate(copy.cells, start=1):
        cell.id = f"cell-{number:02d}"
        cell.metadata = {k: v for k, v in cell.metadata.items() if k == "tags"}
        if cell.cell_type == "code":
            cell.outputs = _joined_streams(cell.outputs)
            for output in cell.outputs:
                output.pop("metadata", None)
                if output.output_type in ("display_data", "execute_result"):
                    output.metadata = {}
    return copy


def code_digest(notebook: NotebookNode) -> str:
    """Return the SHA-256 of all code cells: outputs of other code are not this notebook's."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(code).encode()).hexdigest()


def _joined_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    joined: list[NotebookNode] = []
    for output in outputs:
        before = joined[-1] if joined else None
        if (
            before is not None
            and output.output_type == before.output_type == "stream"
            and output.name == before.name
        ):
            before.text += output.text
        else:
            joined.append(output)
    return joined


def main() -> None:
    """Run the notebooks that the arguments name, all without arguments, and store them."""
    known = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(known)}; all without")
    names = parser.parse_args().names or known
    unknown = set(names) - set(known)
    if unknown:
        parser.error(f"no notebook named {', '.join(sorted(unknown))}")
    for name in names:
        path = NOTEBOOKS / f"{name}.ipynb"
        stored = nbformat.writes(normalised(executed(read(name)))) + "\n"
        write_bytes(path, stored.encode())
        print(f"wrote {path}: {len(stored) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
