"""Runs the model and training tests on Keras's other backends, JAX and PyTorch, on the CPU: `make test-backends`.

Both go into .venv-backends, a layer over the environment that this runs in (.venv): what that has is used, and nothing in it changes.
PyTorch's usual file for Linux brings CUDA along, gigabytes of it. --torch-index names an index that holds files for the CPU alone, such
as PyTorch's install page gives for "CPU"; with it the layer takes about 0.9 GB.
"""

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-backends"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
BACKENDS = ("jax", "torch")


def build(backends, torch_index: str) -> None:
    """Make the layer, and install what it lacks for `backends`; a second call changes nothing."""
    venv.create(VENV, with_pip=False, symlinks=os.name != "nt")
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(VENV), "platbase": str(VENV)}))
    # A line of code in a .pth file is run at each start; addsitedir reads the .pth files below too, where the checkout is entered.
    (packages / "layer.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n", encoding="utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for backend in backends:
        index = ["--index-url", torch_index] if backend == "torch" and torch_index else []
        print(f"{VENV.name}: {', '.join(extras[backend])} ...", flush=True)
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *index, *extras[backend]], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("backends", nargs="*", metavar="BACKEND", help=f"of {', '.join(BACKENDS)}; default: both")
    parser.add_argument("--torch-index", default="", metavar="URL", help="a package index with PyTorch for the CPU alone")
    arguments = parser.parse_args()
    if unknown := set(arguments.backends) - set(BACKENDS):
        parser.error(f"no backend '{unknown.pop()}'; there are {', '.join(BACKENDS)}")
    backends = arguments.backends or BACKENDS
    build(backends, arguments.torch_index)
    failed = []
    with tempfile.TemporaryDirectory() as cache:  # what JAX has compiled for one test, the next need not compile
        for backend in backends:
            environment = os.environ | {"KERAS_BACKEND": backend, "JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
            print(f"\nKeras on {backend}", flush=True)
            training = [PYTHON, "-m", "pytest", "-q", "tests/test_training.py"]
            weights = [PYTHON, "-m", "pytest", "-q", "tests/test_backends.py", "-k", f"predictions and {backend}"]
            if any([subprocess.run(command, cwd=ROOT, env=environment).returncode for command in (training, weights)]):
                failed.append(backend)
    print(f"\nFailed: {', '.join(failed)}" if failed else "\nModel and training tests pass, with the same predictions from the same weights.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
