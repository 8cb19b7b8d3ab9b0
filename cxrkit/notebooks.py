"""The course's notebooks as files: where they lie, which parameters they annotate, which Python runs them.

papermill alone only warns about an unknown parameter and ignores all of them where the tagged cell is missing; here
both are refused.
"""

import ast
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

from .config import checkout
from .errors import CxrkitError, MissingExtraError, nearest

_KINDS = {"int": int, "float": float, "bool": bool, "str": str}


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One annotated line of a notebook's parameters cell: `name: kind = default  # help`."""

    name: str
    kind: str
    default: object
    help: str


def find_notebooks(wanted=(), folder: Path | None = None) -> list[Path]:
    """Return the notebooks' paths in running order.

    Parameters
    ----------
    wanted : names ("02", "02_frozen_training") or paths of .ipynb files; none: the whole course.
    folder : where the course lies; None: the checkout's notebooks folder.

    Raises
    ------
    CxrkitError for a name that no notebook or more than one has.
    """
    home = folder or (checkout() / "notebooks" if checkout() else None)
    known = {path.stem: path for path in sorted(home.glob("[0-9][0-9]_*.ipynb"))} if home else {}
    if not wanted and not known:
        where = f"{home} holds no notebooks" if home else "The package is installed without the course's notebooks"
        raise CxrkitError(f"{where}. Run this from a clone of the repository, or give the paths of notebooks.")
    found = [_find(str(name), known) for name in wanted] or list(known.values())
    chosen = sorted(dict.fromkeys(found), key=lambda path: path.stem)
    stems = [path.stem for path in chosen]
    if len(set(stems)) < len(stems):
        raise CxrkitError(f"Two notebooks are called {max(stems, key=stems.count)}: their results would share one file. Run them one at a time.")
    return chosen


def _find(name, known):
    if name.endswith(".ipynb") and Path(name).is_file():
        return Path(name).resolve()
    stem = name.removesuffix(".ipynb")
    matches = [stem] if stem in known else [other for other in known if other.startswith(stem)]
    if len(matches) == 1:
        return known[matches[0]]
    if matches:
        raise CxrkitError(f"'{name}' could be {', '.join(matches)}. Give more of the name.")
    raise CxrkitError(f"There is no notebook '{name}'.{nearest(stem, known)} There are: {', '.join(known) or 'none here'}.")


def read_parameters(notebook: Path) -> dict[str, Parameter]:
    """Return the annotated parameters of a notebook, by name, in their order.

    Raises CxrkitError for a file that is no notebook, has no cell tagged "parameters", or a parameter without a type.
    """
    papermill = need_papermill()
    import nbformat

    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except Exception as problem:  # nbformat raises its own kinds, json's and the system's
        raise CxrkitError(f"{notebook} cannot be read as a notebook ({first_line(problem)}).") from problem
    if not any("parameters" in cell.metadata.get("tags", []) for cell in cells):
        raise CxrkitError(f"{notebook.name} has no cell tagged 'parameters', so none could be passed to it. Tag one in JupyterLab's property inspector.")
    try:
        found = papermill.inspect_notebook(literal(notebook))
    except ValueError as problem:
        raise CxrkitError(f"{notebook.name} names no Python kernel ({first_line(problem)}). Save it once in JupyterLab.") from problem
    parameters = {}
    for name, row in found.items():
        if row["inferred_type_name"] not in _KINDS:
            raise CxrkitError(f"The parameter {name} of {notebook.name} has no annotated type ({', '.join(_KINDS)}); write for example: {name}: int = 0")
        try:
            default = ast.literal_eval(row["default"])
        except (ValueError, SyntaxError):
            raise CxrkitError(f"The default of {name} in {notebook.name} must be written out, such as {name}: {row['inferred_type_name']} = "
                              f"{_KINDS[row['inferred_type_name']]()!r}, not {row['default']} (and no # inside a text).") from None
        parameters[name] = Parameter(name, row["inferred_type_name"], default, row["help"])
    return parameters


def check_parameters(given: dict, notebooks: dict[str, dict[str, Parameter]]) -> dict:
    """Return the given values as the types that the notebooks annotate.

    Parameters
    ----------
    given : {name: value}; text is read as the annotated type ("3" as int), as the command line passes it.
    notebooks : {notebook's name: its parameters}.

    Raises
    ------
    CxrkitError for a name that none of the notebooks has (with the nearest one) and for a value of another type.
    """
    known = {name: parameter for parameters in notebooks.values() for name, parameter in parameters.items()}
    checked = {}
    for name, value in given.items():
        if name not in known:
            which = next(iter(notebooks)) if len(notebooks) == 1 else "none of these notebooks"
            has = "has no" if len(notebooks) == 1 else "has a"
            raise CxrkitError(f"{which} {has} parameter '{name}'.{nearest(name, known)} List them with: cxrkit run --list")
        checked[name] = _typed(known[name], value)
    return checked


def _typed(parameter, value):
    kind = _KINDS[parameter.kind]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is kind:
        return value
    if isinstance(value, str):
        try:
            return {"true": True, "false": False}[value.lower()] if kind is bool else kind(value)
        except (ValueError, KeyError):
            pass
    if isinstance(value, os.PathLike) and kind is str:
        return str(value)
    wanted = {"bool": "true or false"}.get(parameter.kind, parameter.kind)
    raise CxrkitError(f"Parameter {parameter.name}: {wanted} expected, not {value!r}.")


def still_life(notebook):
    """Take the live views out of an executed notebook where a picture stands in the same output; returns the notebook.

    Its kernel is gone: a page would prefer the dead view, and show an empty box or an error in place of the picture.
    """
    view, pictures, alive = "application/vnd.jupyter.widget-view+json", ("image/png", "text/html"), False
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if view in data and any(kind in data for kind in pictures):
                del data[view]
            alive |= view in data
    if not alive:
        notebook.metadata.pop("widgets", None)
    return notebook


def own_kernel_manager():
    """Return a kernel manager class whose kernel is always this very Python.

    A kernelspec called "python3" in the user's or the system's Jupyter folder wins over the environment's own and may
    start a Python without cxrkit.
    """
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class OwnPythonKernelManager(AsyncKernelManager):
        @property
        def kernel_spec(self):
            # A backend from the user's shell would keep the figures out of the notebook.
            return KernelSpec(
                argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], name="python3", language="python",
                display_name="Python 3", env={"MPLBACKEND": "module://matplotlib_inline.backend_inline"})

        async def start_kernel(self, **options):
            # What a cell prints goes into the notebook; the rest is start-up talk of ipykernel and TensorFlow.
            await super().start_kernel(**{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | options)

    return OwnPythonKernelManager


def literal(path) -> str:
    """Return a path as text that papermill's own {placeholders} leave alone."""
    return str(path).replace("{", "{{").replace("}", "}}")


def first_line(problem) -> str:
    """Return the first line of an error's message."""
    text = str(problem).strip() or type(problem).__name__
    return text.splitlines()[0][:200]


def need_papermill():
    """Return the papermill module, or say how to install it."""
    try:
        import papermill
    except ImportError as problem:
        raise MissingExtraError("papermill", "course") from problem
    return papermill
