"""The door to the test split: a button, a question, and then validation beside test for good."""

import html

import ipywidgets

from ..errors import CxrkitError
from . import controls, panels_more, stills
from .lab import Settings, state_of
from .view import View

_RULES = {"manual": "set by hand", "half": "rule 0.5", "youden": "rule Youden", "sensitivity": "rule sensitivity", "cost": "rule least cost"}


def door_view(lab) -> View:
    """Return the view that locks the lab's threshold and shows the test split; a lock that is there is shown at once."""
    ask = ipywidgets.Button(description="Lock the threshold and reveal the test split", button_style="warning", layout=ipywidgets.Layout(width="auto", align_self="flex-start"))
    yes = ipywidgets.Button(description="", button_style="danger", layout=ipywidgets.Layout(width="auto"))
    no = ipywidgets.Button(description="Not yet", layout=ipywidgets.Layout(width="auto"))
    said = ipywidgets.HTML()
    question = ipywidgets.Box([yes, no])
    for widget, kind in ((ask, "cx-lock"), (yes, "cx-lock-yes"), (no, "cx-lock-no"), (said, "cx-lock-said"), (question, "cx-rules")):
        widget.add_class(kind)

    def settle(asking=False, message=""):
        """Show the buttons that make sense now."""
        shut = bool(lab.source.closed or lab.source.read_lock())
        ask.disabled = shut or asking
        ask.layout.display = "none" if shut else ""
        question.layout.display = "" if asking and not shut else "none"
        yes.description = f"Yes, lock {lab.threshold:.4f} ({_RULES[lab.rule]}) for good"
        # A screen reader says it when it comes: the question at once, what has happened when there is time.
        said.value = f'<p role="{"alert" if asking else "status"}">{html.escape(message, quote=False)}</p>' if message else ""

    def lock(_):
        try:
            lab.lock()
        except CxrkitError as problem:
            settle(message=str(problem))
        else:
            settle(message="Locked. The test split is open now, and stays so after a restart.")

    ask.on_click(lambda _: settle(asking=True, message="There is no way back: from here on every look at another threshold is a second choice with the test in view."))
    no.on_click(lambda _: settle())
    yes.on_click(lock)
    lab.observe(lambda _: settle(), ["threshold", "rule"])  # a question about another value or rule is no longer the same question
    settle()
    return View(lab, "reveal", [*controls.threshold(lab), *controls.rules(lab)], [_panel], stills.door, above=[ask, question, said])


def _panel(lab):
    """What lies behind the door, or why it is closed."""
    if lab.source.closed:
        return f"<p>{html.escape(lab.source.closed, quote=False)}</p>"
    lock = lab.source.read_lock()
    if lock is None:
        return f"<p>To be locked: <b data-cx=\"to-lock\">{lab.threshold:.4f}</b>, {_RULES[lab.rule]}. The test films have not been read.</p>"
    try:
        sides = [(lab.prepared(split), _at(lab, split, lock)) for split in (lab.source.split, "test")]
    except CxrkitError as problem:
        return f"<p>The threshold is locked, but the test films cannot be read: {html.escape(str(problem), quote=False)}</p>"
    head = (f'<p>Locked at <b data-cx="locked">{lock["value"]:.4f}</b> ({_RULES[lock["rule"]]}), {html.escape(lock["locked"][:16].replace("T", " "))} UTC; '
            f"models of this folder that have met the test split: {lock['looks']}. It no longer follows the slider.</p>")
    return f"{head}<p><b>On test films.</b> {html.escape(sides[1][1].sentence, quote=False)}</p>{panels_more.beside(*sides)}"


def _at(lab, split, lock):
    return state_of(lab.prepared(split), Settings(lock["value"], lock.get("cost_ratio", 10.0), lock.get("prevalence"), people=lab.source.people))
