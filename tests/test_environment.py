"""The house holds together: package lists, make targets, light imports."""

import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _wanted():
    """{name: least version} of pyproject's core, lab, course and dev lists."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in ("lab", "course", "dev"))]
    found = {}
    for line in (line for lines in lists for line in lines):
        name, least = re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?(?:>=([\d.]+))?", line).groups()
        if name != "cxrkit":
            found[name.lower()] = least
    return project, found


def test_conda_environment_has_the_same_packages():
    yaml = pytest.importorskip("yaml")
    project, wanted = _wanted()
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *lines, kit = environment["dependencies"]
    assert kit == {"pip": ["-e .[browser,jax]"]}, "pip installs the checkout, the tools of the browser tests and the second backend, nothing else"
    listed = dict(re.fullmatch(r"([\w-]+)(?: >=([\d.]+\S*))?", line).groups() for line in lines)
    assert listed.pop("python") == project["requires-python"].removeprefix(">=")
    assert listed.pop("pip", None) is None
    assert listed == wanted


def test_readme_names_only_targets_that_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert {"install", "course", "test", "lab"} <= targets
    assert set(re.findall(r"\bmake ([a-z][a-z-]+)", readme)) <= targets


def test_citation_names_paper_and_data():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project, _ = _wanted()
    assert citation["cff-version"] == "1.2.0" and citation["version"] == project["version"]
    assert {"Lee", "Kermany"} <= {author.get("family-names") for reference in citation["references"] for author in reference["authors"]}
    assert "10.17632/rscbjbr9sj.2" in [reference.get("doi") for reference in citation["references"]]


def _loaded_by(code):
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code, forbidden",
    [
        ("import cxrkit", {"numpy", "pandas", "matplotlib", "scipy", "sklearn", "keras", "tensorflow", "IPython"}),
        ("import cxrkit.cli", {"numpy", "pandas", "matplotlib", "keras", "tensorflow", "papermill"}),
        *((f"import cxrkit.{name}", {"keras", "tensorflow", "torch", "jax"})
          for name in ("evaluation", "plots", "widgets", "checks", "baseline", "runs", "data", "data.load", "data.phantom", "report", "course")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_imports_stay_light(code, forbidden):
    assert not _loaded_by(code) & forbidden


def test_import_takes_milliseconds():
    best = min(
        float(subprocess.run(
            [sys.executable, "-c", "import time; t = time.perf_counter(); import cxrkit; print(time.perf_counter() - t)"],
            capture_output=True, text=True, check=True, cwd=ROOT).stdout) for _ in range(3))
    assert best < 0.3


def test_public_names_all_exist_and_say_what_they_are():
    code = "import cxrkit; print([n for n in cxrkit.__all__ if not (getattr(cxrkit, n).__doc__ or '').strip()])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["cxrkit", "cxrkit.data", "cxrkit.checks", "cxrkit.widgets"])
def test_a_package_lists_its_names_and_refuses_others_as_python_does(name):
    package = importlib.import_module(name)
    assert set(package.__all__) <= set(dir(package)) and "__doc__" in dir(package)
    for public in package.__all__:
        assert getattr(package, public).__module__.startswith("cxrkit")
    with pytest.raises(AttributeError, match=f"^module '{name}' has no attribute 'nothing'$"):
        package.nothing


def test_nothing_large_or_real_is_committed():
    """No real film, no copy of a published weights file; notebooks are held small by their own test."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        assert path.suffix.lower() not in (".jpeg", ".jpg", ".npz", ".zip", ".dcm"), name
        assert not path.is_file() or path.stat().st_size < 47_000_000, name


COLAB_LISTS = sorted((ROOT / "tests" / "colab").glob("colab-*.txt"))


def _pins(path):
    lines = (line.split("==") for line in path.read_text(encoding="utf-8").splitlines() if "==" in line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", name).lower(): version.split(";")[0].strip() for name, version in lines}


@pytest.mark.parametrize("path", COLAB_LISTS, ids=lambda path: path.stem)
def test_colab_fulfils_the_core_dependencies(path):
    """A bound above what Colab preinstalls would make its first cell replace a loaded package."""
    requirements = pytest.importorskip("packaging.requirements")
    pins = _pins(path)
    project, _ = _wanted()
    core = [requirements.Requirement(line) for line in project["dependencies"]]
    assert {r.name.lower() for r in core} - set(pins) == {"imagehash"}, "Colab has all but this one"
    assert [str(r) for r in core if r.name.lower() in pins and pins[r.name.lower()] not in r.specifier] == []


@pytest.mark.realdata
def test_colab_lists_are_as_published(shared):
    for path in COLAB_LISTS:
        published = _pins(shared / "colab" / path.name.replace("colab-", "pip-freeze-"))
        assert _pins(path).items() <= published.items(), f"tests/colab/run.py --refresh renews {path.name}"
