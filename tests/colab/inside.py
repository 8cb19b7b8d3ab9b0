"""Runs inside Colab's Python: executes notebooks one after the other with nbclient, writes what became of them as JSON."""

import json
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError


def execute(path, first_cell_only):
    notebook = nbformat.read(path, as_version=4)
    if first_cell_only:
        notebook.cells = [next(cell for cell in notebook.cells if cell.cell_type == "code")]
    client = NotebookClient(notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}})
    start, error = time.monotonic(), ""
    try:
        client.execute()
    except CellExecutionError as problem:
        error = f"{problem.ename}: {problem.evalue.splitlines()[0] if problem.evalue else ''}"
    except (CellTimeoutError, DeadKernelError) as problem:
        error = type(problem).__name__
    if not first_cell_only:
        nbformat.write(notebook, path)
    return {"notebook": path.stem, "cells": len(notebook.cells), "seconds": round(time.monotonic() - start, 1), "error": error}


def main(results, *arguments):
    first_cell_only = "--first-cell" in arguments
    rows = [execute(Path(name), first_cell_only) for name in arguments if name != "--first-cell"]
    Path(results).write_text(json.dumps(rows), encoding="utf-8")


main(*sys.argv[1:])
