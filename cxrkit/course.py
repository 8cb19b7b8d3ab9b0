"""Runs the course's notebooks through papermill: in order, with checked parameters, each into its own file."""

import contextlib
import dataclasses
import os
import time
from pathlib import Path

from .config import MINUTES, NAMED_WEIGHTS, Config, configure
from .errors import CxrkitError, nearest
from .locate import real_images, settle_environment
from .notebooks import check_parameters, find_notebooks, first_line, literal, need_papermill, own_kernel_manager, read_parameters, still_life

NEEDS = {"03": ("02",), "04": ("02", "03")}  # skipped when one of these fails in the same run
CELL_TIMEOUT = 3600.0  # seconds
_PATHS = ("data", "weights", "out")


@dataclasses.dataclass
class Outcome:
    """What became of one notebook: `status` is done, failed or skipped; `note` says why in a line."""

    notebook: str
    status: str
    seconds: float = 0.0
    note: str = ""
    path: Path | None = None


@dataclasses.dataclass
class CourseResult:
    """`config` of the run, one `Outcome` a notebook, and the path of the report (None where there is nothing to report)."""

    config: Config
    outcomes: list
    report: Path | None = None

    @property
    def ok(self) -> bool:
        return all(outcome.status == "done" for outcome in self.outcomes)


def run_course(notebooks=(), profile="auto", parameters=None, data=None, weights=None, out=None, seed=None,
               timeout=CELL_TIMEOUT, folder=None, console=None) -> CourseResult:
    """Run notebooks one after the other, each with its own outputs in <run folder>/notebooks, then write the report.

    Parameters
    ----------
    notebooks : names or paths, as in `find_notebooks`; none: the whole course.
    profile, data, weights, out, seed : as in `configure`; relative paths count from the current folder.
    parameters : {name: value} of further parameters that at least one of the notebooks annotates.
    timeout : seconds that one cell may take.
    folder : where the course's notebooks lie; None: the checkout.
    console : a rich Console; None: standard output.

    Returns
    -------
    CourseResult. A notebook that fails is kept as NAME.failed.ipynb, those that need it are skipped, the others go on.

    Raises
    ------
    CxrkitError before anything runs, for a wrong name, value, path or notebook. KeyboardInterrupt is passed on; running
    the same command again goes on where this one stopped, because the stages keep what they have in the run folder.
    """
    from rich.console import Console

    need_papermill()
    console = console or Console()
    settle_environment()  # kernels start in the notebooks' folder
    paths = find_notebooks(notebooks, folder)
    declared = {path.stem: read_parameters(path) for path in paths}
    options = {"profile": profile, "data": data, "weights": weights, "out": out, "seed": seed}
    given = {name: value for name, value in options.items() if value not in (None, "")}
    for name in set(given) & set(parameters or {}):
        if (name, given[name]) != ("profile", "auto"):
            raise CxrkitError(f"{name} is given twice, as --{name} and as -p {name}. Give it once.")
    read_by_notebooks = {name: value if name == "seed" else str(value) for name, value in given.items() if name in ("data", "weights", "seed")}
    config, values = _settle(given | check_parameters(read_by_notebooks | (parameters or {}), declared), declared)
    outputs = config.run_folder / "notebooks"
    try:
        outputs.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise CxrkitError(f"The run folder {config.run_folder} cannot be made ({problem.strerror}). Choose another with --out PATH.") from problem
    minutes = [MINUTES[config.profile].get(path.stem[:2], 0) for path in paths]
    plan = f"about {_minutes(sum(minutes))} on 2 cores" if sum(minutes) else "minutes with a GPU, hours without"
    console.print(
        f"{len(paths)} notebook{'s' * (len(paths) > 1)}, profile {config.profile}, {plan}, results in {config.run_folder}",
        highlight=False, markup=False, soft_wrap=True)
    outcomes, lost = [], set()
    for path, expected in zip(paths, minutes):
        number = path.stem[:2]
        missing = sorted(lost & set(NEEDS.get(number, ())))
        if missing:
            outcome = Outcome(path.stem, "skipped", note=f"needs {' and '.join(missing)}")
        else:
            passed = {name: value for name, value in values.items() if name in declared[path.stem]}
            outcome = _execute(path, outputs, passed, timeout, expected, console)
        if outcome.status != "done":
            lost.add(number)
        outcomes.append(outcome)
        console.print(_line(outcome, expected), highlight=False, markup=False, soft_wrap=True)
    report = None
    if (config.run_folder / "metrics.json").is_file():
        from .report import again, is_current, write_report

        if is_current(config.run_folder):
            report = write_report(config.run_folder)
        else:
            console.print(f"The results in this folder are of an older model; notebook 04 makes new ones: {again(config.run_folder)}", highlight=False, markup=False, soft_wrap=True)
    return CourseResult(config, outcomes, report)


def _settle(values, declared):
    """Check values and paths, settle the profile once for every notebook, and return the Config with what may be passed on."""
    for name in _PATHS:
        path = str(values.get(name) or "")
        if not path or (name == "weights" and path in NAMED_WEIGHTS):
            continue
        values[name] = os.path.abspath(os.path.expanduser(path))
        if name != "out" and not os.path.exists(values[name]):
            known = f" --weights can also be {', '.join(NAMED_WEIGHTS)}.{nearest(path, NAMED_WEIGHTS)}" if name == "weights" else ""
            raise CxrkitError(f"--{name}: {values[name]} does not exist.{known}")
    defaults = {name: p.default for parameters in declared.values() for name, p in parameters.items()}
    fields = {field.name for field in dataclasses.fields(Config)}
    # A notebook's own default means "the profile's"; every other value of a setting is checked here, before a kernel starts.
    config = configure(**{name: value for name, value in values.items() if name in fields and value != defaults.get(name)})
    if config.source == "chestxray2017" and not config.data and real_images() is None:
        raise CxrkitError(
            f"The profile '{config.profile}' needs the real images, which are not on this disk. Get them (1.2 GB) with:"
            " cxrkit data get chestxray2017\nor name a folder or zip with --data PATH, or use --profile demo.")
    return config, values | {"profile": config.profile, "out": str(config.run_folder)}


def _execute(path, outputs, values, timeout, expected, console) -> Outcome:
    """Run one notebook under a temporary name; the name says afterwards whether it ended well."""
    papermill = need_papermill()
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    partial, done, failed = (outputs / name for name in (f".{path.stem}.running.ipynb", f"{path.stem}.ipynb", f"{path.stem}.failed.ipynb"))
    start, cell_number, note = time.monotonic(), [0], ""
    try:
        with _progress(path.stem, expected, console) as advance:

            def on_cell_start(cell, cell_index):
                cell_number[0] = cell_index + 1
                advance(cell_index + 1)

            papermill.execute_notebook(
                literal(path), literal(partial), values, progress_bar=False, kernel_name="python3", language="python",
                cwd=str(path.parent), execution_timeout=timeout, start_timeout=120,
                kernel_manager_class=own_kernel_manager(), on_cell_start=on_cell_start,
            )
    except papermill.PapermillExecutionError as problem:
        first = problem.evalue.strip() if problem.ename == "CxrkitError" else f"{problem.ename}: {first_line(problem.evalue)}"
        note = f"cell In [{problem.exec_count}]: {first}"
    except CellTimeoutError:
        note = f"cell {cell_number[0]} took longer than {timeout:g} s (--timeout allows more)"
    except DeadKernelError:
        note = f"the kernel died in cell {cell_number[0]}, most often for lack of memory"
    except KeyboardInterrupt:
        partial.unlink(missing_ok=True)
        raise
    except Exception as problem:  # papermill, nbclient and the system have many; the other notebooks go on
        note = f"{type(problem).__name__} in cell {cell_number[0]}: {first_line(problem)}"
    seconds = time.monotonic() - start
    target = failed if note else done
    if partial.exists():
        import nbformat

        nbformat.write(still_life(nbformat.read(partial, as_version=4)), partial)
        os.replace(partial, target)
    if not note:
        failed.unlink(missing_ok=True)
    return Outcome(path.stem, "failed" if note else "done", seconds, note, target if target.exists() else None)


@contextlib.contextmanager
def _progress(name, expected, console):
    """A moving line while a notebook runs in a terminal; nothing elsewhere, where the closing line is enough."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TextColumn(f"of about {_minutes(expected)}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None)
        yield lambda number: bar.update(task, description=f"{name}, cell {number}")


def _line(outcome, expected):
    mark = {"done": "done   ", "failed": "FAILED ", "skipped": "skipped"}[outcome.status]
    clock = f"{int(outcome.seconds) // 60}:{int(outcome.seconds) % 60:02d}"
    about = f" of about {_minutes(expected)}" if expected and outcome.status == "done" else ""
    return f"{mark} {outcome.notebook:<22} {clock}{about}{'  ' if outcome.note else ''}{outcome.note}"


def _minutes(minutes):
    return f"{minutes:.0f} min" if minutes >= 1.5 else "1 min" if minutes > 0.5 else f"{60 * minutes:.0f} s"
