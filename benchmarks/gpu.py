"""How much of a GPU the course uses: python benchmarks/gpu.py, with KERAS_BACKEND=tensorflow, jax or torch before it.

`throughput` measures EfficientNetV2S through cxrkit, features (frozen phase) and fine-tuning, on synthetic films that are stored,
resized and augmented as the `paper` profile does it; beside it, as the ceiling, the framework's own bare loop (bare.py) on a batch that
is on the device already, in turn; and how fast the input prepares batches when no network waits for them.
`paper`, with --data, runs the whole profile end to end, decoding and both phases, once for each --weights: phantom (bundled with the
kit), none (random), imagenet or a file. Its test predictions stay sealed in the run folder that it prints; validation is reported.

Half precision is used as the profile uses it, on a GPU. On a CPU the script runs too, so that it can be tested, but its figures mean
nothing there, it says so, and it writes them only where --out says.
"""

import dataclasses
import sys
import time
from pathlib import Path
from typing import Annotated

import machine
import numpy as np
import pandas as pd
import typer

from cxrkit.config import configure
from cxrkit.errors import CxrkitError
from cxrkit.files import write_csv

HERE = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is measured; the defaults are the `paper` profile's."""

    size: int = 224
    batch: int = 32
    films: int = 2048         # synthetic ones a turn, rounded down to whole batches of both phases
    rounds: int = 3           # cxrkit and bare loop in turn
    precision: str = "auto"   # mixed: auto (on a GPU), on, off
    data: str = ""            # of the whole profile
    weights: tuple = ("phantom", "none")
    runs: str = ""            # where its run folders go
    changes: dict = dataclasses.field(default_factory=dict)  # of the profile, for tests

    def config(self, **changes):
        return configure("paper", **({"image_size": self.size, "batch_size": self.batch, "mixed_precision": self.precision} | self.changes | changes))


# --- the jobs -------------------------------------------------------------------------------------------------------


def throughput(settings: Settings) -> list[dict]:
    """Films a second through cxrkit and through the bare loop, their ratio, and the input by itself."""
    import bare

    from cxrkit import model, training
    from cxrkit.batches import FilmBatches, for_prediction

    config = settings.config(source="phantom", weights="none", fine_tune_epochs=1)
    steps = max(4, settings.films // settings.batch // 4 * 4)  # whole batches of prediction too, which are four times as wide
    dataset = _synthetic(steps * settings.batch, config)
    network = model.build_model(config)
    training.fine_tune(network, _part(dataset, 2 * settings.batch), config)  # compiles it as the kit does
    rows = np.arange(len(dataset))
    films = {"features": FilmBatches(dataset.images, rows, for_prediction(config)), "fine-tuning": FilmBatches(dataset.images, rows, config, dataset.labels, augment=True)}
    extractor = model.feature_extractor(network)
    (wide,), (batch, truth, _) = films["features"][0], films["fine-tuning"][0]
    kit = {"features": lambda: extractor.predict(films["features"], verbose=0),
           "fine-tuning": lambda: network.fit(films["fine-tuning"], epochs=1, verbose=0, shuffle=False)}
    loops = {"features": bare.predicting(extractor, wide), "fine-tuning": bare.training(network, batch, truth)}
    found, count = [], steps * settings.batch
    for what in kit:
        _seconds(kit[what]), loops[what](2)  # compiles
        turns = [(count / _seconds(kit[what]), count / loops[what](len(films[what])), count / _seconds(lambda: _prepare(films[what]))) for _ in range(settings.rounds)]
        ours, ceiling, input_alone = np.array(turns).T
        where = {"size": settings.size, "batch": films[what].config.batch_size, "films": count}
        found += [
            _row(f"{what}, cxrkit", ours, "films/s", **where),
            _row(f"{what}, bare loop", ceiling, "films/s", **where),
            _row(f"{what}, cxrkit / bare loop", ours / ceiling, "ratio", **where),
            _row(f"{what}, input alone", input_alone, "films/s", **where),
            _row(f"{what}, input alone / bare loop", input_alone / ceiling, "ratio", **where),
        ]
    return found


def paper(settings: Settings) -> list[dict]:
    """Minutes of the whole profile on real films, decoding and both phases, and the validation AUC, for each kind of weights."""
    import cxrkit
    from cxrkit import stages
    from cxrkit.backend import keras

    found = []
    for weights in settings.weights:
        name = Path(weights).stem
        folder = Path(settings.runs).resolve() / f"gpu-{keras.backend.backend()}-{name}"
        if folder.exists():
            raise CxrkitError(f"{folder} is there already, and what it holds would not be timed. Remove it, or name another place with --runs.")
        config = settings.config(data=settings.data, weights=weights, out=str(folder))
        start = time.perf_counter()
        dataset = cxrkit.load_dataset(config, progress=False)
        decoded = time.perf_counter() - start
        run = cxrkit.open_run(config, dataset)
        stages.make_fine_tuned(run)  # the frozen stage first
        minutes = (time.perf_counter() - start) / 60
        spent = {stage: run.manifest["stages"][stage]["seconds"] / 60 for stage in ("frozen", "fine_tuned")}
        history = run.read_history()
        where = {"size": settings.size, "batch": settings.batch, "films": len(dataset), "epochs": int((history["phase"] == "fine_tuned").sum())}
        found.append(_row(f"whole profile, weights {name}", [minutes], "min", goal="< 3", **where))
        found += [_row(f"whole profile, weights {name}: {part}", [value], "min", **where)
                  for part, value in {"decoding (seconds where the store has them)": decoded / 60, "frozen phase": spent["frozen"], "fine-tuning": spent["fine_tuned"]}.items()]
        found += [_row(f"whole profile, weights {name}: best validation AUC, {phase}", [auc], "AUC", **where)
                  for phase, auc in history.groupby("phase")["val_auc"].max().items()]
        print(f"  {run.folder} holds the run", flush=True)
    return found


JOBS = {"throughput": throughput, "paper": paper}


def _synthetic(count, config):
    """A dataset of noise films at the profile's stored size, labels in turn; each row trains."""
    from cxrkit.data.dataset import Dataset

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, config.stored_size, config.stored_size), dtype="uint8")
    return Dataset("phantom", images, np.arange(count) % 2, pd.DataFrame({"split": ["train"] * count}))


def _part(dataset, count):
    """The first films of a synthetic dataset, the last four of them to validate."""
    from cxrkit.data.dataset import Dataset

    take = np.arange(count + 4) % len(dataset)
    return Dataset(dataset.name, dataset.images[take], dataset.labels[take], pd.DataFrame({"split": ["train"] * count + ["val"] * 4}))


def _prepare(batches):
    for number in range(len(batches)):
        batches[number]


def _seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


# --- rows and files -------------------------------------------------------------------------------------------------


def _row(measure, values, unit, goal="", films="", size="", batch="", epochs=""):
    """One figure: the median of its turns between the least and the greatest."""
    values = np.asarray(values, dtype=float)
    numbers = {"median": np.median(values), "low": values.min(), "high": values.max()}
    return {"measure": measure, "films": films, "size": size, "batch": batch, "epochs": epochs,
            **{name: float(f"{value:.4g}") for name, value in numbers.items()}, "turns": len(values), "unit": unit, "goal": goal}


def run(settings: Settings, jobs, out: Path | None) -> pd.DataFrame:
    """Run jobs, print their rows, and put them into the file in the place of older ones of the same job, backend and card."""
    ran_on = {"gpu": "none"} | machine.describe(("tensorflow", "jax", "torch", "keras"))  # before the load of the first job
    from cxrkit.backend import keras
    from cxrkit.model import has_accelerator, set_precision

    ran_on |= {"backend": keras.backend.backend(), "device": "gpu" if has_accelerator() else "cpu", "precision": set_precision(settings.config())}
    if ran_on["device"] == "cpu":
        print(f"Keras on {ran_on['backend']} sees no GPU: these figures show that the script runs, and mean nothing.")
    table = pd.DataFrame()
    for job in jobs:
        print(f"{job} on {ran_on['gpu']}, Keras on {ran_on['backend']}, {ran_on['precision']} ...", flush=True)
        found = pd.DataFrame([{"job": job} | row | ran_on for row in JOBS[job](settings)])
        for row in found.itertuples():
            between = f"  ({row.low:g} to {row.high:g}, {row.turns} turns)" if row.turns > 1 else ""
            print(f"  {row.measure}: {row.median:g} {row.unit}{between}{f'   goal {row.goal}' if row.goal else ''}", flush=True)
        table = pd.concat([table, found])
        if out is not None:
            kept = pd.DataFrame()
            if out.is_file():
                before = pd.read_csv(out, keep_default_na=False)
                same = (before["job"] == job) & (before["backend"] == ran_on["backend"]) & (before["gpu"] == ran_on["gpu"])
                kept = before[~same]
            write_csv(out, pd.concat([kept, found]) if len(kept) else found)
            print(f"  written to {out}")
    return table


def main(
    data: Annotated[str, typer.Option(help="ChestXray-2017, folder or zip: runs the whole profile too")] = "",
    weights: Annotated[list[str], typer.Option(help="of the whole profile: phantom, none, imagenet or a file; repeat it for several")] = ["phantom", "none"],  # noqa: B006
    size: Annotated[int, typer.Option(help="pixels a side")] = 224,
    batch: Annotated[int, typer.Option(help="films a step")] = 32,
    films: Annotated[int, typer.Option(help="synthetic films a turn")] = 2048,
    rounds: Annotated[int, typer.Option(help="turns of cxrkit and bare loop")] = 3,
    only: Annotated[list[str] | None, typer.Option(help="throughput or paper; repeat it for both. Default: all that can run")] = None,
    runs: Annotated[Path, typer.Option(help="where the whole profile's run folders go")] = HERE.parent / "runs",
    out: Annotated[Path | None, typer.Option(help="the results file; default: gpu.csv beside this script, where there is a GPU")] = None,
):
    """Measure EfficientNetV2S on a GPU, against a bare loop of the same framework."""
    try:
        if data and not Path(data).expanduser().exists():
            raise CxrkitError(f"No films at {data}.")
        jobs = only or (("throughput", "paper") if data else ("throughput",))
        if wrong := [job for job in jobs if job not in JOBS]:
            raise CxrkitError(f"No job '{wrong[0]}'; there are {', '.join(JOBS)}.")
        if "paper" in jobs and not data:
            raise CxrkitError("The whole profile needs films: --data PATH.")
        from cxrkit.model import has_accelerator

        if out is None and has_accelerator():
            out = HERE / "gpu.csv"
        run(Settings(size, batch, films, rounds, data=data, weights=tuple(weights), runs=str(runs)), jobs, out)
    except CxrkitError as problem:
        print(problem, file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
