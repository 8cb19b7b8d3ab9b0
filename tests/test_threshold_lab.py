"""The threshold lab without a browser: its state held against scikit-learn and statsmodels, its views, the door to the test split, pictures without a kernel."""

import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from statsmodels.stats.proportion import proportion_confint

from cxrkit import evaluation, plots
from cxrkit.config import configure
from cxrkit.errors import CxrkitError
from cxrkit.runs import open_run, reopen_run
from cxrkit.widgets import Settings, ThresholdLab, lab_state
from cxrkit.widgets.lab import sorted_for_reading, worst_films
from helpers import small_dataset


@pytest.fixture(scope="module")
def films():
    """Labels and probabilities of 240 films, two to a patient."""
    rng = np.random.default_rng(1)
    labels = (rng.random(240) < 0.65).astype(int)
    return labels, np.round(np.clip(0.5 + 0.35 * (labels - 0.5) + rng.normal(0, 0.22, 240), 0, 1), 6), np.arange(240) // 2


def make_run(tmp_path, n=300):
    """A run folder with fine-tuned predictions; validation and test differ."""
    dataset = small_dataset(n)
    run = open_run(configure("demo", image_size=32, stored_size=32, out=str(tmp_path / "run")), dataset)
    rng = np.random.default_rng(2)
    with run.stage("fine_tuned"):
        for split, noise in (("val", 0.25), ("test", 0.4)):
            labels = dataset.labels[dataset.index(split)]
            run.save_predictions("fine_tuned", split, np.clip(0.5 + 0.5 * (labels - 0.5) + noise * rng.normal(size=len(labels)), 0, 1))
    return run


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path)


def shown(view, key):
    """The text that a view marks with data-cx=key."""
    page = "".join(box.value for box in view.boxes) + view.sentence.value
    found = re.findall(rf'data-cx="{key}">([^<]*)<', page)
    assert found, f"{key} is not on the page"
    return found[0]


def part(view, kind):
    """The one widget of a view with this class."""
    def walk(widget):
        yield widget
        for child in getattr(widget, "children", ()):
            yield from walk(child)

    (found,) = [widget for widget in walk(view.widget) if kind in widget._dom_classes]
    return found


# --- the state ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [0.0, 0.37, 0.5, 1.0])
def test_the_state_is_what_scikit_learn_and_statsmodels_say(films, threshold):
    labels, probabilities, groups = films
    table = lab_state(labels, probabilities, groups, Settings(threshold)).table
    called = probabilities >= threshold
    tn, fp, fn, tp = metrics.confusion_matrix(labels, called).ravel()
    assert table["confusion"] == {"tn": tn, "fp": fp, "fn": fn, "tp": tp}
    expected = {"recall": metrics.recall_score(labels, called), "specificity": metrics.recall_score(labels, called, pos_label=0),
                "precision": metrics.precision_score(labels, called, zero_division=0), "npv": metrics.precision_score(labels, called, pos_label=0, zero_division=0),
                "f1": metrics.f1_score(labels, called), "accuracy": metrics.accuracy_score(labels, called)}
    assert {name: table[name] for name in expected} == pytest.approx(expected)
    for name, (k, n) in {"recall": (tp, tp + fn), "specificity": (tn, tn + fp), "precision": (tp, tp + fp), "npv": (tn, tn + fn)}.items():
        if n:
            assert table["intervals"][name] == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-9)


def test_prevalence_moves_what_is_read_from_the_flagged_and_nothing_else(films):
    labels, probabilities, groups = films
    here, there = (lab_state(labels, probabilities, groups, Settings(0.5, prevalence=p)) for p in (None, 0.05))
    assert here.table["recall"] == there.table["recall"] and here.table["specificity"] == there.table["specificity"]
    weights = np.where(labels == 1, 0.05 / labels.mean(), 0.95 / (1 - labels.mean()))
    called = probabilities >= 0.5
    assert there.there["ppv"][0] == pytest.approx(metrics.precision_score(labels, called, sample_weight=weights))
    assert there.there["f1"] == pytest.approx(metrics.f1_score(labels, called, sample_weight=weights))
    assert there.there["accuracy"] == pytest.approx(metrics.accuracy_score(labels, called, sample_weight=weights))
    assert there.there["ppv"][0] < here.table["precision"] and here.there is None
    assert there.cost == pytest.approx(100 * (10 * 0.05 * (1 - there.table["recall"]) + 0.95 * (1 - there.table["specificity"])))


def test_the_sentence_counts_people():
    labels = np.repeat([1, 0], [50, 40])
    probabilities = np.r_[np.full(2, 0.1), np.full(48, 0.9), np.full(10, 0.8), np.full(30, 0.2)]
    text = lab_state(labels, probabilities, settings=Settings(0.5, people="children")).sentence
    assert text == "At threshold 0.500: of 100 children with pneumonia, about 4 are sent home; of 100 healthy ones, about 25 are called in."
    text = lab_state(labels, probabilities, settings=Settings(0.5, prevalence=0.05, people="phantom")).sentence
    assert "phantom films" in text and text.endswith("Where 5 in 100 are ill, of 100 that are flagged about 17 really have pneumonia.")
    assert "none are missed" in lab_state(labels, probabilities, settings=Settings(0.0)).sentence
    assert "Nobody is flagged" in lab_state(labels, probabilities, settings=Settings(1.0, prevalence=0.1)).sentence


def test_the_reader_sees_what_worst_first_ranks(films):
    labels, probabilities, _ = films
    table = pd.DataFrame({"path": [f"f{i}" for i in range(len(labels))], "label": labels, "probability": probabilities}).drop_duplicates("probability")
    ordered = plots.worst_first(table, 0.45)
    found = worst_films(ready := sorted_for_reading(table), 0.45, count=5)
    for kind, (rows, total) in found.items():
        expected = ordered[ordered["outcome"] == kind]
        assert total == len(expected) and list(ready["path"].iloc[rows]) == list(expected["path"].head(5)), kind


def test_the_logic_needs_no_widget_and_no_keras():
    code = "import sys, cxrkit.widgets.lab, cxrkit.widgets.panels_more; print(sorted({'ipywidgets', 'keras', 'tensorflow', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# --- the views ------------------------------------------------------------------------------------------------------


def test_slider_and_number_move_the_figures_of_every_view(run):
    lab = ThresholdLab(run)
    explorer, costs = lab.explorer(), lab.costs()
    for view in (explorer, costs):
        lab.attach(view)
    val = run.read_predictions("fine_tuned", "val")
    for kind, value in (("cx-threshold-slider", 0.7), ("cx-threshold-number", 0.123456)):
        part(explorer, kind).value = value
        table = evaluation.at_threshold(val["label"], val["probability"], value)
        assert shown(explorer, "fn") == str(table["confusion"]["fn"]) and shown(explorer, "recall") == f"{100 * table['recall']:.1f} %"
        cost = evaluation.expected_cost(val["label"], val["probability"])
        row = cost.iloc[np.searchsorted(cost["threshold"], value)]
        assert float(shown(costs, "cost")) == pytest.approx(row["cost"], abs=0.051)
        assert part(costs, "cx-threshold-number").value == value and lab.rule == "manual"


def test_a_slider_that_snaps_to_its_step_changes_nothing(run):
    """Browsers send back the nearest step of a value that was typed or chosen by a rule."""
    lab = ThresholdLab(run)
    view = lab.explorer()
    lab.choose("youden")
    lab.threshold, lab.rule = 0.123456, "youden"
    part(view, "cx-threshold-slider").value = 0.123
    assert (lab.threshold, lab.rule) == (0.123456, "youden")
    part(view, "cx-threshold-slider").value = 0.12400000000000001
    assert (lab.threshold, lab.rule) == (0.124, "manual")


@pytest.mark.parametrize("rule", ["half", "youden", "sensitivity", "cost"])
def test_each_rule_button_sets_what_its_rule_chooses(run, rule):
    lab = ThresholdLab(run, threshold=0.9)
    explorer = lab.explorer()
    lab.attach(explorer)
    part(explorer, f"cx-rule-{rule}").click()
    val = run.read_predictions("fine_tuned", "val")
    assert lab.rule == rule and lab.threshold == evaluation.choose_threshold(val["label"], val["probability"], rule)
    assert f"At threshold {lab.threshold:.3f}" in explorer.sentence.value


def test_a_target_means_the_same_in_percent_and_as_a_share(run):
    """Notebook 04 hands over 100 times its parameter, and refuses a lock of another target."""
    assert all(ThresholdLab(run, target=100 * share).settings.target_sensitivity == share for share in (0.901, 0.952, 0.974))


def test_a_rule_stays_on_while_its_terms_move_and_ends_when_a_hand_moves_the_threshold(run):
    lab = ThresholdLab(run)
    val = run.read_predictions("fine_tuned", "val")
    lab.choose("cost")
    lab.cost_ratio = 80.0
    lab.prevalence_percent = 20.0
    assert lab.own_prevalence is False, "moving the prevalence takes the tick away"
    assert lab.rule == "cost" and lab.threshold == evaluation.choose_threshold(val["label"], val["probability"], "cost", cost_ratio=80, prevalence=0.2)
    lab.choose("sensitivity")
    lab.target = 80.0
    assert lab.threshold == evaluation.choose_threshold(val["label"], val["probability"], target_sensitivity=0.8)
    lab.threshold = 0.4
    assert lab.rule == "manual"
    lab.target = 99.0
    assert lab.threshold == 0.4


def test_a_prevalence_shows_what_moves_and_what_stays(run):
    lab = ThresholdLab(run, threshold=0.4)
    view = lab.prevalence()
    lab.attach(view)
    before = shown(view, "recall")
    part(view, "cx-prevalence-number").value = 5
    page = "".join(box.value for box in view.boxes)
    assert shown(view, "recall") == before == shown(view, "recall-there") and page.count("<td>stays</td>") == 2 and "<td>falls</td>" in page
    values = evaluation.predictive_values(lab.state.table["confusion"], 0.05)
    assert shown(view, "precision-there") == f"{100 * values['ppv'][0]:.1f} %"


def test_calibration_shows_the_errors_before_and_after(run):
    lab = ThresholdLab(run)
    view = lab.calibration()
    lab.attach(view)
    val = run.read_predictions("fine_tuned", "val")
    temperature = evaluation.fit_temperature(val["label"], val["probability"])
    assert shown(view, "temperature") == f"{temperature:.3f}"
    assert shown(view, "brier-here-as-given") == f"{metrics.brier_score_loss(val['label'], val['probability']):.4f}"
    part(view, "cx-bins").value = 5
    assert shown(view, "ece-here-as-given") == f"{evaluation.ece(val['label'], val['probability'], 5):.4f}"
    part(view, "cx-prevalence-number").value = 10
    assert shown(view, "ece-there-temperature-and-prior-correction")


def test_every_drawing_says_its_numbers_in_words(run):
    lab = ThresholdLab(run)
    for view in (lab.explorer(), lab.costs(), lab.prevalence(), lab.calibration()):
        page = "".join(box.value for box in view.boxes)
        drawings = re.findall(r'<svg[^>]* role="img" aria-label="([^"]+)"', page)
        assert len(drawings) == page.count("<svg") > 0 and all(re.search(r"\d", words) for words in drawings)
        assert len(re.findall(r"<figcaption>[^<]+", page)) == len(drawings)


def test_the_gallery_resorts_and_encodes_each_film_once(run, monkeypatch):
    lab = ThresholdLab(run, threshold=0.5)
    view = lab.reader(count=4)
    lab.attach(view)
    val = run.read_predictions("fine_tuned", "val").set_index("path")
    seen = []
    monkeypatch.setattr(type(lab.source), "image", lambda self, path, original=type(lab.source).image: seen.append(path) or original(self, path))
    lab.threshold = 0.8
    (page,) = (box.value for box in view.boxes)
    missed = val[(val["label"] == 1) & (val["probability"] < 0.8)]["probability"].sort_values()
    assert shown(view, "missed") == str(len(missed))
    first = re.findall(r"<b>([\d.]+)</b>", page)[:4]
    assert first == [f"{p:.3f}" for p in missed.head(4)] and page.count("data:image/png;base64,") > 4
    lab.threshold = 0.5
    lab.threshold = 0.8
    assert len(seen) == len(set(seen))


def test_names_from_a_file_cannot_write_into_the_page(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    table = pd.DataFrame({"path": [f"<script>alert({i})</script>" for i in range(60)], "label": labels, "probability": rng.random(60), "subtype": "<b>x"})
    table.to_csv(tmp_path / "p.csv", index=False)
    page = ThresholdLab(tmp_path / "p.csv").reader().boxes[0].value
    assert "&lt;script&gt;" in page and "<script" not in page and "<b>x" not in page


# --- the door to the test split -------------------------------------------------------------------------------------


def test_a_rate_of_nobody_is_no_rate(tmp_path):
    """Where nobody is called ill there is no PPV, and 0 % would say that all of them are wrong."""
    from cxrkit.plots.thresholds import read_threshold_panel

    films = pd.DataFrame({"path": [f"f{k}" for k in range(80)], "label": np.arange(80) % 2, "probability": np.linspace(0.05, 0.9, 80), "split": ["val", "val", "test", "test"] * 20})
    films.to_csv(tmp_path / "mine.csv", index=False)
    lab = ThresholdLab(tmp_path / "mine.csv", threshold=1.0)
    lab.lock()
    view = lab.reveal()
    assert shown(view, "val-precision").startswith("–") and shown(view, "test-precision").startswith("–") and "%" in shown(view, "val-npv")
    assert "no precision" in read_threshold_panel(films["label"], films["probability"], 1.0)


def test_the_test_split_is_not_read_before_the_lock(run):
    path = run.folder / "predictions_test.csv"
    kept = path.read_bytes()
    path.write_text("nothing to see\n")
    lab = ThresholdLab(run)
    views = [lab.explorer(), lab.costs(), lab.prevalence(), lab.calibration(), lab.reader(), lab.reveal()]
    for view in views:
        lab.attach(view)
    lab.threshold = 0.3
    assert lab.splits == ["validation"] and part(views[0], "cx-split").options == ("validation",)
    with pytest.raises(CxrkitError, match="stays closed until a threshold is locked"):
        lab.source.reveal()
    with pytest.raises(CxrkitError, match="stays closed"):
        lab.films("test")
    with pytest.raises(CxrkitError, match="'test' is not open"):
        lab.split = "test"
    assert lab.split == "validation"
    path.write_bytes(kept)
    lab.lock()
    assert shown(views[-1], "test-auc") and lab.splits == ["validation", "test"]


def test_lock_asks_first_then_shows_validation_beside_test(run):
    lab = ThresholdLab(run)
    view = lab.reveal()
    lab.attach(view)
    lab.choose("youden")
    part(view, "cx-lock").click()
    assert run.read_lock() is None and f"{lab.threshold:.4f} (rule Youden)" in part(view, "cx-lock-yes").description
    part(view, "cx-lock-no").click()
    assert run.read_lock() is None and not part(view, "cx-lock").disabled
    part(view, "cx-lock").click()
    lab.threshold = 0.44
    assert not part(view, "cx-lock").disabled, "the question was about another value"
    part(view, "cx-lock").click()
    part(view, "cx-lock-yes").click()
    lock = run.read_lock()
    assert (lock["rule"], lock["value"]) == ("manual", 0.44) and part(view, "cx-lock").disabled
    for split in ("val", "test"):
        predictions = run.read_predictions("fine_tuned", split)
        assert shown(view, f"{split}-auc") == f"{metrics.roc_auc_score(predictions['label'], predictions['probability']):.3f}"
        called = predictions["probability"] >= 0.44
        assert shown(view, f"{split}-specificity").strip() == f"{100 * metrics.recall_score(predictions['label'], called, pos_label=0):.1f} %"
    lab.threshold = 0.9
    assert shown(view, "locked") == "0.4400", "what is locked does not follow the slider"


def test_a_restart_does_not_undo_the_lock_and_a_second_value_is_refused(run):
    first = ThresholdLab(run, threshold=0.44)
    first.lock()
    again = ThresholdLab(reopen_run(run.folder), threshold=0.6)
    assert again.threshold == 0.44 and again.splits == ["validation", "test"]
    view = again.reveal()
    assert shown(view, "test-auc") and part(view, "cx-lock").disabled and part(view, "cx-lock").layout.display == "none"
    again.threshold = 0.6
    with pytest.raises(CxrkitError, match=r"locked at 0.4400.*second choice"):
        again.lock()
    assert run.read_lock()["value"] == 0.44


def test_rules_are_applied_to_validation_also_while_test_is_shown(run):
    lab = ThresholdLab(run)
    lab.lock()
    lab.split = "test"
    lab.choose("youden")
    val = run.read_predictions("fine_tuned", "val")
    assert lab.threshold == evaluation.choose_threshold(val["label"], val["probability"], "youden")
    assert "<b>test</b>" in lab.banner


def test_the_door_names_the_rule_that_will_be_locked(run):
    """The lab starts at 0.5: the rule 0.5 moves nothing, and yet it is the rule that is locked for good."""
    lab = ThresholdLab(run, threshold=0.5)
    view = lab.reveal()
    lab.attach(view)
    part(view, "cx-lock").click()
    assert "set by hand" in part(view, "cx-lock-yes").description and "set by hand" in view.boxes[0].value
    lab.choose("half")
    assert "rule 0.5" in view.boxes[0].value
    part(view, "cx-lock").click()
    assert "(rule 0.5)" in part(view, "cx-lock-yes").description
    part(view, "cx-lock-yes").click()
    assert run.read_lock()["rule"] == "half"


def test_the_truth_of_a_film_cannot_write_into_its_picture(tmp_path):
    from PIL import Image

    Image.fromarray(np.full((64, 64), 99, "uint8")).save(tmp_path / "a.png")
    pd.DataFrame({"path": ["a.png"] * 2, "label": [1, 0], "probability": [0.2, 0.1], "subtype": ['bacteria" onload="alert(1)', ""]}).to_csv(tmp_path / "mine.csv", index=False)
    lab = ThresholdLab(tmp_path / "mine.csv")
    page = "".join(box.value for box in lab.reader().boxes)
    assert "<img" in page and 'onload="' not in page


def test_films_beside_a_table_are_read_as_the_kit_reads_films(tmp_path):
    """A film of 16 bits is no white square, and a broken or a huge one stops nobody."""
    import io

    from PIL import Image

    from cxrkit.widgets.sources import TableSource

    Image.fromarray(np.linspace(1000, 30000, 128 * 128).reshape(128, 128).astype("uint16")).save(tmp_path / "deep.png")
    whole = io.BytesIO()
    Image.fromarray(np.full((64, 64), 99, "uint8")).save(whole, "PNG")
    broken = bytearray(whole.getvalue())
    broken[40:44] = b"bad!"
    (tmp_path / "broken.png").write_bytes(broken)
    Image.new("1", (20_000, 9_000)).save(tmp_path / "huge.png")
    pd.DataFrame({"path": ["deep.png", "broken.png", "huge.png", "gone.png"], "label": [1, 0, 1, 0], "probability": [0.9, 0.1, 0.8, 0.2]}).to_csv(tmp_path / "mine.csv", index=False)
    source = TableSource(tmp_path / "mine.csv")
    deep = source.image("deep.png")
    assert deep.min() < 20 and deep.max() > 230
    assert [source.image(name) for name in ("broken.png", "huge.png", "gone.png", "")] == [None] * 4


def test_a_file_with_splits_is_locked_beside_itself(run, tmp_path):
    parts = [run.read_predictions("fine_tuned", split).assign(split=name) for split, name in (("val", "Validation"), ("test", "test"))]
    path = tmp_path / "mine.csv"
    pd.concat(parts).to_csv(path, index=False)
    lab = ThresholdLab(path, threshold=0.4)
    assert len(lab.films("validation")) == len(parts[0])
    lab.lock()
    assert json.loads((tmp_path / "mine.lock.json").read_text())
    assert len(ThresholdLab(str(path)).films("test")) == len(parts[1])


def test_a_file_without_splits_has_nothing_to_reveal(run, tmp_path):
    run.read_predictions("fine_tuned", "val").to_csv(tmp_path / "mine.csv", index=False)
    lab = ThresholdLab(tmp_path / "mine.csv")
    view = lab.reveal()
    assert "no column 'split'" in view.boxes[0].value and part(view, "cx-lock").disabled and lab.splits == ["all"]
    with pytest.raises(CxrkitError, match="no column 'split'"):
        lab.lock()
    assert not (tmp_path / "mine.lock.json").exists()


def test_a_run_without_a_model_is_named(tmp_path):
    run = open_run(configure("demo", image_size=32, stored_size=32, out=str(tmp_path / "run")), small_dataset())
    for source, words in ((run, "no fine-tuned model yet"), (tmp_path, "holds no run"), (tmp_path / "gone.csv", "does not exist")):
        with pytest.raises(CxrkitError, match=words):
            ThresholdLab(source)


# --- where no kernel answers ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook with every view, run by nbclient: (notebook, what its cells printed)."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    from cxrkit.notebooks import own_kernel_manager

    folder = make_run(tmp_path_factory.mktemp("still")).folder
    views = ("explorer", "costs", "prevalence", "calibration", "reader", "reveal")
    cells = [f"from cxrkit.widgets import ThresholdLab\nlab = ThresholdLab({str(folder)!r}, threshold=0.4)", *(f"lab.{name}()" for name in views)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=120, kernel_manager_class=own_kernel_manager()).execute()
    return notebook


def test_each_view_carries_a_picture_and_words_in_its_bundle(executed):
    for cell in executed.cells[1:]:
        (bundle,) = [o for o in cell.outputs if o.output_type == "display_data"]
        assert "application/vnd.jupyter.widget-view+json" in bundle.data and re.search(r"\d", bundle.data["text/plain"])
        if cell.source == "lab.reader()":  # these films are no longer on this disk: words alone
            assert bundle.data["text/html"] == f"<p>{bundle.data['text/plain']}</p>"
        else:
            assert bundle.data["image/png"] and bundle.metadata["image/png"]["alt"] == bundle.data["text/plain"]
        assert any(o.output_type == "stream" and "As drawn at first" in o.text for o in cell.outputs)


def test_a_page_without_a_kernel_shows_the_pictures(executed):
    nbconvert = pytest.importorskip("nbconvert")
    from cxrkit.notebooks import still_life

    page, _ = nbconvert.HTMLExporter().from_notebook_node(still_life(executed))
    assert page.count('src="data:image/png;base64,') == 5 and "widget-view+json" not in page and "widgets" not in executed.metadata
    assert page.count("At threshold 0.400") >= 2
