"""The threshold lab: one set of settings, several views on it, and a door to the test split that opens once."""

import functools
import html

import traitlets

from ..errors import CxrkitError
from ..evaluation import fit_temperature
from . import controls, panels, panels_more, stills
from .lab import Prepared, Settings, State, rule_threshold, sorted_for_reading, state_of
from .sources import source_of
from .view import View

_TERMS = {"sensitivity": ("target",), "cost": ("cost_ratio", "own_prevalence", "prevalence_percent")}  # what moves a rule's choice
_DRAWN = ("threshold", "cost_ratio", "own_prevalence", "prevalence_percent", "target", "split", "bins")


class ThresholdLab(traitlets.HasTraits):
    """A threshold to hold in the hand: sliders over one split's predictions, validation by default.

    Parameters
    ----------
    source : a `Run`, or the path of a predictions file (path, label, probability and, where known, split, patient, subtype).
    threshold : where it starts, 0-1; a locked threshold comes first.
    target : sensitivity in percent that the rule "sensitivity" must reach.

    Attributes
    ----------
    threshold, cost_ratio, own_prevalence, prevalence_percent, target, split, bins : the settings; setting one moves every view.
    rule : the rule that chose the present threshold, "manual" when a hand did.
    state : the `State` that follows.

    Methods
    -------
    explorer, costs, prevalence, calibration, reader, reveal : the views, to end a cell with.

    Without a kernel each view shows a picture of its state. Introduced in notebook 04.
    """

    threshold = traitlets.Float(0.5, min=0, max=1)
    cost_ratio = traitlets.Float(10.0, min=1, max=100)
    own_prevalence = traitlets.Bool(True)
    prevalence_percent = traitlets.Float(50.0, min=0.1, max=99.9)
    target = traitlets.Float(95.0, min=50, max=100)
    split = traitlets.Unicode("validation")
    splits = traitlets.List(traitlets.Unicode())
    bins = traitlets.Int(10)
    rule = traitlets.Unicode("manual")

    def __init__(self, source, threshold=0.5, target=95.0):
        self.source = source_of(source)
        self._views, self._choosing = {}, False
        self.films, self.prepared = functools.lru_cache(2)(self._films), functools.lru_cache(2)(self._prepared)
        self._state, self._calibration = functools.lru_cache(2)(self._state_of), functools.lru_cache(4)(self._draw_calibration)
        lock = self.source.read_lock()
        super().__init__(splits=[self.source.split], split=self.source.split, target=float(target), threshold=lock["value"] if lock else float(threshold))
        self.prevalence_percent = min(max(round(100 * self.prepared(self.split).points.prevalence, 1), 0.1), 99.9)
        if lock:
            self.rule, self.splits = lock["rule"], [self.source.split, "test"]
        self.observe(self._moved, _DRAWN)

    @traitlets.validate("split")
    def _is_open(self, proposal):
        if proposal["value"] not in self.splits:
            raise CxrkitError(f"The split '{proposal['value']}' is not open; open are: {', '.join(self.splits)}. The test split opens when a threshold is locked.")
        return proposal["value"]

    # --- the state ----------------------------------------------------------------------------------------------

    def _films(self, split):
        """A split's predictions, by ascending probability; the test split only after the lock."""
        return sorted_for_reading(self.source.reveal() if split == "test" else self.source.open())

    def _prepared(self, split):
        films = self.films(split)
        return Prepared(films["label"], films["probability"], films.get("patient"), seed=self.source.seed)

    def _state_of(self, split, settings):
        return state_of(self.prepared(split), settings)

    @property
    def settings(self) -> Settings:
        return Settings(self.threshold, self.cost_ratio, None if self.own_prevalence else self.prevalence_percent / 100, round(self.target / 100, 6), self.source.people)

    @property
    def state(self) -> State:
        return self._state(self.split, self.settings)

    @functools.cached_property
    def temperature(self) -> float:
        """The temperature fitted on the open split, whichever split is shown."""
        points = self.prepared(self.source.split).points
        return fit_temperature(points.labels, points.probabilities)

    @property
    def banner(self) -> str:
        """What stands above every view: phantom or not, which split, whether the test split is open."""
        phantom = '<p class="cx-banner"><b>Phantom films</b>: computed chests; nothing here is clinical.</p>' if self.source.people == "phantom" else ""
        lock = self.source.read_lock()
        door = (f"threshold locked at {lock['value']:.4f}" if lock else "one split only" if self.source.closed else "the test split is closed")
        return f'{phantom}<p>{html.escape(self.source.name)}: <b>{self.split}</b>, {len(self.films(self.split)):,} films; {door}.</p>'

    def choose(self, rule: str) -> None:
        """Set the threshold by a rule of `choose_threshold`, on the open split and never on test."""
        before, self._choosing = self.threshold, True
        try:
            self.rule = rule
            self.threshold = rule_threshold(self.prepared(self.source.split), rule, self.settings)
        finally:
            self._choosing = False
        if self.threshold == before:  # nothing was drawn, and the rule's name may stand on the page
            self._moved()

    def lock(self) -> dict:
        """Lock the present threshold and open the test split; returns the lock. See `locks.write_lock` for what is refused."""
        lock = self.source.lock(self.rule, self.threshold, self.settings)
        self.refresh()
        return lock

    def refresh(self) -> None:
        """Look whether a threshold was locked elsewhere (by the next cell, by another notebook) and draw every view."""
        if self.source.read_lock() and not self.source.closed:
            self.splits = [self.source.split, "test"]
        self._moved()

    # --- the views ----------------------------------------------------------------------------------------------

    def explorer(self) -> View:
        """All controls; histograms, ROC, precision-recall, confusion matrix and rates."""
        shown = (panels.histogram, panels.roc, panels.precision_recall, panels.matrix, panels.numbers)
        parts = [*controls.threshold(self), *controls.rules(self), *controls.cost(self), *controls.prevalence(self), *controls.split(self)]
        return View(self, "explorer", parts, [_of_state(panel) for panel in shown], stills.explorer)

    def costs(self) -> View:
        """What a threshold costs, and whether the model is worth using there."""
        parts = [*controls.threshold(self), *controls.rules(self), *controls.cost(self), *controls.prevalence(self)]
        return View(self, "costs", parts, [_of_state(panels_more.costs), _of_state(panels_more.benefit)], stills.costs)

    def prevalence(self) -> View:
        """What moves with the share of the ill, and what stays."""
        shown = (panels.frequencies, panels_more.by_prevalence, panels.numbers)
        return View(self, "prevalence", [*controls.prevalence(self), *controls.threshold(self)], [_of_state(panel) for panel in shown], stills.prevalence)

    def calibration(self) -> View:
        """Whether 80 % means 80 in 100; before and after temperature scaling and a prior correction."""
        def panel(lab):
            return lab._calibration(lab.split, lab.bins, lab.settings.prevalence)

        return View(self, "calibration", [*controls.bins(self), *controls.prevalence(self), *controls.split(self)], [panel], stills.calibration)

    def reader(self, count=6) -> View:
        """The films: missed pneumonias first, then false alarms, then the closest right calls."""
        def panel(lab):
            return panels_more.gallery(lab.films(lab.split), lab.source.thumbnail, lab.state, count)

        return View(self, "reader", [*controls.threshold(self), *controls.rules(self), *controls.split(self)], [panel], stills.reader)

    def reveal(self) -> View:
        """The button that locks the threshold and opens the test split, once."""
        from .door import door_view

        return door_view(self)

    def _draw_calibration(self, split, bins, prevalence):
        """Nothing here hangs on the threshold, so a slider step draws nothing anew."""
        return panels_more.calibration(self.prepared(split), self.temperature, bins, prevalence, split, f"{self.source.split} films")

    def attach(self, view: View) -> None:
        """Keep a view that is on the page up to date; a cell that is run again replaces its older view."""
        self._views[view.name] = view

    def _moved(self, change=None):
        name = change and change["name"]
        if name == "prevalence_percent" and self.own_prevalence:
            self.own_prevalence = False  # comes back here
            return
        if name == "threshold" and not self._choosing:
            self.rule = "manual"
        elif name in _TERMS.get(self.rule, ()):
            before = self.threshold
            self.choose(self.rule)  # a rule stays on until a hand moves the threshold
            if self.threshold != before:
                return  # drawn on the way
        for view in list(self._views.values()):
            view.draw()


def _of_state(panel):
    """A panel that draws (prepared, state), as one that draws the lab."""
    return lambda lab: panel(lab.prepared(lab.split), lab.state)
