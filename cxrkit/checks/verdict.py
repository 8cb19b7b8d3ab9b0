"""How a judge speaks: it notes what is right as it goes, and stops at the first thing that is not, by name where the name is known."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What can be said of an answer.

    Attributes
    ----------
    passed : whether all checks of the task passed.
    right : what was right, one short sentence each; may be empty.
    misconception : the short name of what the answer looks like, the same text for everybody who has it; None where none is known.
    message : one or two sentences for the student.
    """

    passed: bool
    right: list
    misconception: str | None
    message: str


class NotYet(Exception):
    """An answer that does not pass: `misconception` and `message` as in Verdict."""

    def __init__(self, misconception, message):
        super().__init__(message)
        self.misconception, self.message = misconception, message


UNTOUCHED = "not answered"
RAISES = "the function raises an error"
FORM = "another form of answer"
PLAIN_REASONS = (UNTOUCHED, RAISES, FORM)  # said by the message itself; every other name is a misconception
PERCENT = "percent instead of a share"


def miss(misconception: str | None, message: str):
    """Stop judging."""
    raise NotYet(misconception, message)


def same(a, b, tolerance=1e-6) -> bool:
    """Say whether two plain numbers or arrays agree within an absolute tolerance; other forms never do."""
    try:
        a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=0, atol=tolerance))


def near(value, expected, tolerance) -> bool:
    """Say whether a number is the expected one, or the expected one rounded to two decimals."""
    return same(value, expected, tolerance) or abs(value - round(float(expected), 2)) < 1e-9


def first_wrong(results, true, tolerance=1e-6) -> int:
    """Return which trial to show: the first that does not agree."""
    return next(k for k, (a, b) in enumerate(zip(results, true)) if not same(a, b, tolerance))


def number(value, what="a number") -> float:
    """Return a plain number as float, or stop."""
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "iuf":
        value = value.reshape(-1)[0]
    if isinstance(value, np.generic):  # an element of an array
        value = value.item()
    if type(value) not in (int, float):
        miss(FORM, f"{what[0].upper()}{what[1:]} is asked for, not {form(value)}.")
    if not np.isfinite(value):
        miss(FORM, f"{what[0].upper()}{what[1:]} is asked for, and this is {value}.")
    return float(value)


def share(value, expected, tolerance, what="a share from 0 to 1, such as 0.25") -> float:
    """Return a share from 0 to 1; stop at one that was given in percent."""
    value = number(value, what)
    if not near(value, expected, tolerance) and near(value / 100, expected, tolerance) and value > 1:
        miss(PERCENT, f"{value:g} is in percent. Give the share: {value:g} % is {value / 100:g}.")
    return value


def pair(value, names, what) -> list:
    """Return two numbers that were given in order or by name, or stop."""
    if isinstance(value, dict) and set(value) == set(names):
        value = [value[name] for name in names]
    if not isinstance(value, (list, np.ndarray)) or len(value) != 2:
        miss(FORM, f"Return two {what}: {', '.join(names)}.")
    return [number(item, f"a {what.removesuffix('s')}") for item in value]


def text(value, what="a text") -> str:
    """Return a plain text without the spaces around it, or stop."""
    if isinstance(value, np.ndarray):
        value = value.reshape(-1).tolist()
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        miss(FORM, f"{what[0].upper()}{what[1:]} in quotes is asked for, not {form(value)}.")
    return str(value).strip()


def fields(value, names) -> dict:
    """Return a dict that has all of `names`, or stop at the first that is missing or still None."""
    if type(value) is not dict:
        miss(FORM, f"A dict with {', '.join(names)} is asked for, not {form(value)}.")
    if value and not set(names) & set(value):
        miss(FORM, f"Your dict has the keys {', '.join(map(repr, list(value)[:6]))[:80]}; asked for are {', '.join(map(repr, names))}.")
    if all(value.get(name) is None for name in names):
        miss(UNTOUCHED, f"Put your values in place of None: {', '.join(names)}.")
    for name in names:
        if value.get(name) is None:
            miss(FORM, f"'{name}' is still missing from your dict.")
    return value


def vector(value, n, what, kinds="biuf") -> np.ndarray:
    """Return a one-dimensional array of n values, or stop."""
    try:
        value = np.asarray(value)
    except ValueError:
        miss(FORM, f"{what} must be one-dimensional; yours holds lists of different lengths.")
    if value.ndim != 1 or value.dtype.kind not in kinds:
        miss(FORM, f"{what} must be a one-dimensional array of {'True and False' if kinds == 'b' else 'numbers'}, not {form(value)}.")
    if len(value) != n:
        miss(FORM, f"{what} must have {n} values, one each; yours has {len(value)}.")
    return value


def returned(outcomes, cases) -> list:
    """Return what a student's function gave for each of `cases`, or stop: nothing written yet, an error, a wrong count."""
    if type(outcomes) is not list or len(outcomes) != len(cases) or not all(type(o) is dict for o in outcomes):
        miss(FORM, "A function is asked for.")
    raised = [k for k, outcome in enumerate(outcomes) if "raised" in outcome]
    if raised:
        said = str(outcomes[raised[0]]["raised"])
        if said.startswith("NotPlain: "):
            miss(FORM, f"{said[10].upper()}{said[11:200]}.")
        many = f"{len(raised)} of {len(outcomes)} inputs" if len(outcomes) > 1 else "its input"
        miss(RAISES, f"On {many} your function raised {said[:200]}")
    results = [outcome.get("returned") for outcome in outcomes]
    if all(result is None for result in results):
        miss(UNTOUCHED, "Your function returns nothing yet. Write its body, end with `return ...`, and run both cells again.")
    if any(result is None for result in results):
        miss(FORM, "For some inputs your function returns nothing: does every path end in a `return`?")
    return results


def named(results, alternatives, tolerance=1e-6, compare=same):
    """Stop with the first alternative that explains every result; {name: (expected results, message)}."""
    for name, (expected, message) in alternatives.items():
        if all(compare(a, b, tolerance) for a, b in zip(results, expected)):
            miss(name, message)


def form(value) -> str:
    """Say in a few words what a plain value is."""
    if value is None:
        return "nothing"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}" if value.dtype.kind != "U" else "an array of texts"
    if isinstance(value, (list, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
