"""Stands in for Google Colab: its Python, its versions of all that the kit touches, the notebooks as its users run them.

`make test-colab` builds .venv-colab from the committed list, lets a notebook's first cell install the kit there from a git
server (on loopback, with the checkout as it is), holds every preinstalled version against what it was, and runs all notebooks
with the demo profile. It is not a live Colab.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import git_server

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
VENV = ROOT / ".venv-colab"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
RUNTIMES = {"3.13": HERE / "colab-2026-08.txt", "3.12": HERE / "colab-2026-07.txt"}  # newest first
NOTEBOOK_TOOLS = ("ipykernel", "ipython", "nbclient")  # Colab's own, which run the notebooks


def find_python(given):
    """Return (path, version) of a Python that one of Colab's runtimes has."""
    versions = Path.home() / ".pyenv" / "versions"
    for version in RUNTIMES:
        candidates = [given] if given else [shutil.which(f"python{version}"), *map(str, sorted(versions.glob(f"{version}*/bin/python"), reverse=True)), sys.executable]
        for candidate in filter(None, candidates):
            said = subprocess.run([candidate, "-c", "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True)
            if said.stdout.strip() == version:
                return candidate, version
    sys.exit(f"Cannot stand in for Colab: none of Python {', '.join(RUNTIMES)} was found here. Name one: make test-colab COLAB_PYTHON=/path/to/python3.13")


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(path):
    """Return {canonical name: version} of a list of name==version lines."""
    lines = [line.partition("==") for line in path.read_text(encoding="utf-8").splitlines() if "==" in line and not line.startswith("#")]
    return {canonical(name): version.split(";")[0].strip() for name, _, version in lines}


def installed():
    said = subprocess.run([PYTHON, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"], capture_output=True, text=True, check=True)
    return {canonical(row["name"]): row["version"] for row in json.loads(said.stdout)}


def pip(*arguments):
    subprocess.run([PYTHON, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"], check=True)


def build(python, version):
    """Make .venv-colab hold exactly the listed versions: a rerun takes away what the last one added."""
    pins = read_pins(RUNTIMES[version])
    if PYTHON.is_file():
        said = subprocess.run([PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True)
        if said.stdout.strip() != version:
            shutil.rmtree(VENV)
    if not PYTHON.is_file():
        subprocess.run([python, "-m", "venv", VENV], check=True)
    present = installed()
    foreign = sorted(set(present) - set(pins) - {"pip"})
    if foreign:
        pip("uninstall", "--yes", *foreign)
    if any(present.get(name) != pin for name, pin in pins.items()):
        print(f"Installing Colab's versions into {VENV.name} (about 2 GB, minutes, once) ...", flush=True)
        pip("install", "--no-deps", "-r", str(RUNTIMES[version]))  # without what the list lacks, as Colab is without it
    wrong = {name: (pin, found) for name, pin in pins.items() if (found := installed().get(name)) != pin}
    if wrong:
        sys.exit(f"{VENV.name} could not be brought to Colab's versions: {wrong}")
    return pins


def run(notebooks, folder, source, first_cell_only=False):
    """Run notebooks in Colab's Python through its own nbclient, in a folder that holds nothing but them. Returns the results.

    `source` is the address that their first cell installs the kit from.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CXRKIT_", "JUPYTER", "IPYTHON", "VIRTUAL_ENV", "PYTHON"))}
    environment |= {
        "COLAB_RELEASE_TAG": "release-colab-emulated", "CXRKIT_SOURCE": source, "CXRKIT_PROFILE": "demo",
        "NO_PROXY": f"127.0.0.1,{os.environ.get('NO_PROXY', '')}", "no_proxy": f"127.0.0.1,{os.environ.get('no_proxy', '')}",
        "CXRKIT_CACHE": str(folder / "cache"), "CXRKIT_DATA": str(folder / "data"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # a warning at each start that says nothing here
        "JUPYTER_DATA_DIR": str(folder / "jupyter"), "IPYTHONDIR": str(folder / "ipython"), "JUPYTER_CONFIG_DIR": str(folder / "config"),
    }
    content = folder / "content"
    content.mkdir(exist_ok=True)
    for path in notebooks:
        shutil.copy(path, content)
    results = folder / "results.json"
    command = [PYTHON, HERE / "inside.py", results, *(["--first-cell"] if first_cell_only else []), *(content / path.name for path in notebooks)]
    if subprocess.run(command, env=environment, cwd=content).returncode:
        sys.exit("The notebooks could not be run at all; see above.")
    return json.loads(results.read_text(encoding="utf-8"))


def installed_commit():
    """Return the commit that pip noted when it installed the kit, or None where that was not from git."""
    code = "import importlib.metadata as m; print(m.distribution('cxrkit').read_text('direct_url.json'))"
    said = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, cwd=VENV)
    return json.loads(said.stdout).get("vcs_info", {}).get("commit_id") if said.returncode == 0 else None


def compare(before, after, pins, when):
    """Print what was added and whether anything moved; return the moved ones."""
    moved = {name: (version, after.get(name, "gone")) for name, version in before.items() if after.get(name) != version and name != "cxrkit"}
    added = {name: version for name, version in after.items() if name not in before}
    print(f"{when}: {len(pins)} preinstalled packages, {len(moved)} moved; added: {', '.join(f'{n} {v}' for n, v in sorted(added.items())) or 'nothing'}")
    for name, (was, now) in moved.items():
        print(f"  MOVED {name}: {was} -> {now}")
    return moved


def refresh(python, version, freeze):
    """Write the committed list anew: what the kit needs, resolved under Colab's published list."""
    core = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    published = {name: pin for name, pin in read_pins(freeze).items() if "+" not in pin}  # builds of Colab's own are nowhere else
    with tempfile.TemporaryDirectory() as folder:
        constraints, report, scratch = (Path(folder) / name for name in ("constraints.txt", "report.json", "venv"))
        constraints.write_text("".join(f"{name}=={pin}\n" for name, pin in published.items()))
        subprocess.run([python, "-m", "venv", scratch], check=True)
        subprocess.run([scratch / "bin" / "python", "-m", "pip", "install", "--quiet", "--dry-run", "--report", report, "-c", constraints, *core, *NOTEBOOK_TOOLS], check=True)
        closure = {canonical(row["metadata"]["name"]) for row in json.loads(report.read_text())["install"]}
    month = re.search(r"\d{4}-\d{2}", RUNTIMES[version].name)[0]
    head = (f"# What Google Colab preinstalls (list published for {month}, Python {version}), as far as the kit touches it: its core\n"
            "# dependencies, the tools that run a notebook, and all that these need. Made by: run.py --refresh LIST\n")
    RUNTIMES[version].write_text(head + "".join(f"{name}=={published[name]}\n" for name in sorted(closure & set(published))), encoding="utf-8")
    print(f"{RUNTIMES[version].name}: {len(closure & set(published))} packages; needed and not on Colab: {', '.join(sorted(closure - set(published)))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: the course's")
    parser.add_argument("--python", help="a Python 3.13 (or 3.12) to build from")
    parser.add_argument("--first-cell", action="store_true", help="install the kit by the first notebook's first cell, compare versions, and stop")
    parser.add_argument("--refresh", type=Path, metavar="LIST", help="renew the committed list from a published one")
    arguments = parser.parse_args()
    python, version = find_python(arguments.python)
    if arguments.refresh:
        return refresh(python, version, arguments.refresh)
    pins = build(python, version)
    notebooks = [path.resolve() for path in arguments.notebooks] or sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    if not notebooks:
        sys.exit("notebooks/ holds no notebooks yet: make notebooks")
    shown = ("tensorflow", "keras", "numpy", "pandas", "scipy", "scikit-learn", "matplotlib", "pillow", "ipywidgets", "ipython", "ipykernel", "nbclient")
    print(f"Python {version}, list {RUNTIMES[version].stem}: {', '.join(f'{name} {pins[name]}' for name in shown)}", flush=True)
    before = installed()
    with tempfile.TemporaryDirectory() as folder, git_server.serving(ROOT, Path(folder, "git")) as (source, commit, served):
        first, = run(notebooks[:1], Path(folder), source, first_cell_only=True)
        fetched = installed_commit() == commit  # %pip itself fails without raising
        print(f"First cell: pip install {source} {f'brought the served commit {commit[:10]}' if fetched else 'did NOT bring the kit'}; "
              f"{len(served)} requests, {first['seconds']} s {first['error']}", flush=True)
        moved = compare(before, installed(), pins, "After the first cell")
        if arguments.first_cell or first["error"] or not fetched:
            return 1 if first["error"] or moved or not fetched else 0
        results = run(notebooks, Path(folder), source)
        moved |= compare(before, installed(), pins, "After all notebooks")
        kept = ROOT / "runs" / "colab"
        kept.mkdir(parents=True, exist_ok=True)
        for path in Path(folder, "content").glob("*.ipynb"):
            shutil.copy(path, kept)
    for row in results:
        print(f"{row['notebook']:<24} {row['cells']:>3} cells {row['seconds']:>7.1f} s  {row['error'] or 'ran'}")
    failed = [row for row in results if row["error"]]
    print(f"{len(results) - len(failed)} of {len(notebooks)} notebooks ran on Colab's versions; executed copies in {kept}")
    return 1 if failed or moved or len(results) < len(notebooks) else 0


if __name__ == "__main__":
    sys.exit(main())
