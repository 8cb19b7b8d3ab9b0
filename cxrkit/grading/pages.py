"""What grading leaves to read: grades.csv, report.html for the instructor, feedback/ with one page a student."""

import datetime
from pathlib import Path

import pandas as pd

from .. import __version__
from ..checks.tasks import SETS
from ..errors import MissingExtraError
from ..files import atomic_path, write_csv
from . import items
from .grade import ClassResult, printable

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_pages(result: ClassResult, exercise: str, out, limits) -> tuple[Path, Path]:
    """Write the table and the pages, each whole or not at all.

    Returns
    -------
    Paths of grades.csv (student, task, points, reason) and report.html; feedback/<student>.html lie beside them.
    """
    try:
        import jinja2
    except ImportError as problem:
        raise MissingExtraError("jinja2", "course") from problem
    out = Path(out)
    rows = [{"student": cell(student["student"]), "task": row["id"], "points": row["points"], "reason": cell(row["reason"])}
            for student in result.results for row in student["tasks"]]
    write_csv(out / "grades.csv", pd.DataFrame(rows))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent.parent / "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined)
    environment.filters["shown"] = printable
    environment.globals["total"] = items.total
    (out / "feedback").mkdir(exist_ok=True)
    title = f"{exercise} {SETS[exercise].title}"
    now = f"{datetime.datetime.now().astimezone():%Y-%m-%d %H:%M}"
    pages = {}
    for number, student in enumerate(result.results):
        pages[number] = f"feedback/{student['slug']}.html"
        _write(out / pages[number], environment.get_template("feedback.html.j2").render(title=title, student=student, version=__version__))
    for left in set((out / "feedback").glob("*.html")) - {out / name for name in pages.values()}:
        left.unlink()  # of a student whose folder is gone
    page = environment.get_template("grades.html.j2").render(
        title=title, now=now, result=result, limits=limits, pages=pages, distribution=items.distribution(result.results),
        bars=_bars(items.distribution(result.results)["counts"]), difficulty=items.difficulty(result.results),
        misconceptions=items.misconceptions(result.results), version=__version__)
    _write(out / "report.html", page)
    return out / "grades.csv", out / "report.html"


def cell(text: str) -> str:
    """Return text for a cell of the table: on one line, and nothing that a spreadsheet would run as a formula."""
    text = printable(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _bars(counts):
    """Return the histogram's bars as positions in a drawing of 600 by 160."""
    highest = max(*counts, 1)
    return [{"x": 30 + 56 * step, "height": round(110 * count / highest, 1), "count": count, "label": f"{10 * step}–{10 * step + 10}"}
            for step, count in enumerate(counts)]


def _write(path, text):
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")
