"""Says what this machine has, what is missing, and the line that mends it. Looks only; changes nothing."""

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import __version__, locate
from .config import PROFILES, checkout, configure
from .errors import CxrkitError

GOOD, MISSING, OPTIONAL = "ok", "missing", "optional"


def examine(slow: bool = True) -> list[dict]:
    """Return what was found, one dict a line: {"group", "name", "found", "state", "mend"}.

    `state` is ok, optional (works without) or missing (something will not work); `mend` is the line that mends it.
    `slow` asks Keras's framework about the GPU in a process of its own (seconds; only where a GPU answers at all).
    """
    return [*_machine(slow), *_packages(), _backend(), *_places(), _automatic_profile()]


def _row(group, name, found, state=GOOD, mend=""):
    return {"group": group, "name": name, "found": str(found), "state": state, "mend": mend}


def _machine(slow):
    import psutil

    version = platform.python_version()
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield _row("machine", "Python", f"{version} ({sys.executable})", GOOD if fits else MISSING, "" if fits else "make install PYTHON=python3.12")
    yield _row("machine", "System", f"{platform.system()} {platform.release()}, {platform.machine()}")
    yield _row("machine", "cxrkit", f"{__version__} ({Path(__file__).parent})")
    memory = psutil.virtual_memory()
    yield _row("machine", "Cores", f"{_usable_cores()} of {os.cpu_count()}")
    enough = memory.available > 3e9
    yield _row("machine", "Memory", f"{memory.available / 1e9:.1f} GB free of {memory.total / 1e9:.1f} GB", GOOD if enough else OPTIONAL,
               "" if enough else "close other programs: the course takes about 3 GB")
    yield _gpu(slow)


def _usable_cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _gpu(slow):
    if not locate.has_gpu():
        return _row("machine", "GPU", "none; the profiles demo and laptop need none", OPTIONAL)
    name = _run(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"], 20).strip().replace("\n", "; ")
    if not slow:
        return _row("machine", "GPU", name)
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if locate.backend_sees_gpu():
        return _row("machine", "GPU", f"{name}; {backend} sees it")
    return _row("machine", "GPU", f"{name}; {backend} does not see it", OPTIONAL, 'pip install "cxrkit[gpu]"' if backend == "tensorflow" else f"install {backend} with CUDA")


def _run(command, seconds):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _backend():
    """Whether Keras can load the framework that KERAS_BACKEND asks for; found without importing it."""
    wanted = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if wanted not in ("tensorflow", "jax", "torch"):
        return _row("packages", "Keras backend", wanted, MISSING, "unset KERAS_BACKEND; it can be tensorflow, jax or torch")
    there = importlib.util.find_spec(wanted) is not None
    extra = f'pip install "cxrkit[{wanted}]", or: unset KERAS_BACKEND' if wanted != "tensorflow" else "make install"
    return _row("packages", "Keras backend", wanted if there else f"{wanted}, not installed", GOOD if there else MISSING, "" if there else extra)


def _packages():
    """One row a package of pyproject's lists, from the installed metadata; extras count as optional."""
    from packaging.requirements import Requirement  # comes with matplotlib

    lists = {extra: [] for extra in ("", "lab", "course", "dev")}
    try:
        required = importlib.metadata.requires("cxrkit")
    except importlib.metadata.PackageNotFoundError:
        yield _row("packages", "cxrkit", "runs from its folder, not installed", MISSING, "pip install -e .   (in the course's folder)")
        return
    for line in required:
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        lists.get(extra[1] if extra else "", []).append(Requirement(line))
    seen = {"cxrkit"}
    for extra, wanted in lists.items():
        for requirement in wanted:
            if requirement.name not in seen:
                yield _package(requirement, extra)
            seen.add(requirement.name)


def _package(requirement, extra):
    group, mend = (f"extra {extra}", f'pip install "cxrkit[{extra}]"') if extra else ("packages", "make install, or: pip install -e . in the checkout")
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        version = None
    if version and requirement.specifier.contains(version, prereleases=True):
        return _row(group, requirement.name, version)
    found = f"{version}, needs {requirement.specifier}" if version else "not installed"
    return _row(group, requirement.name, found, OPTIONAL if extra else MISSING, mend)


def _places():
    runs = configure("demo").run_folder.parent
    for name, folder in (("Runs", runs), ("Cache", locate.cache_folder()), ("Data", locate.data_folder())):
        free = _free(folder)
        enough = free > 3e9
        yield _row("places", name, f"{folder} ({free / 1e9:.0f} GB free)", GOOD if enough else OPTIONAL,
                   "" if enough else f"free some disk, or set CXRKIT_{name.upper()} to another folder")
    yield _row("places", "Notebooks", checkout() / "notebooks" if checkout() else "not installed (clone the repository to run the course)")
    images = locate.real_images()
    yield _row("places", "Real images", images or "not on this disk", GOOD if images else OPTIONAL, "" if images else "cxrkit data get chestxray2017   (1.2 GB)")
    for profile in ("laptop", "paper"):
        backbone = PROFILES[profile]["backbone"]
        weights = locate.imagenet_weights(backbone)
        yield _row("places", f"Weights {backbone}", weights or "not on this disk", GOOD if weights else OPTIONAL,
                   "" if weights else f"cxrkit data get imagenet --backbone {backbone}")


def _free(folder):
    while not folder.exists() and folder != folder.parent:  # a drive that is not there has no existing parent
        folder = folder.parent
    return shutil.disk_usage(folder).free if folder.exists() else 0


def _automatic_profile():
    import contextlib
    import io

    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            profile = configure("auto").profile
    except CxrkitError as problem:
        return _row("course", "Profile auto", problem, MISSING, "unset CXRKIT_PROFILE")
    why = said.getvalue().strip().splitlines()
    return _row("course", "Profile auto", why[0] if why else profile)


def as_json(rows) -> str:
    return json.dumps(rows, indent=2, ensure_ascii=False)


def show(rows, console) -> None:
    """Print the rows as a table; states are words, so that it reads without colours."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="cxrkit doctor", title_justify="left", show_lines=False)
    for column in ("", "What", "Found"):
        table.add_column(column, overflow="fold")
    table.add_column("State", no_wrap=True)
    group = None
    for row in rows:
        if row["group"] != group and group is not None:
            table.add_section()
        style = {GOOD: "green", OPTIONAL: "yellow", MISSING: "bold red"}[row["state"]]
        table.add_row(row["group"] if row["group"] != group else "", row["name"], Text(row["found"]), Text(row["state"], style=style))
        group = row["group"]
    console.print(table)
    mends = list(dict.fromkeys((row["state"], row["mend"]) for row in rows if row["mend"]))
    for state, title in ((MISSING, "Needed, and missing:"), (OPTIONAL, "Not needed to begin; to have more:")):
        lines = [mend for found, mend in mends if found == state]
        if lines:
            console.print(title)
            for line in lines:
                console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    if not any(row["state"] == MISSING for row in rows):
        console.print("Ready: make course runs the demo profile; notebooks/00_start_here.ipynb opens the course.")
