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
    if dataset is None:
        return None, words
    figure = plots.prediction_gallery(dataset, films, lab.threshold, columns=4, **_about(lab))
    figure.set_dpi(75)  # a committed notebook stays small
    return figure, words


def door(lab):
    """The confusion matrix on validation; after the lock that of the test split beside it."""
    lock = lab.source.read_lock()
    open_ = lock and not lab.source.closed
    splits = (lab.source.split, "test") if open_ else (lab.source.split,)
    tables = {split: lab.prepared(split).points.at(lock["value"] if open_ else lab.threshold) for split in splits}
    said = f"Locked at {lock['value']:.4f}." if open_ else f"Not locked; at threshold {lab.threshold:.3f},"
    return plots.confusion_matrix(tables, phantom=lab.source.people == "phantom"), f"{said} {plots.read_confusion_matrix(tables)}"


def _films(lab):
    points = lab.prepared(lab.split).points
    return points.labels, points.probabilities


def _about(lab):
    return {"phantom": lab.source.people == "phantom", "split": lab.split}
