"""The judging side: expected values are computed here, never where a student's code runs."""

import importlib

import numpy as np

from .tasks import find_task
from .verdict import FORM, UNTOUCHED, NotYet, Verdict


def judge(task_id: str, value, *, seed: int) -> Verdict:
    """Look at a plain answer.

    Parameters
    ----------
    task_id : such as "02.3".
    value : what `to_plain` made of the variable, or the list of outcomes of `call` for a function (see the package's text);
        None where there is no answer.
    seed : `world_seed(set, student)` for a value, the seed that went into `inputs` for a function.

    Returns
    -------
    Verdict. Whatever plain value comes, nothing is raised.

    Raises
    ------
    CxrkitError for an unknown task.
    """
    task = find_task(task_id)
    right = []
    if value is None:
        what = "Write the function" if task.kind == "function" else "Put your answer in place of None"
        return Verdict(False, right, UNTOUCHED, f"{what} in the cell above and run both cells again.")
    module = importlib.import_module(f".judge_{task.id[:2]}", __package__)
    try:
        with np.errstate(all="ignore"):
            message = module.JUDGES[task.id](value, seed, right)
    except NotYet as stop:
        return Verdict(False, right, stop.misconception, stop.message)
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, StopIteration):  # a form that nobody thought of
        return Verdict(False, right, FORM, "This check cannot read an answer of that form. Compare it with the form in the task's text.")
    return Verdict(True, right, None, message)
