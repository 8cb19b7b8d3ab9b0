"""The study from the command line: `python study/run.py --help`.

`screen` trains recipes and reads the validation views; it resumes where it was stopped. `table` and `agreement` print what stands in results.csv.
`look` opens the test split for named recipes and writes down that it did, and why, in looks.csv.
"""

import dataclasses
import datetime
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import filelock
import numpy as np
import pandas as pd
import typer
from recipes import FIXED_BEFOREHAND, RECIPES, SCREENED, Recipe, is_plain, profile_name
from rich.console import Console
from rich.table import Table
from scipy.special import expit, logit
from scipy.stats import spearmanr, ttest_1samp
from sklearn.metrics import roc_auc_score
from trial import Trial, run, sealed_test
from views import PIXEL_VIEWS, scores_by_view

import cxrkit
from cxrkit import stages, training
from cxrkit.backend import keras
from cxrkit.evaluation import at_threshold, choose_threshold, patient_bootstrap, wilson
from cxrkit.files import atomic_path
from cxrkit.locate import cache_folder
from cxrkit.runs import reopen_run

HERE = Path(__file__).resolve().parent
KEY = ["recipe", "size", "epochs", "seed"]
app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)

Names = Annotated[list[str] | None, typer.Argument(help="recipes; none: all that are screened")]
Data = Annotated[str, typer.Option(help="the films' folder or zip")]
Weights = Annotated[str, typer.Option(help="ImageNet weights of EfficientNetV2-B0; imagenet: fetched by Keras")]
Folder = Annotated[Path, typer.Option(help="where results.csv and looks.csv lie")]
Seeds = Annotated[int, typer.Option(help="seeds 0 to this, less one")]


@app.command()
def screen(names: Names = None, data: Data = "", weights: Weights = "imagenet", size: int = 96, epochs: int = 3, seeds: Seeds = 3,
           first: Annotated[int, typer.Option(help="the first seed, so that several can run side by side")] = 0, folder: Folder = HERE):
    """Train recipes and score every validation view, seed by seed, so that an early stop leaves whole rounds."""
    for seed in range(first, seeds):
        for name in _known(names):
            if _stands(folder / "results.csv", name, size, epochs, seed):
                continue
            print(f"{name}, seed {seed}, {size} px, {epochs} epochs", flush=True)
            # A process of its own: earlier trials leave most of a gigabyte each behind.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                logits, seconds = process.submit(_read, name, data, weights, size, epochs, seed).result()
            trial, dataset = _trial(name, data, weights, size, epochs, seed)
            rows = dataset.index("val")
            views = scores_by_view(dataset.labels[rows], dataset.table.iloc[rows].reset_index(drop=True), logits)
            _append(folder / "results.csv", [_row(name, trial.config, view, *scored) | {"seconds": round(seconds)} for view, scored in views.items()])


def _read(*which):
    """Train and read one trial: ({view: logits of the validation films}, seconds of training)."""
    return run(*_trial(*which))


@app.command()
def look(names: Names, why: Annotated[str, typer.Option(help="what the look is for; kept in looks.csv")],
         data: Data = "", weights: Weights = "imagenet", size: int = 96, epochs: int = 3, seeds: Seeds = 1,
         folder: Folder = HERE):
    """Open the test split for recipes, and log it: every row of looks.csv is one look."""
    for name in _known(names):
        for seed in range(seeds):
            trial, dataset = _trial(name, data, weights, size, epochs, seed)
            run(trial, dataset)
            row = _row(name, trial.config, "test", dataset.labels[dataset.index("test")], sealed_test(trial))
            _append(folder / "looks.csv", [{"date": datetime.date.today().isoformat(), "why": why} | row])
            print(f"{name}, seed {seed}: test AUC {row['auc']:.4f}, accuracy at 0.5 {row['accuracy']:.1%}")


@app.command()
def whole(out: Annotated[str, typer.Option(help="the run folder that it leaves")], data: Data = "", weights: Weights = "imagenet", size: int = 160, epochs: int = 8,
          seed: int = 0, recipe: Annotated[str, typer.Option(help="one that changes settings of the kit alone; none: the profile as it is")] = "", folder: Folder = HERE):
    """Train the `laptop` profile whole at a size and length, without notebooks, and score its predictions of every validation view.

    It leaves a run folder as `cxrkit run` does: the threshold locked on validation, the predictions of the test split sealed.
    """
    changes = RECIPES[_known([recipe])[0]] if recipe else Recipe("")
    if not is_plain(changes):
        raise SystemExit(f"'{recipe}' does more than settings of the kit can say: screen it.")
    settings = dict(data=data, weights=weights, image_size=size, fine_tune_epochs=epochs, patience=epochs, seed=seed, out=out)
    config = cxrkit.configure("laptop", **settings | changes.config)
    if _stands(folder / "results.csv", profile_name(config), size, epochs, seed):
        raise SystemExit(f"{folder / 'results.csv'} holds {profile_name(config)} at {size} pixels, {epochs} epochs, seed {seed} already.")
    dataset = cxrkit.load_dataset(config)
    finished = cxrkit.open_run(config, dataset)
    stages.make_baseline(finished)
    if finished.is_current("fine_tuned"):  # stopped while it scored the views
        model = keras.saving.load_model(finished.folder / "model.keras")
    else:
        model = stages.make_fine_tuned(finished)
    val = finished.read_predictions("fine_tuned", "val")
    value = choose_threshold(val["label"], val["probability"], config.threshold_rule, target_sensitivity=config.target_sensitivity)
    finished.lock_threshold(config.threshold_rule, value, config.target_sensitivity)
    rows = dataset.index("val")
    logits = {}
    for view, change in PIXEL_VIEWS.items():
        changed = dataclasses.replace(dataset, images=np.stack([change(film) for film in dataset.images[rows]]), labels=dataset.labels[rows],
                                      table=dataset.table.iloc[rows].reset_index(drop=True))
        logits[view] = logit(training.predict(model, changed, config, "val")).astype("float32")
    views = scores_by_view(changed.labels, changed.table, logits)
    seconds = finished.manifest["stages"]["fine_tuned"]["seconds"]
    _append(folder / "results.csv", [_row(profile_name(config), config, view, *scored) | {"seconds": round(seconds)} for view, scored in views.items()])


@app.command()
def opened(runs: Annotated[list[Path] | None, typer.Argument(help="folders that `whole` or `cxrkit run` left; none: print what opened.csv holds")] = None,
           why: Annotated[str, typer.Option(help="what the look is for; kept in looks.csv")] = "", folder: Folder = HERE):
    """Open the test split of finished runs at three thresholds, and log it: the locked one, the highest that keeps the same validation sensitivity, and 0.5."""
    if runs and not why:
        raise SystemExit('Opening the test split is a look: say what it is for, --why "...".')
    for path in runs or []:
        finished = reopen_run(path)
        lock = finished.read_lock()
        if lock is None:
            raise SystemExit(f"{path} has no locked threshold: its test split stays closed.")
        val, test = (finished.read_predictions("fine_tuned", split) for split in ("val", "test"))
        config = finished.config.replace(**finished.manifest["stages"]["fine_tuned"]["settings"])  # as trained
        row = _row(profile_name(config), config, "test", test["label"].to_numpy(), logit(test["probability"].to_numpy().clip(1e-9, 1 - 1e-9)))
        tables = {name: at_threshold(test["label"], test["probability"], value) for name, value in _thresholds(val, lock).items()}
        rates = {name: {new: round(table[old], 6) for new, old in (("accuracy", "accuracy"), ("sensitivity", "recall"), ("specificity", "specificity"))}
                 for name, table in tables.items()}
        epochs = finished.read_history().query("phase == 'fine_tuned'").sort_values(["val_auc", "val_loss"], ascending=[True, False])
        low, high = patient_bootstrap(test["label"], test["probability"], test.get("patient")).interval("auc")
        known = {name: row[name] for name in (*KEY, "n", "auc")} | {
            "auc_low": round(low, 6), "auc_high": round(high, 6), "val_auc": round(roc_auc_score(val["label"], val["probability"]), 6),
            "kept_epoch": int(epochs["epoch"].iloc[-1])}
        _append(folder / "opened.csv", [known | {"threshold": name, "value": round(table["threshold"], 6)} | rates[name] for name, table in tables.items()],
                once=[*KEY, "threshold", "value", "auc"])
        _append(folder / "looks.csv", [{"date": datetime.date.today().isoformat(), "why": why} | row | rates["locked"]], once=[*KEY, "auc"])
    print("\n".join(opened_markdown(pd.read_csv(folder / "opened.csv", dtype={"threshold": str}))))


def _thresholds(val, lock):
    """The locked threshold, the highest that keeps the same share of the validation patients who are ill, and 0.5."""
    ill = np.sort(val["probability"][val["label"] == 1])[::-1]
    return {"locked": lock["value"], "highest": float(ill[int(np.ceil(lock["target_sensitivity"] * len(ill) - 1e-9)) - 1]), "0.5": 0.5}


def opened_markdown(results: pd.DataFrame) -> list[str]:
    """The lines of a table in Markdown of opened.csv: each run at each threshold, then means ± standard deviation between seeds."""
    lines = ["| whole profile | test AUC | threshold | accuracy | sensitivity | specificity |", "| --- | --- | --- | --- | --- | --- |"]
    for (recipe, size, epochs), group in results.groupby(["recipe", "size", "epochs"], sort=False):
        name = f"{recipe.removeprefix('profile ')}, {size} px, {epochs} epochs"
        for row in group.itertuples():
            low, high = wilson(round(row.accuracy * row.n), row.n)
            lines.append(f"| {name}, seed {row.seed} | {row.auc:.4f} ({row.auc_low:.3f}–{row.auc_high:.3f}) | {row.threshold}{'' if row.threshold == '0.5' else f', {row.value:.3f}'} "
                         f"| {100 * row.accuracy:.1f} ({100 * low:.1f}–{100 * high:.1f}) | {100 * row.sensitivity:.1f} | {100 * row.specificity:.1f} |")
        for threshold, seeds in group.groupby("threshold", sort=False):
            if len(seeds) > 1:
                spread = [f"{f * seeds[what].mean():.{d}f} ± {f * seeds[what].std(ddof=1):.{d}f}"
                          for what, f, d in (("auc", 1, 4), ("accuracy", 100, 1), ("sensitivity", 100, 1), ("specificity", 100, 1))]
                lines.append(f"| **{name}, mean of {len(seeds)}** | {spread[0]} | {threshold} | {' | '.join(spread[1:])} |")
    return lines


@app.command()
def table(size: int = 96, epochs: int = 3, folder: Folder = HERE):
    """Print mean and spread over seeds of each recipe, by changed normals and by plain validation, as README.md shows it."""
    print("\n".join(markdown(summary(_of(folder / "results.csv", size, epochs)))))


@app.command()
def agreement(size: int = 96, epochs: int = 3, seed: Annotated[int, typer.Option(help="of the validation figures; the test split was read with seed 0")] = 0,
              folder: Folder = HERE):
    """Print how each measure and plain validation rank the recipes that were fixed beforehand, beside the test split."""
    looks = _of(folder / "looks.csv", size, epochs).query("recipe in @FIXED_BEFOREHAND and seed == 0")
    results = _of(folder / "results.csv", size, epochs).query("seed == @seed")
    known, changed = summary(results), results.query("view != 'plain'").groupby("recipe")["auc"].mean()
    shown = known.loc[looks["recipe"], ["plain", "changed_normals"]].assign(all_changed=changed, test=looks.set_index("recipe")["auc"])
    ranks = ", ".join(f"{name.replace('_', ' ')} {_rank(shown, name):.2f}" for name in ("plain", "changed_normals", "all_changed"))
    _print(shown.sort_values("test"), f"AUC; rank correlation with the test split: {ranks}")
    views = results.pivot(index="recipe", columns="view", values="auc")
    print("View by view: " + ", ".join(f"{name} {_rank(shown.assign(view=views[name]), 'view'):.2f}" for name in views))


def _rank(shown, column):
    return spearmanr(shown[column], shown["test"]).statistic


def _of(path, size, epochs):
    found = pd.read_csv(path).query("size == @size and epochs == @epochs")
    if found.empty:
        raise SystemExit(f"{path} holds nothing of {size} pixels and {epochs} epochs.")
    return found


def _print(shown, title):
    drawn = Table(title=title)
    for name in shown.reset_index().columns:
        drawn.add_column(name.replace("_", " "), no_wrap=True)
    for row in shown.reset_index().itertuples(index=False):
        drawn.add_row(*["" if value != value else f"{value:.4f}" if isinstance(value, float) else str(value) for value in row])
    Console(width=100).print(drawn)


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """One row a recipe, sorted by its difference to the base: `changed_normals` is the mean AUC over the views that change normal films alone, a seed at a time;
    `difference` is to the base on the same seeds, so that what a seed brings to both cancels; `p` is that of a paired t-test over the seeds."""
    shifted = results[results["view"].str.endswith(" normals")].groupby(["recipe", "seed"])["auc"].mean()
    plain = results[results["view"] == "plain"].set_index(["recipe", "seed"])["auc"]
    rows = {}
    for name in results["recipe"].unique():
        difference = (shifted[name] - shifted.get("base", np.nan)).dropna()  # whole profiles have no base beside them
        rows[name] = {
            "seeds": len(shifted[name]), "changed_normals": shifted[name].mean(), "spread": shifted[name].std(ddof=1),
            "difference": difference.mean(), "its_spread": difference.std(ddof=1),
            "p": ttest_1samp(difference, 0).pvalue if len(difference) > 1 and difference.any() else np.nan,
            "plain": plain[name].mean(), "plain_spread": plain[name].std(ddof=1),
        }
    return pd.DataFrame(rows).T.astype({"seeds": int}).sort_values(["difference", "changed_normals"], ascending=False).rename_axis("recipe")


def markdown(summarised: pd.DataFrame) -> list[str]:
    """The lines of a table in Markdown: means ± standard deviation between seeds."""
    lines = ["| recipe | what it asks | seeds | changed normals | difference | p | plain validation |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, row in summarised.iterrows():
        figures = [f"{row[value]:{form}}" + ("" if np.isnan(row[spread]) else f" ± {row[spread]:.4f}")
                   for value, spread, form in (("changed_normals", "spread", ".4f"), ("difference", "its_spread", "+.4f"), ("plain", "plain_spread", ".4f"))]
        figures[1] = "" if name == "base" or np.isnan(row["difference"]) else figures[1]
        figures.insert(2, "" if np.isnan(row["p"]) else f"{row['p']:.3f}")
        question = RECIPES[name].question if name in RECIPES else "The whole profile."
        lines.append(f"| {name} | {question} | {int(row['seeds'])} | {' | '.join(figures)} |")
    return lines


def _known(names):
    for name in names or RECIPES:
        if name not in RECIPES:
            raise SystemExit(f"No recipe '{name}'; there are: {', '.join(RECIPES)}.")
    return names or list(SCREENED)


def _trial(name, data, weights, size, epochs, seed):
    recipe = RECIPES[name]
    settings = {"weights": weights, "image_size": size, "fine_tune_epochs": epochs, "seed": seed, "views": 1} | recipe.config
    config = cxrkit.configure("laptop", data=data, **settings)
    folder = cache_folder() / "study"
    folder.mkdir(parents=True, exist_ok=True)
    dataset = cxrkit.load_dataset(config)
    return Trial(name, recipe, config, folder, dataset.fingerprint), dataset


def _row(name, config, view, labels, logits):
    flagged = logits >= 0
    return {
        "recipe": name, "size": config.image_size, "epochs": config.fine_tune_epochs, "seed": config.seed, "view": view,
        "n": len(labels), "auc": round(roc_auc_score(labels, expit(logits.astype("float64"))), 6),
        "accuracy": round(float((flagged == labels).mean()), 6), "sensitivity": round(float(flagged[labels == 1].mean()), 6),
        "specificity": round(float((~flagged[labels == 0]).mean()), 6),
    }


def _stands(path, name, size, epochs, seed):
    if not path.is_file():
        return False
    known = pd.read_csv(path)
    return bool((known[KEY] == [name, size, epochs, seed]).all(axis=1).any())


def _append(path, rows, once=()):
    """Put rows at a file's end; with `once`, not those that equal one that stands there in these columns."""
    (cache_folder() / "study").mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(cache_folder() / "study" / f"{path.name}.lock"):  # two screens may run side by side
        before = [pd.read_csv(path)] if path.is_file() else []
        with atomic_path(path) as partial:
            both = pd.concat([*before, pd.DataFrame(rows)])
            (both.drop_duplicates(list(once)) if once else both).to_csv(partial, index=False)


if __name__ == "__main__":
    app()
