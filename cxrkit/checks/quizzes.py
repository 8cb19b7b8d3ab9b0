"""A few multiple-choice questions a lesson. Each wrong choice is one that people make; its explanation says why it tempts."""

import functools
import html

from ..errors import CxrkitError, nearest
from .questions import QUIZZES


def quiz(number: str, question: int | None = None, choice: str | None = None) -> None:
    """Ask a lesson's questions, or read one answer.

    Parameters
    ----------
    number : the set, such as "02".
    question, choice : `quiz("02", 1, "b")` says what there is to say of choice b of question 1.

    Prints the questions as text, so that they can be read anywhere; buttons appear below where ipywidgets is there. Nothing is kept or sent.
    """
    if number not in QUIZZES:
        raise CxrkitError(f"There is no quiz '{number}'.{nearest(number, QUIZZES)} There are {', '.join(QUIZZES)}.")
    questions = QUIZZES[number]
    if question is None and choice is None:
        print(as_text(number))
        _show_buttons(questions)
        return
    if type(question) is not int or not 1 <= question <= len(questions):
        raise CxrkitError(f"Quiz {number} has questions 1 to {len(questions)}, not {question!r}.")
    print(f"{question} {choice}: {explain(questions[question - 1], choice)}")


def as_text(number: str) -> str:
    """Return a quiz's questions and choices as text."""
    lines = []
    for k, row in enumerate(QUIZZES[number], 1):
        lines += [f"{k}. {row['ask']}", *(f"   {letter}) {text}" for letter, (text, _) in row["choices"].items())]
    return "\n".join([*lines, f"To answer without buttons: quiz(\"{number}\", 1, \"a\")"])


def explain(row: dict, choice) -> str:
    """Return what there is to say of a choice."""
    letter = str(choice).strip().lower()
    if letter not in row["choices"]:
        raise CxrkitError(f"The choices are {', '.join(row['choices'])}, not {choice!r}.")
    _, why = row["choices"][letter]
    return f"{'Yes.' if letter == row['right'] else 'Not this one.'} {why}"


def _show_buttons(questions):
    try:
        import ipywidgets
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return
    if getattr(get_ipython(), "kernel", None) is None:
        return
    for k, row in enumerate(questions, 1):
        answer = ipywidgets.HTML()
        buttons = [ipywidgets.Button(description=letter, tooltip=f"Question {k}, {letter}: {text}", layout=ipywidgets.Layout(width="3em"))
                   for letter, (text, _) in row["choices"].items()]
        for button in buttons:
            button.on_click(functools.partial(_clicked, row=row, answer=answer))
        box = ipywidgets.HBox([ipywidgets.Label(f"{k}."), *buttons, answer])
        box.add_class("cxrkit-quiz")
        display(box)


def _clicked(button, row, answer):
    answer.value = f'<span role="status">{button.description}: {html.escape(explain(row, button.description), quote=False)}</span>'
