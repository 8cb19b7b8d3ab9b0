"""The command line: doctor, data, run, thresholds, grade. Thin: each command calls one verb and prints what it returns.

Heavy modules are imported inside the commands, so that --help answers at once.
"""

import sys
from pathlib import Path

import typer

from . import __version__
from .errors import CxrkitError

app = typer.Typer(
    name="cxrkit", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, rich_markup_mode="rich",
    help="Honest transfer learning for chest radiographs: a course. Any command takes --debug for a full traceback.",
)
data_app = typer.Typer(no_args_is_help=True, help="Get the images and weights, check a folder of images, list what can be had.")
app.add_typer(data_app, name="data")


def main(arguments=None) -> None:
    """Run the command line. Errors are one or two plain lines on stderr with exit code 2; a traceback only with --debug."""
    for stream in (sys.stdout, sys.stderr):  # a pipe on Windows may not know "≈"
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = _pairs([argument for argument in arguments if argument != "--debug"])
    try:
        code = app(arguments, prog_name="cxrkit", standalone_mode=False)
    except Exception as problem:
        if debug:
            raise
        text, code = _plain(problem)
        print(text, file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def _plain(problem) -> tuple[str, int]:
    """Return what the user reads of an error, and the exit code."""
    if isinstance(problem, CxrkitError):
        return str(problem), 2
    if hasattr(problem, "format_message"):  # typer's own: a wrong option or argument
        where = problem.ctx.command_path if getattr(problem, "ctx", None) else "cxrkit"
        message = problem.format_message().rstrip()
        return (f"{message}\nSee: {where} --help" if message else ""), 2  # no message: the help itself was printed
    if type(problem).__name__ == "Abort":  # what typer makes of Ctrl-C
        return "Stopped.", 130
    first = (str(problem).strip() or "no message").splitlines()[0]
    return f"Unexpected {type(problem).__name__}: {first}\nRun again with --debug to see where it came from.", 2


def _pairs(arguments):
    """Turn `-p NAME VALUE` into `-p NAME=VALUE`: typer has no repeatable option of two words."""
    rest, joined = list(arguments), []
    while rest:
        joined.append(rest.pop(0))
        if joined[-1] == "-p" and rest:
            name = rest.pop(0)
            joined.append(f"{name}={rest.pop(0)}" if "=" not in name and rest else name)
    return joined


def _version(wanted: bool):
    if wanted:
        print(f"cxrkit {__version__}")
        raise typer.Exit()


@app.callback()
def _common(version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version and stop.")):
    pass


@app.command()
def doctor(as_json: bool = typer.Option(False, "--json", help="Print JSON, for a bug report.")):
    """Say what this machine has, what is missing, and the line that mends it."""
    from . import doctor as examiner

    rows = examiner.examine()
    if as_json:
        print(examiner.as_json(rows))
    else:
        examiner.show(rows, _console())


@app.command()
def run(
    notebooks: list[str] = typer.Argument(None, metavar="[NOTEBOOK]...", help="Names (02, 02_frozen_training) or paths; none: the whole course."),
    profile: str = typer.Option("auto", "--profile", metavar="P", help="auto, demo, laptop or paper."),
    parameter: list[str] = typer.Option([], "-p", metavar="NAME VALUE", help="Set a notebook's parameter; may be repeated."),
    data: str = typer.Option("", "--data", metavar="PATH", help="Real images: folder, zip or npz."),
    weights: str = typer.Option("", "--weights", metavar="PATH", help="Weights file; or imagenet, phantom, none."),
    out: str = typer.Option("", "--out", metavar="DIR", help="The run folder. Default: runs/PROFILE in the checkout."),
    skip_bad: bool = typer.Option(False, "--skip-bad", help="Leave unreadable films out, on record, instead of stopping."),
    seed: int = typer.Option(None, "--seed", metavar="N", help="Another seed, in another run folder."),
    timeout: float = typer.Option(3600, "--timeout", metavar="S", min=1, help="Seconds that one cell may take."),
    list_: bool = typer.Option(False, "--list", help="Print the notebooks' parameters and run nothing."),
):
    """Run the course's notebooks, all or some, and write the report."""
    from . import course

    if list_:
        _list_parameters(notebooks or ())
        return
    pairs = [pair.partition("=") for pair in parameter]
    for name, equals, _ in pairs:
        if not equals:
            raise CxrkitError(f"-p {name} has no value; write: -p NAME VALUE")
    if skip_bad:
        pairs.append(("skip_bad", "=", "true"))
    names = [name for name, _, _ in pairs]
    for name in {name for name in names if names.count(name) > 1}:
        raise CxrkitError(f"{name} is given twice. Give it once.")
    console = _console()
    try:
        result = course.run_course(
            notebooks or (), profile, {n: v for n, _, v in pairs}, data=data, weights=weights, out=out, seed=seed, timeout=timeout, console=console)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from the last finished stage or epoch.", file=sys.stderr)
        raise typer.Exit(130) from None
    _show_result(result, console)
    if not result.ok:
        raise typer.Exit(1)


def _list_parameters(notebooks):
    from rich.table import Table
    from rich.text import Text

    from .notebooks import find_notebooks, read_parameters

    table = Table("Notebook", "Parameter", "Type", "Default", "What it does")
    for path in find_notebooks(notebooks):
        for count, parameter in enumerate(read_parameters(path).values()):
            row = (path.stem if count == 0 else "", parameter.name, parameter.kind, repr(parameter.default), parameter.help)
            table.add_row(*map(Text, row))
        table.add_section()
    _console().print(table)


def _show_result(result, console):
    from rich.table import Table
    from rich.text import Text

    table = Table("Notebook", "Result", "Minutes", "Note")
    for outcome in result.outcomes:
        style = {"done": "green", "failed": "bold red", "skipped": "yellow"}[outcome.status]
        minutes = f"{outcome.seconds / 60:.1f}" if outcome.seconds else ""
        table.add_row(outcome.notebook, Text(outcome.status, style=style), minutes, Text(outcome.note))
    console.print(table)
    if result.report:
        from .report import metrics_table, read_metrics

        metrics = read_metrics(result.config.run_folder)
        frame = metrics_table(metrics)
        phantom = ", on phantom films: nothing here is clinical" if metrics["dataset"] == "phantom" else ""
        measured = Table("System", "Threshold", *frame.columns, title=f"Test split{phantom}", title_justify="left")
        for index, cells in zip(frame.index, frame.to_numpy()):
            wide = console.width >= 140  # a narrow terminal gets the figures; the report has their intervals
            measured.add_row(*index, *(cell if wide else cell.split(" (")[0] for cell in cells))
        console.print(measured)
        console.print(f"Report: {result.report}", markup=False, highlight=False, soft_wrap=True)
    for outcome in result.outcomes:
        if outcome.status == "failed" and outcome.path:
            console.print(f"What {outcome.notebook} had reached: {outcome.path}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def grade(
    folder: Path = typer.Argument(..., metavar="SUBMISSIONS_DIR", help="Holds one folder for each student: STUDENT/SET.ipynb."),
    exercise: str = typer.Option(..., "--exercise", metavar="SET", help="The set's number, such as 02."),
    out: Path = typer.Option(..., "--out", metavar="DIR", help="Where the table, the pages and the results go; the same again goes on."),
    jobs: int = typer.Option(None, "--jobs", metavar="N", help="Notebooks at a time. Default: one a core, as far as the memory goes."),
    timeout: float = typer.Option(900, "--timeout", metavar="S", help="Seconds for one notebook."),
    cell_timeout: float = typer.Option(180, "--cell-timeout", metavar="S", help="Seconds for one cell, and for trying one function."),
    memory: int = typer.Option(3000, "--memory", metavar="MB", help="Memory for one notebook."),
    seed: int = typer.Option(None, "--seed", metavar="N", help="Of the inputs for functions. Default: drawn once, then kept in DIR."),
    isolation: str = typer.Option("auto", "--isolation", metavar="HOW", help="auto, bwrap, unshare or limits."),
    force: bool = typer.Option(False, "--force", help="Run every notebook again, changed or not."),
):
    """Grade a class's notebooks: each walled off from this machine, its answers judged outside."""
    from .grading.grade import grade_class, printable
    from .grading.items import distribution
    from .grading.pages import write_pages
    from .grading.sandbox import Limits

    limits = Limits(timeout, cell_timeout, memory)
    try:
        result = grade_class(folder, exercise, out, seed=seed, jobs=jobs, limits=limits, isolation=isolation, force=force)
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on with the notebooks that are left.", file=sys.stderr)
        raise typer.Exit(130) from None
    table, page = write_pages(result, exercise, out, limits)
    if result.isolation.warning:
        print(f"Warning: {result.isolation.warning}", file=sys.stderr)
    print(f"{distribution(result.results)['reading']} {result.ran} run, {result.kept} stood from before.")
    print(f"Isolation: {result.isolation.sentence}.\nTable: {table}\nReport: {page}")
    renamed = [row for row in result.results if row.get("renamed")]
    if renamed:
        print(f"{len(renamed)} of {len(result.results)} notebooks were worked on under another name than their folder's; the first: {printable(renamed[0]['student'])}: "
              f"{printable(renamed[0]['renamed'])}.", file=sys.stderr)
    unread = [row for row in result.results if row["problem"] and row["student"] not in result.failed]
    if unread:
        print(f"{len(unread)} of {len(result.results)} notebooks got no points because they could not be graded; the first: {printable(unread[0]['student'])}: "
              f"{printable(unread[0]['problem'])}.", file=sys.stderr)
    if result.failed:
        print(f"The grader itself failed on {len(result.failed)} of the notebooks, so their points mean nothing; the report says why. The same command tries them again.",
              file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def thresholds(
    source: Path = typer.Argument(..., metavar="PATH", help="A predictions file (path, label, probability) or a finished run folder."),
    no_browser: bool = typer.Option(False, "--no-browser", help="Print the address and open nothing."),
    port: int = typer.Option(None, "--port", metavar="N", min=1, max=65535, help="Port of this machine; default: a free one."),
):
    """Open the threshold lab on predictions, in JupyterLab."""
    from .lab_server import lab_notebook, serve

    def say(line):
        print(line, flush=True)  # a pipe must not keep the address back

    raise typer.Exit(serve(lab_notebook(source), browser=not no_browser, port=port, say=say))


@data_app.command("get")
def data_get(
    name: str = typer.Argument(..., help="chestxray2017 (1.2 GB), pneumoniamnist, or imagenet (weights)."),
    size: int = typer.Option(None, "--size", help="pneumoniamnist: 28, 64, 128 or 224 pixels."),
    from_: Path = typer.Option(None, "--from", metavar="PATH", help="Take a file or folder that is already on this disk."),
    backbone: str = typer.Option(None, "--backbone", metavar="NAME", help="imagenet: which network's weights; default efficientnetv2-b0."),
):
    """Get the images or weights: checked, resumable, and told how to place them by hand where there is no network."""
    if name == "imagenet" and (size or from_):
        raise CxrkitError("imagenet takes --backbone alone. Weights that you have are used where they lie: cxrkit run --weights PATH")
    if name == "imagenet":
        print(_imagenet(backbone or "efficientnetv2-b0"))
        return
    if backbone:
        raise CxrkitError(f"--backbone goes with imagenet: cxrkit data get imagenet --backbone {backbone}")
    from .data.download import fetch

    print(fetch(name, size=size, from_path=from_))


def _imagenet(backbone):
    from . import locate
    from .config import configure

    config = configure("laptop", backbone=backbone, weights="imagenet")
    if locate.imagenet_weights(backbone) is None:
        from .model import build_model  # Keras fetches them into its own cache when it builds

        build_model(config)
    return locate.imagenet_weights(backbone) or locate.keras_weights_folder()


@data_app.command("check")
def data_check(
    path: Path = typer.Argument(..., help="A folder, zip or npz of films."),
    skip_bad: bool = typer.Option(False, "--skip-bad", help="List the unreadable films instead of stopping at the first."),
):
    """Open every film and count them by split and class. Exit code 2 on a bad one, unless --skip-bad."""
    from .data import check_path

    print(check_path(path, skip_bad))


@data_app.command("list")
def data_list():
    """List what `cxrkit data get` can get, how large it is, and whether it is on this disk."""
    from rich.table import Table

    from . import locate
    from .data.download import catalogue

    table = Table("Name", "Size", "Download", "File", "On this disk")
    for row in catalogue():
        size = f"--size {row['size']}" if row["size"] else ""
        table.add_row(row["name"], size, f"{row['bytes'] / 1e6:,.0f} MB" if row["bytes"] else "", row["path"].name, "yes" if row["present"] else "no")
    for backbone, file in locate.WEIGHT_FILES.items():
        table.add_row("imagenet", f"--backbone {backbone}", "", file, "yes" if locate.imagenet_weights(backbone) else "no")
    _console().print(table)
    print(f"Images belong in {locate.data_folder()}\nWeights belong in {locate.keras_weights_folder()}")


def _console():
    from rich.console import Console

    # A pipe or a log has no width of its own: 80 columns would fold the tables.
    return Console() if sys.stdout.isatty() else Console(width=180)
