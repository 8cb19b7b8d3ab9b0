"""How fast the course trains: benchmarks/training.csv. Run: python benchmarks/training.py --data PATH --weights PATH

Five jobs: `frozen` (features once against the backbone in every epoch), `race` (from files to beating the paper's AUC on the test
split), `step` (fine-tuning against plain Keras, and whether its input keeps up), `growth` (cost by size; memory), and, only when it is
named, `frozen-all` (the first on every training film). About ten minutes on two calm cores; `--only step` runs one job and leaves
the other rows of the file as they are. README.md says what each row compares.
"""

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Annotated

import machine
import measures
import numpy as np
import pandas as pd
import typer
from slices import make_slice

from cxrkit import locate
from cxrkit.errors import CxrkitError
from cxrkit.files import write_csv

HERE = Path(__file__).resolve().parent
PAPER_AUC = 0.905
WHOLE_SET = 5_216  # training films of ChestXray-2017


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is measured, and how often; the defaults are those of the committed results."""

    data: str
    weights: str = "imagenet"     # of EfficientNetV2-B0: a file, imagenet, none
    size: int = 160               # pixels a side, of the laptop profile
    batch: int = 32
    epochs: int = 10              # of the frozen phase
    counts: tuple = (150, 500)    # films of the frozen phase, training and validation together
    rounds: int = 2               # pairs run in turn, each in processes of its own
    step_films: int = 500         # films that the step is timed on
    steps: int = 6                # a turn
    turns: int = 3                # of each way to train, in one process
    sizes: tuple = (96, 128, 160)  # of the growth
    race_size: int = 96
    race_on: str = "test"         # val: while the recipe is chosen
    fresh: bool = True            # each measure in a process of its own

    def measure(self, name: str, **arguments) -> dict:
        """Run a function of `measures` with batch and weights filled in where it takes them."""
        arguments = {key: str(value) if isinstance(value, Path) else value for key, value in arguments.items()}
        if self.fresh:
            return measures.in_process(name, **arguments)
        start = time.perf_counter()
        return getattr(measures, name)(**arguments) | {"whole_seconds": time.perf_counter() - start}


# --- the jobs -------------------------------------------------------------------------------------------------------


def frozen(settings: Settings, counts=None) -> list[dict]:
    """Features once and a head, against the backbone in every epoch: seconds, ratio, peak memory, growth with films and epochs."""
    rows, films, medians = [], [], {"cxrkit": [], "plain Keras": []}
    for count in counts or settings.counts:
        with tempfile.TemporaryDirectory() as folder:
            part = make_slice(settings.data, count, Path(folder))
            common = {"weights": settings.weights, "size": settings.size, "batch": settings.batch, "epochs": settings.epochs}
            rounds = settings.rounds if count else 1
            pairs = [(settings.measure("frozen_kit", folder=part.kit, **common), settings.measure("frozen_plain", folder=part.plain, **common))
                     for _ in range(rounds)]
        where = {"films": part.films, "size": settings.size, "batch": settings.batch, "epochs": settings.epochs}
        films.append(part.films)
        for who, results in zip(medians, zip(*pairs)):
            seconds = [result["seconds"] for result in results]
            medians[who].append(np.median(seconds))
            rows.append(_row(f"frozen phase, {who}", seconds, "s", **where))
            rows.append(_row(f"peak memory of the frozen phase, {who}", [result["peak_mb"] for result in results], "MiB", **where))
            grown = [_exponent(np.arange(1, settings.epochs + 1), result["after_epoch"]) for result in results]
            rows.append(_row(f"frozen phase, {who}: exponent of seconds in epochs, 1 to {settings.epochs}", grown, "exponent", **where))
        ratios = [plain["seconds"] / kit["seconds"] for kit, plain in pairs]
        rows.append(_row("frozen phase, plain Keras / cxrkit", ratios, "ratio", goal=">= 8", **where))
    return rows + (_lines_through(films, medians, settings) if len(films) > 1 else [])


def _lines_through(films, medians, settings):
    """Fixed seconds and seconds a film, by least squares through the counts, and what they say of the whole set."""
    rows, where = [], {"size": settings.size, "batch": settings.batch, "epochs": settings.epochs}
    lines = {who: np.polyfit(films, seconds, 1) for who, seconds in medians.items()}
    for who, (each, fixed) in lines.items():
        rows.append(_row(f"frozen phase, {who}: fixed part, by the line through {films}", [fixed], "s", **where))
        rows.append(_row(f"frozen phase, {who}: a film, by that line", [1000 * each], "ms", **where))
        rows.append(_row(f"frozen phase, {who}: exponent of seconds in films, {films[0]} to {films[-1]}", [_exponent(films, medians[who])], "exponent", **where))
    (kit, kit_fixed), (plain, plain_fixed) = lines.values()
    whole = (plain_fixed + plain * WHOLE_SET) / (kit_fixed + kit * WHOLE_SET)
    rows.append(_row("frozen phase, plain Keras / cxrkit, by the lines, on the whole set", [whole], "ratio", goal=">= 8", films=WHOLE_SET, **where))
    return rows + [_row("frozen phase, plain Keras / cxrkit, by the lines, without end", [plain / kit], "ratio", **where)]


def frozen_all(settings: Settings) -> list[dict]:
    """The frozen phase on every training film, one pair."""
    return frozen(settings, counts=(None,))


def race(settings: Settings) -> list[dict]:
    """From files to an AUC on the test split, in a process of its own, interpreter and imports counted; with a network and without."""
    common = {"data": settings.data, "size": settings.race_size, "on": settings.race_on}
    rounds = [(settings.measure("race_features", weights=settings.weights, batch=settings.batch, **common), settings.measure("race_pixels", **common))
              for _ in range(settings.rounds)]
    rows = []
    for what, results in zip(("EfficientNetV2-B0 features", "32 x 32 pixels"), zip(*rounds)):
        where = {"films": results[0]["train"] + results[0]["judged"], "size": settings.race_size}
        rows.append(_row(f"race, {what}: files to AUC on {settings.race_on}", [result["whole_seconds"] for result in results], "s", goal="<= 60", **where))
        rows.append(_row(f"race, {what}: AUC on {settings.race_on}", [result["auc"] for result in results], "AUC", goal=f"> {PAPER_AUC}", **where))
        rows.append(_row(f"peak memory of the race, {what}", [result["peak_mb"] for result in results], "MiB", **where))
    return rows


def step(settings: Settings) -> list[dict]:
    """A step of fine-tuning against plain Keras's, the two networks alone, and how well the input keeps up."""
    with tempfile.TemporaryDirectory() as folder:
        part = make_slice(settings.data, settings.step_films, Path(folder))
        found = settings.measure("duel", kit=part.kit, plain=part.plain, weights=settings.weights, size=settings.size, batch=settings.batch,
                                 steps=settings.steps, rounds=settings.turns)
    where = {"films": part.films, "size": settings.size, "batch": settings.batch}
    ms = {way: np.array(values) for way, values in found["ms"].items()}
    names = {"kit": "cxrkit", "plain": "plain Keras", "kit alone": "cxrkit, network alone", "plain alone": "plain Keras, network alone"}
    rows = [_row(f"fine-tuning step, {name}", ms[way], "ms", **where) for way, name in names.items()]
    prepared = np.array(found["batches_ms"])
    return rows + [
        _row("fine-tuning step, plain Keras / cxrkit", ms["plain"] / ms["kit"], "ratio", goal=">= 1.3", **where),
        _row("fine-tuning step, plain Keras / cxrkit, networks alone", ms["plain alone"] / ms["kit alone"], "ratio", **where),
        _row("input, cxrkit: augmented batches without a network", 1000 / prepared, "batches/s", **where),
        _row("input, cxrkit: batches that the network takes", 1000 / ms["kit alone"], "batches/s", **where),
        _row("input, cxrkit: batches made / batches taken", ms["kit alone"] / prepared, "ratio", goal="> 1", **where),
        _row("input, cxrkit: share of a step above the network alone", 1 - ms["kit alone"] / ms["kit"], "share", **where),
        _row("input, plain Keras: share of a step above the network alone", 1 - ms["plain alone"] / ms["plain"], "share", **where),
    ]


def growth(settings: Settings) -> list[dict]:
    """Milliseconds a film by size, in prediction and in fine-tuning, their exponents, and the peak memory of fine-tuning."""
    rows, taken = [], {"train_ms": [], "predict_ms": []}
    with tempfile.TemporaryDirectory() as folder:
        part = make_slice(settings.data, settings.step_films, Path(folder))
        common = {"weights": settings.weights, "batch": settings.batch, "steps": settings.steps}
        for size in settings.sizes:
            found = settings.measure("tuning_kit", folder=part.kit, size=size, **common)
            where = {"films": part.films, "size": size, "batch": settings.batch}
            for key, what in (("predict_ms", "features, cxrkit"), ("train_ms", "fine-tuning, cxrkit")):
                taken[key].append(found[key])
                rows.append(_row(f"{what}: a film", [found[key]], "ms", **where))
            rows.append(_row("peak memory of fine-tuning, cxrkit", [found["peak_mb"]], "MiB", **where))
        found = settings.measure("tuning_plain", folder=part.plain, size=settings.size, **common)
        rows.append(_row("peak memory of fine-tuning, plain Keras", [found["peak_mb"]], "MiB", films=part.films, size=settings.size, batch=settings.batch))
    if len(settings.sizes) > 1:
        low, high = min(settings.sizes), max(settings.sizes)
        for key, what in (("predict_ms", "features, cxrkit"), ("train_ms", "fine-tuning, cxrkit")):
            rows.append(_row(f"{what}: exponent of a film's time in pixels a side, {low} to {high}", [_exponent(settings.sizes, taken[key])], "exponent", batch=settings.batch))
    return rows


JOBS = {"frozen": frozen, "race": race, "step": step, "growth": growth, "frozen-all": frozen_all}
USUAL = ("frozen", "race", "step", "growth")


# --- rows and files -------------------------------------------------------------------------------------------------


def _exponent(sizes, costs) -> float:
    """The p of cost = c · size^p, by least squares of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def _row(measure, values, unit, goal="", films="", size="", batch="", epochs=""):
    """One figure: the median of its repeats between the least and the greatest."""
    values = np.asarray(values, dtype=float)
    return {"measure": measure, "films": films, "size": size, "batch": batch, "epochs": epochs, "median": _short(np.median(values)),
            "low": _short(values.min()), "high": _short(values.max()), "repeats": len(values), "unit": unit, "goal": goal}


def _short(value):
    return float(f"{value:.4g}")


def run(settings: Settings, jobs, out: Path) -> pd.DataFrame:
    """Run jobs in turn, print their rows, and write each job's into the file as soon as it is done; other jobs' rows stay."""
    ran_on = machine.describe()  # before the load of the first job
    if ran_on["load"] > 0.3:
        print(f"The machine is not calm (load {ran_on['load']}): ratios hold better than seconds.")
    for job in jobs:
        print(f"{job} ...", flush=True)
        start = time.perf_counter()
        found = pd.DataFrame([{"job": job} | row | ran_on for row in JOBS[job](settings)])
        for row in found.itertuples():
            between = f"  ({row.low:g} to {row.high:g}, {row.repeats} times)" if row.repeats > 1 else ""
            at = ", ".join(f"{value} {name}" for name, value in (("films", row.films), ("px", row.size)) if value != "")
            print(f"  {row.measure} [{at}]: {row.median:g} {row.unit}{between}{f'   goal {row.goal}' if row.goal else ''}")
        print(f"{job}: {time.perf_counter() - start:.0f} s", flush=True)
        before = pd.read_csv(out, keep_default_na=False).query("job != @job") if out.is_file() else None
        write_csv(out, pd.concat([before, found]) if before is not None and len(before) else found)
    return pd.read_csv(out, keep_default_na=False)


def main(
    data: Annotated[str, typer.Option(help="folder of ChestXray-2017; none: where `cxrkit data get` puts it")] = "",
    weights: Annotated[str, typer.Option(help="ImageNet weights of EfficientNetV2-B0, a file; imagenet: fetched by Keras")] = "imagenet",
    only: Annotated[list[str] | None, typer.Option(help=f"a job, or several by repeating it: {', '.join(JOBS)}")] = None,
    out: Annotated[Path, typer.Option(help="the results file")] = HERE / "training.csv",
    validation: Annotated[bool, typer.Option(help="race on validation films: the test split stays closed")] = False,
):
    """Measure how fast the course trains, against plain Keras."""
    unknown = [job for job in only or () if job not in JOBS]
    try:
        if unknown:
            raise CxrkitError(f"No job '{unknown[0]}'; there are {', '.join(JOBS)}.")
        found = data or locate.real_images()
        if not found:
            raise CxrkitError("No films: name their folder with --data PATH, or get them with: cxrkit data get chestxray2017")
        run(Settings(str(found), weights, race_on="val" if validation else "test"), only or USUAL, out)
    except CxrkitError as problem:
        print(problem)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
