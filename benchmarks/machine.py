"""What a benchmark ran on: columns that every row of a results file carries, so that no figure travels without its machine."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

import psutil


def describe(packages=("tensorflow", "keras")) -> dict:
    """Return the machine in words and numbers; call it before anything is measured.

    Parameters
    ----------
    packages : installed distributions whose versions belong to the result; one that is missing reads "absent".

    Returns
    -------
    {"cpu", "cores" (that this process may use), "memory_gb", "os", "gpu" (only where one answers), "python", one entry a package,
    "load" (average over the last minute, processes; above about 0.3 the machine was not calm)}.
    """
    memory = psutil.virtual_memory().total / 2**30
    found = {"cpu": _cpu(), "cores": usable_cores(), "memory_gb": round(memory, 1), "os": f"{platform.system()} {platform.release()}"}
    gpu = _gpu()
    if gpu:
        found["gpu"] = gpu
    return found | {"python": platform.python_version()} | {name: _version(name) for name in packages} | {"load": round(psutil.getloadavg()[0], 2)}


def usable_cores() -> int:
    """Return how many cores this process may use, which in a container can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_mb() -> float:
    """Return the most main memory that this process has held so far, in MiB (Linux and macOS; NaN elsewhere)."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _cpu():
    """The processor's name, with family and model where the name alone says little (virtual machines shorten it)."""
    facts = {}
    if Path("/proc/cpuinfo").is_file():
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    if "model name" in facts:
        return f"{facts['model name']} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')})"
    return platform.processor() or platform.machine()


def _gpu():
    try:
        done = subprocess.run(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "; ".join(done.stdout.split("\n")).strip("; ") if done.returncode == 0 else ""


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
