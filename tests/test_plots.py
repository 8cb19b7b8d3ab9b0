"""The figures draw, say "phantom" when they must, and their sentences state the numbers of the data."""

import matplotlib

matplotlib.use("Agg")

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.metrics import confusion_matrix, roc_auc_score

from cxrkit import plots
from cxrkit.data.dataset import Dataset
from cxrkit.errors import CxrkitError
from cxrkit.evaluation import PAPER, at_threshold, ece, expected_cost, predictive_values


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def case(seed=0, n=200):
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.6).astype(int)
    return labels, np.clip(rng.normal(0.35 + 0.3 * labels, 0.2), 0, 1)


def history(frozen=6, fine_tuned=3):
    n = frozen + fine_tuned
    return pd.DataFrame({
        "phase": ["frozen"] * frozen + ["fine_tuned"] * fine_tuned,
        "epoch": [*range(1, frozen + 1), *range(1, fine_tuned + 1)],
        "loss": np.linspace(0.7, 0.1, n), "accuracy": np.linspace(0.6, 0.97, n),
        "val_loss": np.linspace(0.72, 0.2, n), "val_accuracy": np.linspace(0.58, 0.9, n),
        "val_auc": [*np.linspace(0.6, 0.85, n - 1), 0.84], "seconds": 1.0,
    })


def films(n=40):
    rng = np.random.default_rng(1)
    labels, probabilities = case(2, n)
    smooth, grain = 1500 * gaussian_filter(rng.normal(size=(n, 64, 64)), (0, 6, 6)), 3 * rng.normal(size=(n, 64, 64))
    images = np.uint8(np.clip(128 + smooth + grain, 0, 255))
    masks = np.zeros((n, 64, 64), bool)
    masks[labels == 1, 16:32, 16:48] = True
    paths, subtypes = [f"test/{i}.jpeg" for i in range(n)], np.where(labels == 1, "virus", "")
    table = pd.DataFrame({"path": paths, "label": labels, "subtype": subtypes})
    return Dataset("phantom", images, labels, table, masks=masks), table.assign(probability=probabilities)


def draw_all(phantom):
    """{name: figure} of every drawing function."""
    labels, probabilities = case()
    systems = {"baseline": (labels, probabilities), "fine-tuned": (labels, probabilities ** 2)}
    tables = {"the paper": PAPER["at_half"], "ours": at_threshold(labels, probabilities, 0.4)}
    dataset, predictions = films()
    return {
        "learning_curves": plots.learning_curves(history(), phantom=phantom),
        "roc_curves": plots.roc_curves(systems, PAPER["at_half"], phantom=phantom),
        "calibration_curve": plots.calibration_curve(systems, phantom=phantom),
        "confusion_matrix": plots.confusion_matrix(tables, phantom=phantom),
        "threshold_panel": plots.threshold_panel(labels, probabilities, 0.4, phantom=phantom),
        "cost_panel": plots.cost_panel(labels, probabilities, 0.4, phantom=phantom),
        "prevalence_curves": plots.prevalence_curves(labels, probabilities, 0.4, prevalence=0.05, phantom=phantom),
        "film_grid": plots.film_grid(dataset.images[:7], ["film"] * 7, dataset.masks[:7], phantom=phantom),
        "prediction_gallery": plots.prediction_gallery(dataset, predictions, 0.4, phantom=phantom),
    }


def title(figure):
    return figure.get_suptitle() or figure.axes[0].get_title()


def test_every_figure_draws_small_and_says_phantom_when_it_is():
    for name, figure in draw_all(phantom=True).items():
        assert "phantom" in title(figure), name
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", bbox_inches="tight")
        assert buffer.tell() < 450_000, f"{name} would make a heavy notebook"
        assert figure.dpi <= 110 and max(figure.get_size_inches()) <= 10.5
    for name, figure in draw_all(phantom=False).items():
        assert "phantom" not in title(figure), name


def test_every_drawing_function_has_a_reading_beside_it():
    drawing = [name for name in draw_all(phantom=False)]
    assert {f"read_{name}" for name in drawing} <= set(plots.__all__)


def test_no_text_is_cut_or_overlaps():
    for name, figure in draw_all(phantom=True).items():
        figure.canvas.draw()
        width, height = figure.canvas.get_width_height()
        for axis in figure.axes:
            boxes = [axis.title.get_window_extent(), axis.xaxis.label.get_window_extent(), axis.yaxis.label.get_window_extent()]
            boxes += [text.get_window_extent() for text in axis.texts]
            boxes = [box for box in boxes if box.width > 1 and box.height > 1]
            for box in boxes:
                assert -2 <= box.x0 and box.x1 <= width + 2 and -2 <= box.y0 and box.y1 <= height + 2, name
            for i, box in enumerate(boxes):
                assert not any(box.overlaps(other) for other in boxes[i + 1 :]), name


def test_cost_and_prevalence_readings_state_the_numbers():
    labels, probabilities = case()
    costs = expected_cost(labels, probabilities, 20, 0.1)
    row = costs[costs["threshold"] == 0.4].iloc[0]
    text = plots.read_cost_panel(labels, probabilities, 0.4, 20, 0.1)
    assert f"costs {row['cost']:.1f} per 100, the least is {costs['cost'].min():.1f} at" in text and "Net benefit at threshold 0.400: model" in text
    counts = at_threshold(labels, probabilities, 0.4)["confusion"]
    assert f"PPV {predictive_values(counts, 0.05)['ppv'][0]:.1%}" in plots.read_prevalence_curves(labels, probabilities, 0.4, 0.05)
    assert "PPV undefined" in plots.read_prevalence_curves(labels, probabilities * 0.5, 1.0, 0.05)


def test_the_readers_matplotlib_settings_are_left_alone():
    before = dict(plt.rcParams)
    draw_all(phantom=False)
    assert {key: plt.rcParams[key] for key in before if key != "backend"} == {k: v for k, v in before.items() if k != "backend"}


def test_curves_differ_by_more_than_colour():
    labels, probabilities = case()
    figure = plots.roc_curves({str(i): (labels, probabilities) for i in range(5)})
    assert len({str(line.get_linestyle()) + str(line._dash_pattern) for line in figure.axes[0].lines}) == 6
    with pytest.raises(CxrkitError, match="at most 5"):
        plots.roc_curves({str(i): (labels, probabilities) for i in range(6)})


# Learning curves

def test_learning_curves_mark_where_fine_tuning_starts():
    both, alone = plots.learning_curves(history()), plots.learning_curves(history(fine_tuned=0))
    for axis in both.axes:
        assert [list(line.get_xdata()) for line in axis.lines].count([1, 1]) == 1  # between the two halves
    assert "fine-tuning starts" in [text.get_text() for text in both.legends[0].get_texts()]
    assert "fine-tuning starts" not in [text.get_text() for text in alone.legends[0].get_texts()]
    plots.learning_curves(history(frozen=1, fine_tuned=0))  # a single epoch draws


def test_learning_curves_reading_states_the_best_epoch():
    text = plots.read_learning_curves(history())
    table = history()
    best = table[table["phase"] == "fine_tuned"]["val_auc"].max()
    assert "Fine-tuned, 3 epochs" in text and f"best at epoch 2 ({best:.3f})" in text
    assert "loss 0.700" in text and "+7.0 points" in text
    assert "\n" not in text
    with pytest.raises(CxrkitError, match="0 rows"):
        plots.learning_curves(history().iloc[:0])


# Systems

def test_roc_reading_states_auc_and_sensitivity_at_the_papers_rate():
    labels, probabilities = case()
    text = plots.read_roc_curves({"ours": (labels, probabilities)}, PAPER["at_half"])
    assert f"ours {roc_auc_score(labels, probabilities):.3f}" in text and "21.4 %" in text and "90.0 %" in text
    # Of ten normal films two may be flagged, those at 0.9 and 0.8; the third, at 0.7, bounds the threshold from below.
    labels = [0] * 10 + [1] * 5
    probabilities = [0.9, 0.8, 0.7] + [0.1] * 7 + [0.95, 0.85, 0.75, 0.7, 0.05]
    assert "sensitivity is: ours 60.0 %." in plots.read_roc_curves({"ours": (labels, probabilities)}, PAPER["at_half"])


def test_paper_point_is_drawn_where_the_paper_stands():
    labels, probabilities = case()
    figure = plots.roc_curves({"ours": (labels, probabilities)}, PAPER["at_half"])
    point = [line for line in figure.axes[0].lines if line.get_marker() == "X"][0]
    assert (point.get_xdata()[0], point.get_ydata()[0]) == pytest.approx((50 / 234, 351 / 390))


def test_confusion_matrix_shows_and_says_the_counts():
    labels, probabilities = case()
    tables = {"ours": at_threshold(labels, probabilities, 0.4)}
    tn, fp, fn, tp = confusion_matrix(labels, probabilities >= 0.4).ravel()
    shown = [text.get_text() for text in plots.confusion_matrix(tables).axes[0].texts]
    assert {str(tn), str(fp), str(fn), str(tp)} <= set(shown)
    text = plots.read_confusion_matrix(tables)
    assert f"of {tp + fn} pneumonias {tp} found and {fn} missed" in text and f"{fp} false alarms" in text


def test_threshold_panel_says_what_it_shows_even_when_nothing_is_called():
    labels, probabilities = case()
    table = at_threshold(labels, probabilities, 0.4)
    text = plots.read_threshold_panel(labels, probabilities, 0.4)
    assert f"sensitivity {100 * table['recall']:.1f} %" in text and f"specificity {100 * table['specificity']:.1f} %" in text
    assert f"{table['confusion']['fn']} pneumonias missed" in text
    plots.threshold_panel(labels, probabilities * 0.5, 1.0).canvas.draw()


def test_calibration_reading_states_the_error_and_the_widest_gap():
    labels = np.array([0] * 10 + [1] * 30)
    probabilities = np.array([0.05] * 10 + [0.35] * 30)
    text = plots.read_calibration_curve({"ours": (labels, probabilities)})
    assert f"{ece(labels, probabilities):.3f} (10 bins)" in text
    assert "widest gap where it states 35 % and 100 % have pneumonia (30 films)" in text


def test_calibration_reading_does_not_take_a_bin_of_two_films_for_a_finding():
    labels = np.array([0] * 10 + [1] * 30 + [0] * 2)
    probabilities = np.array([0.05] * 10 + [0.85] * 30 + [0.95] * 2)
    text = plots.read_calibration_curve({"ours": (labels, probabilities)})
    assert "among bins of ten films or more where it states 85 % and 100 % have pneumonia (30 films)" in text
    few = plots.read_calibration_curve({"ours": (labels[[0, 10, 41]], probabilities[[0, 10, 41]])})
    assert "widest gap where it states 95 % and 0 % have pneumonia (1 film)" in few


# Films

def test_film_grid_reading_counts_and_measures():
    dataset, _ = films()
    titles = ["pneumonia" if label else "normal" for label in dataset.labels[:12]]
    text = plots.read_film_grid(titles, dataset.masks[:12])
    assert f"{titles.count('normal')} × normal" in text and f"{titles.count('pneumonia')} × pneumonia" in text
    assert "cover 12 to 12 %" in text  # 16 x 32 of 64 x 64
    with pytest.raises(CxrkitError, match="3 films but 2 titles"):
        plots.film_grid(dataset.images[:3], ["a", "b"])


def test_worst_mistakes_come_first():
    predictions = pd.DataFrame({
        "path": list("abcdef"), "label": [1, 1, 0, 0, 1, 0], "probability": [0.30, 0.05, 0.60, 0.99, 0.90, 0.45],
    })
    ordered = plots.worst_first(predictions, 0.5)
    assert ordered["path"].tolist() == ["b", "a", "d", "c", "f", "e"]
    assert ordered["outcome"].tolist() == ["missed"] * 2 + ["false alarm"] * 2 + ["right"] * 2
    text = plots.read_prediction_gallery(predictions, 0.5)
    assert "2 pneumonias missed, 2 false alarms" in text
    assert "worst miss has probability 0.050" in text and "worst false alarm 0.990" in text


def test_gallery_shows_the_right_film_for_each_prediction():
    dataset, predictions = films()
    shuffled = predictions.sample(frac=1, random_state=0).reset_index(drop=True)
    figure = plots.prediction_gallery(dataset, shuffled, 0.4)
    first = plots.worst_first(predictions, 0.4).iloc[0]
    axis = figure.axes[0]
    assert axis.get_title() == f"{first['probability']:.3f}, virus"
    assert np.array_equal(axis.images[0].get_array(), dataset.images[int(first["path"].split("/")[1].split(".")[0])])


def test_gallery_without_mistakes_or_subtypes_still_draws():
    dataset, predictions = films()
    perfect = predictions.assign(probability=predictions["label"].astype(float)).drop(columns="subtype")
    figure = plots.prediction_gallery(dataset, perfect, 0.5)
    assert len(figure.subfigs) == 1
    assert "0 pneumonias missed, 0 false alarms." in plots.read_prediction_gallery(perfect, 0.5)
    unread = predictions.assign(subtype=predictions["subtype"].replace("", np.nan))  # as a CSV file comes back
    assert "nan" not in plots.read_prediction_gallery(unread, 0.4)
    plots.prediction_gallery(dataset, unread, 0.4)


def test_predictions_of_another_run_are_refused():
    dataset, predictions = films()
    with pytest.raises(CxrkitError, match="'elsewhere.jpeg' first; they belong to another run"):
        plots.prediction_gallery(dataset, predictions.assign(path="elsewhere.jpeg"), 0.4)


def test_plots_and_evaluation_do_not_import_keras():
    import subprocess
    import sys

    code = "import sys, cxrkit.plots, cxrkit.baseline; print(sorted({'keras', 'tensorflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_an_outline_goes_round_a_texture_and_not_round_each_streak():
    streaks = np.zeros((64, 64), bool)
    streaks[20:44, 20:44:3] = True
    figure = plots.film_grid([np.full((64, 64), 90, np.uint8)], ["film"], [streaks], columns=1, phantom=True)
    (outline,) = figure.axes[0].collections
    (line,) = outline.get_paths()[0].to_polygons()
    assert line.min() < 21 and line.max() > 41
