"""Whole stages: made as their notebooks make them, kept in the run folder, and made for a later notebook that misses one.

Keras is imported when a network is needed, so that notebook 04 opens without it.
"""

from .baseline import pixel_baseline
from .config import MINUTES
from .files import atomic_path
from .runs import Run

_NOTEBOOK = {"frozen": "02", "fine_tuned": "03"}


def expected(config, stage: str) -> str:
    """Return in words how long a stage takes, "about 2 minutes on 2 cores", or that it was not measured."""
    minutes = MINUTES.get(config.profile, {}).get(_NOTEBOOK[stage])
    if minutes is None:
        return "minutes with a GPU, hours without"
    return f"about {max(1, round(minutes))} minute{'s' if round(minutes) > 1 else ''} on 2 cores"


def ensure(run: Run, *stages: str) -> None:
    """Make every stage that the run misses, in order, and say so; a stage that is there is left as it is.

    stages : of "baseline", "frozen", "fine_tuned". Introduced in notebook 03.
    """
    makers = {"baseline": make_baseline, "frozen": make_frozen, "fine_tuned": make_fine_tuned}
    for stage in stages:
        if not run.has(stage):
            how_long = "a few seconds" if stage == "baseline" else expected(run.config, stage)
            print(f"This run has no {stage.replace('_', '-')} stage yet, or one from an older frozen phase; making it now, {how_long}.")
            makers[stage](run)


def make_baseline(run: Run):
    """Fit the pixel baseline as notebook 01 does, leave its sealed predictions in the run, and return it."""
    with run.stage("baseline"):
        baseline = pixel_baseline(run.dataset, seed=run.config.seed)
        for split in ("val", "test"):
            run.save_predictions("baseline", split, baseline.probabilities[run.dataset.index(split)])
    return baseline


def make_frozen(run: Run):
    """Return the model after the frozen phase: taken from the run if it is there, else made as notebook 02 makes it."""
    from .model import build_model
    from .training import compute_features, train_head

    model = build_model(run.config)
    if load_head(model, run):
        return model
    with run.stage("frozen"):
        views = {"train": run.config.views, "val": 1, "test": 1}
        features = {split: compute_features(model, run.dataset, run.config, split, k) for split, k in views.items()}
        train_head(model, run.dataset, run.config, features, run)
        save_frozen(model, run, features)
    return model


def make_fine_tuned(run: Run):
    """Fine-tune as notebook 03 does, from the run's frozen phase (made first where it is missing), and return the model."""
    from .training import fine_tune

    model = make_frozen(run)
    with run.stage("fine_tuned"):
        fine_tune(model, run.dataset, run.config, run)
        save_fine_tuned(model, run)
    return model


def save_frozen(model, run: Run, features: dict) -> None:
    """Leave the head, the model (model_frozen.keras) and its sealed predictions in the run folder."""
    from .training import predict_from_features

    for split in ("val", "test"):
        run.save_predictions("frozen", split, predict_from_features(model, features[split]))
    with atomic_path(run.folder / "head.weights.h5") as partial:
        model.get_layer("head").save_weights(partial)
    save_model(model, run, "model_frozen.keras")


def save_fine_tuned(model, run: Run) -> None:
    """Leave the fine-tuned model (model.keras) and its sealed predictions in the run folder."""
    from .training import predict

    for split in ("val", "test"):
        run.save_predictions("fine_tuned", split, predict(model, run.dataset, run.config, split))
    save_model(model, run)


def save_model(model, run: Run, name: str = "model.keras") -> None:
    """Write the whole model, atomically, without the optimiser; `keras.models.load_model` opens it without cxrkit."""
    from .backend import keras

    bare = keras.Model(model.inputs, model.outputs, name=model.name)  # the same layers, never compiled
    with atomic_path(run.folder / name) as partial:
        bare.save(partial)


def load_head(model, run: Run) -> bool:
    """Give a freshly built model the head that the run's frozen phase learned; says whether there was one."""
    path = run.folder / "head.weights.h5"
    if not (run.has("frozen") and path.is_file()):
        return False
    model.get_layer("head").load_weights(path)
    return True
