"""One page about a run, to read without Jupyter: the metrics beside the paper's, the figures, how it was made.

Everything comes from the files in the run folder; nothing is computed again but the figures' lines.
"""

import base64
import datetime
import html
import io
import json
import os
import re
import urllib.parse
from pathlib import Path

from . import __version__
from .errors import CxrkitError, MissingExtraError

NAMES = {"baseline": "32×32 pixels, logistic regression", "frozen": "Frozen backbone", "fine_tuned": "Fine-tuned"}
PAPER_NAME = "The paper (real films)"
_SHOWN = ("profile", "source", "data", "backbone", "weights", "image_size", "stored_size", "val_fraction", "threshold_rule",
          "target_sensitivity", "seed")


def read_metrics(folder) -> dict:
    """Return metrics.json of a run folder; CxrkitError where it is missing or unreadable."""
    path = Path(folder) / "metrics.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CxrkitError(f"{path} is missing: notebook 04 writes it. Run: {again(folder)}") from None
    except ValueError as problem:
        raise CxrkitError(f"{path} is damaged ({problem}). Run notebook 04 again: {again(folder)}") from problem


def again(folder, *notebooks) -> str:
    """Return the command that makes the results of a run folder anew, or that runs other notebooks in it, with what it was opened with."""
    from .config import PROFILES, Config
    from .runs import read_manifest

    config = (read_manifest(Path(folder)) or {}).get("config", {})
    usual = {"weights": Config.weights} | PROFILES.get(config.get("profile"), {})
    words = ["cxrkit run", *(notebooks or ("04",))]
    words += [f"--profile {config['profile']}"] if config.get("profile") else []
    words += [f'--{name} "{config[name]}"' for name in ("data", "weights") if config.get(name) not in (None, "", usual.get(name))]
    words += [f"--seed {config['seed']}"] if config.get("seed") else []
    words += ["--skip-bad"] if config.get("skip_bad") else []
    return " ".join([*words, f'--out "{folder}"'])


def is_current(folder) -> bool:
    """Say whether metrics.json was made from the stages that the folder holds now, and not from an older model's."""
    from .runs import read_manifest, stage_models

    return read_metrics(folder).get("models") == stage_models(read_manifest(Path(folder)) or {"stages": {}})


def metrics_table(metrics):
    """Return the test results of baseline, frozen and fine-tuned beside the paper's, as `evaluation.comparison_table` lays them out."""
    from .evaluation import PAPER, comparison_table

    return comparison_table({name: block["test"] for name, block in _systems(metrics).items()} | {PAPER_NAME: PAPER})


def write_report(folder) -> Path:
    """Write <folder>/report.html from what the run left, and a page beside each executed notebook.

    Parameters
    ----------
    folder : a run folder with metrics.json and manifest.json.

    Returns
    -------
    Path of the page, written whole or not at all; its figures are inside it.

    Raises
    ------
    CxrkitError when the run has no metrics yet; MissingExtraError without jinja2.
    """
    try:
        import jinja2
    except ImportError as problem:
        raise MissingExtraError("jinja2", "course") from problem
    from .evaluation import reading
    from .files import atomic_path
    from .runs import as_trained, read_manifest

    folder = Path(folder)
    metrics = read_metrics(folder)
    manifest = read_manifest(folder)
    if manifest is None:
        raise CxrkitError(f"{folder} holds results and no manifest.json, which says how they were made. Run: {again(folder)}")
    manifest |= as_trained(manifest)
    phantom = metrics["dataset"] == "phantom"
    frame = metrics_table(metrics)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, trim_blocks=True,
        undefined=jinja2.StrictUndefined)
    threshold = metrics["threshold"]
    page = environment.get_template("report.html.j2").render(
        title=f"{metrics['profile']} run on {'phantom films' if phantom else metrics['dataset']}",
        subtitle=f"{metrics['backbone']} at {metrics['image_size']} pixels, seed {metrics['seed']}, "
                 f"written {datetime.datetime.now().astimezone():%Y-%m-%d %H:%M}",
        phantom=phantom,
        results=_table(
            "Results on the test split",
            f"Test split, {metrics['test']['n']} films{' (phantom)' if phantom else ''}. Percentages with 95 % intervals in brackets "
            f"(≈: approximated). Each system at 0.5, as most papers report, and at the threshold locked on validation "
            f"(rule {threshold['rule']}: {threshold['value']:.3f} for the fine-tuned one).",
            ["System", "Threshold", *frame.columns], [[*index, *cells] for index, cells in zip(frame.index, frame.to_numpy())],
            figures=True),
        reading=reading(metrics["phases"]["fine_tuned"]["test"], phantom=phantom),
        fall=_fall(metrics, phantom),
        figures=_figures(folder, metrics, phantom, manifest["config"].get("test_views", 1)),
        settings=_settings(manifest, threshold),
        stages=_stages(manifest),
        skipped=_table("Films left out", "Films that could not be read and were left out.", ["File", "Reason"],
                       [[row["path"], row["reason"]] for row in manifest["data"]["skipped"]]),
        notebooks=_notebooks(folder), version=__version__,
    )
    with atomic_path(folder / "report.html") as partial:
        partial.write_text(page, encoding="utf-8")
    return folder / "report.html"


def _systems(metrics):
    blocks = {"baseline": metrics["baseline"], **metrics["phases"]}
    return {name: blocks[key] for key, name in NAMES.items() if key in blocks}


def _table(label, caption, columns, rows, figures=False):
    """What the template's table macro takes; `figures` keeps a number and its interval from breaking anywhere but between them."""
    return {"label": label, "caption": caption, "columns": columns, "rows": rows, "figures": figures}


def _fall(metrics, phantom):
    rows = []
    for name, block in _systems(metrics).items():
        val, test = block["val"], block["test"]
        rows.append([name, f"{val['auc']:.3f}", f"{test['auc']:.3f}", *(f"{100 * b['at_half']['accuracy']:.1f}" for b in (val, test))])
    return _table(
        "Validation beside test",
        f"The same systems on validation and test{' (phantom)' if phantom else ''}; accuracy in % at threshold 0.5. "
        "The validation patients were cut out of the training set" + ("." if phantom else ", and their figures are usually the kinder ones."),
        ["System", "AUC, validation", "AUC, test", "Accuracy, validation", "Accuracy, test"], rows)


def _settings(manifest, threshold):
    config = manifest["config"] | {"threshold_rule": threshold["rule"], "target_sensitivity": threshold["target_sensitivity"]}  # as locked
    versions = manifest["versions"]
    rows = [[name, config[name]] for name in _SHOWN if config[name] != ""]
    rows += [["films", f"{manifest['data']['films']:,} of {manifest['data']['name']}"], ["data fingerprint", manifest["data"]["fingerprint"]],
             ["versions", ", ".join(f"{name} {version}" for name, version in versions.items())]]
    return _table("Settings", "Settings, data and versions, from manifest.json.", ["What", "Value"], rows)


def _stages(manifest):
    rows = [[NAMES.get(name, name), f"{stage['seconds']:.1f}", stage["peak_memory_mb"], stage["finished"]] for name, stage in manifest["stages"].items()]
    return _table("Stages", "Time and memory a stage.", ["Stage", "Seconds", "Peak memory, MB", "Finished"], rows)


def _figures(folder, metrics, phantom, views):
    """Draw the figures that the run's files allow."""
    import matplotlib.pyplot as plt
    import pandas as pd

    from . import plots
    from .evaluation import PAPER
    from .runs import predictions_path

    drawn, backend = [], plt.get_backend()
    plt.switch_backend("agg")  # no window, whatever the user's own backend
    try:
        history = folder / "history.csv"
        if history.is_file():
            rows = pd.read_csv(history)
            read = plots.read_learning_curves(rows)
            if views > 1:
                read += f" These curves are of the film alone; the tables above are of the mean of {views} views of it where the network was fine-tuned."
            drawn.append(_figure("Learning curves", plots.learning_curves(rows, phantom=phantom), read))
        predictions = {}
        for key, name in NAMES.items():
            path = predictions_path(folder, key, "test")
            if path.is_file():
                table = pd.read_csv(path)
                predictions[name] = (table["label"].to_numpy(), table["probability"].to_numpy())
        if predictions:
            point = PAPER["at_half"]
            drawn.append(_figure("ROC curves", plots.roc_curves(predictions, paper_point=point, phantom=phantom),
                                 plots.read_roc_curves(predictions, paper_point=point)))
            drawn.append(_figure("Calibration", plots.calibration_curve(predictions, phantom=phantom, split="test"), plots.read_calibration_curve(predictions)))
        block = metrics["phases"]["fine_tuned"]["test"]
        tables = {"Fine-tuned, at 0.5": block["at_half"], "Fine-tuned, locked": block["at_locked"]}
        drawn.append(_figure("Confusion matrices", plots.confusion_matrix(tables, phantom=phantom), plots.read_confusion_matrix(tables)))
    finally:
        plt.switch_backend(backend)
    return drawn


def _figure(title, figure, reading):
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    plt.close(figure)
    return {"title": title, "png": base64.b64encode(buffer.getvalue()).decode(), "width": width, "height": height, "reading": reading}


def _notebooks(folder):
    """List the executed notebooks, each with a page beside it where nbconvert is installed."""
    found = []
    for path in sorted((folder / "notebooks").glob("[!.]*.ipynb")):
        page = path.with_suffix(".html")
        _export(path, page)
        found.append({"name": path.stem, "file": f"notebooks/{path.name}", "page": f"notebooks/{page.name}" if page.is_file() else ""})
    return found


def _export(notebook, page):
    if page.is_file() and page.stat().st_mtime >= notebook.stat().st_mtime:
        return
    try:
        from nbconvert import HTMLExporter
    except ImportError:  # the notebooks themselves remain
        return
    from .files import atomic_path

    import nbformat

    content = nbformat.read(notebook, as_version=4)
    body, _ = HTMLExporter().from_notebook_node(content)
    body = _with_readings(body, content)
    body = re.sub(r'href="\.\./([^"#]+)', lambda found: f'href="{_in_the_course(found[1], page.parent)}', body)
    # The page is read offline as well, and no other server is told that somebody reads it.
    body = re.sub(r'<script[^>]*\bsrc="https?://[^>]*>\s*</script>', "", body)
    with atomic_path(page) as partial:
        partial.write_text(body, encoding="utf-8")


_NO_TEXT = 'alt="No description has been provided for this image"'  # nbconvert's


def _with_readings(body, content):
    """Give each picture of a notebook's page the sentence that is printed below it, for readers who do not see it."""
    readings = []
    for cell in content.cells:
        outputs = cell.get("outputs", [])
        for k, output in enumerate(outputs):
            if "image/png" in output.get("data", {}):
                below = next((later.text for later in outputs[k + 1 :] if later.output_type == "stream" and later.name == "stdout"), "")
                own = output.data.get("text/plain", "")
                readings.append(below.strip() if own.startswith("<") else own)
    if body.count(_NO_TEXT) != len(readings):  # some other picture stands between them
        return body
    given = iter(readings)
    return re.sub(re.escape(_NO_TEXT), lambda _: f'alt="{html.escape(next(given) or "A figure")}"', body)


def _in_the_course(link, folder):
    """Return where a lesson's link to ../link leads from the run folder: into the checkout, or to the course's address."""
    from .config import checkout

    if checkout() and (checkout() / link).exists():
        try:
            return urllib.parse.quote(os.path.relpath(checkout() / link, folder).replace(os.sep, "/"))
        except ValueError:  # Windows, on another drive
            return (checkout() / link).as_uri()
    return f"https://github.com/cxrkit/cxrkit/blob/main/{link}"
