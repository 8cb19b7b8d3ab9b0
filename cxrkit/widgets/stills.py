"""What each view shows where no kernel answers: lab -> (matplotlib Figure or None, the same in words)."""

from .. import plots
from ..evaluation import scale_temperature


def explorer(lab):
    """The four-part panel at the present threshold."""
    labels, probabilities = _films(lab)
    return plots.threshold_panel(labels, probabilities, lab.threshold, **_about(lab)), plots.read_threshold_panel(labels, probabilities, lab.threshold)


def costs(lab):
    """Cost and net benefit."""
    settings = lab.settings
    terms = (*_films(lab), lab.threshold, settings.cost_ratio, settings.prevalence)
    return plots.cost_panel(*terms, **_about(lab)), plots.read_cost_panel(*terms)


def prevalence(lab):
    """PPV and NPV over every prevalence."""
    terms = (*_films(lab), lab.threshold, lab.settings.prevalence)
    return plots.prevalence_curves(*terms, **_about(lab)), plots.read_prevalence_curves(*terms)


def calibration(lab):
    """Reliability before and after temperature scaling."""
    labels, probabilities = _films(lab)
    systems = {"as given": (labels, probabilities), f"temperature {lab.temperature:.2f}": (labels, scale_temperature(probabilities, lab.temperature))}
    return plots.calibration_curve(systems, lab.bins, **_about(lab)), plots.read_calibration_curve(systems, lab.bins)


def reader(lab):
    """The gallery of films, where there are pictures; else the words alone."""
    films, dataset = lab.films(lab.split), lab.source.dataset
    words = plots.read_prediction_gallery(films, lab.threshold)
    return None if dataset is None else plots.prediction_gallery(dataset, films, lab.threshold, **_about(lab)), words


def door(lab):
    """Before the lock: the state on validation. After it: both confusion matrices."""
    lock = lab.source.read_lock()
    if not lock or lab.source.closed:
        return explorer(lab)
    tables = {split: lab.prepared(split).points.at(lock["value"]) for split in (lab.source.split, "test")}
    figure = plots.confusion_matrix(tables, phantom=lab.source.people == "phantom")
    return figure, f"Locked at {lock['value']:.4f}. {plots.read_confusion_matrix(tables)}"


def _films(lab):
    points = lab.prepared(lab.split).points
    return points.labels, points.probabilities


def _about(lab):
    return {"phantom": lab.source.people == "phantom", "split": lab.split}
