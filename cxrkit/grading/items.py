"""What a class's results say about its tasks: how hard each was, whether it told students apart, and what was commonly misread."""

import collections

import numpy as np


def distribution(results) -> dict:
    """Return the totals in ten steps of a tenth each.

    Parameters
    ----------
    results : of `grade.grade_class`.

    Returns
    -------
    {"counts": ten numbers, "mean", "median" (points), "of" (points), "reading": one sentence}.
    """
    of = sum(row["of"] for row in results[0]["tasks"])
    totals = np.array([total(result) for result in results], dtype=float)
    counts = np.histogram(totals / of, bins=np.linspace(0, 1, 11))[0].tolist()
    full, none = int((totals == of).sum()), int((totals == 0).sum())
    reading = (f"{len(totals)} students, {of} points to be had: mean {totals.mean():.1f}, median {np.median(totals):g}; "
               f"{full} with all points, {none} with none.")
    return {"counts": counts, "mean": float(totals.mean()), "median": float(np.median(totals)), "of": of, "reading": reading}


def total(result) -> int:
    """Return the sum of a student's points."""
    return sum(row["points"] for row in result["tasks"])


def difficulty(results) -> list[dict]:
    """Return one row a task: id, title, of, passed (share of all students), answered (count), discrimination.

    Discrimination is the correlation of passing a task with the points in all other tasks; None where either does not vary.
    Kelley's and Ebel's rule of thumb: below 0.2 a task hardly tells students apart.
    """
    rows = []
    points = np.array([[row["points"] for row in result["tasks"]] for result in results], dtype=float)
    for column, task in enumerate(results[0]["tasks"]):
        passed = np.array([result["tasks"][column]["passed"] for result in results], dtype=float)
        rest = points.sum(axis=1) - points[:, column]
        varies = passed.std() > 0 and rest.std() > 0
        rows.append({"id": task["id"], "title": task["title"], "of": task["of"], "passed": float(passed.mean()),
                     "answered": sum(result["tasks"][column]["answered"] for result in results),
                     "discrimination": float(np.corrcoef(passed, rest)[0, 1]) if varies else None})
    return rows


def misconceptions(results) -> list[dict]:
    """Return what answers looked like, the commonest first: id, misconception, count, message (of the first student who had it)."""
    found, first = collections.Counter(), {}
    for result in results:
        for row in result["tasks"]:
            if row["misconception"]:
                found[row["id"], row["misconception"]] += 1
                first.setdefault((row["id"], row["misconception"]), row["message"])
    ordered = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"id": id, "misconception": name, "count": count, "message": first[id, name]} for (id, name), count in ordered]
