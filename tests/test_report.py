"""The report page, from a run folder as the notebooks leave it."""

import html.parser
import json

import numpy as np
import pandas as pd
import pytest

from cxrkit.errors import CxrkitError
from cxrkit.evaluation import PAPER, evaluate
from cxrkit.report import metrics_table, read_metrics, write_report

pytest.importorskip("jinja2")


def make_run(folder, dataset="phantom"):
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    blocks = {}
    for stage, strength in (("baseline", 1.0), ("frozen", 2.0), ("fine_tuned", 4.0)):
        blocks[stage] = {}
        for split, n in (("val", 60), ("test", 90)):
            labels = np.arange(n) % 2
            probabilities = 1 / (1 + np.exp(-strength * (labels - 0.5) - rng.normal(size=n)))
            blocks[stage][split] = evaluate(labels, probabilities, locked=0.4, bootstrap=20)
            name = f"predictions_{split}.csv" if stage == "fine_tuned" else f"predictions_{split}_{stage}.csv"
            pd.DataFrame({"path": [f"{i}.jpeg" for i in range(n)], "label": labels, "probability": probabilities}).to_csv(folder / name, index=False)
    metrics = {
        "profile": "demo", "dataset": dataset, "backbone": "efficientnetv2-s", "weights": "phantom", "image_size": 64, "seed": 0,
        "phases": {k: blocks[k] for k in ("frozen", "fine_tuned")}, "baseline": blocks["baseline"],
        "threshold": {"rule": "sensitivity", "value": 0.4, "target_sensitivity": 0.9}, "test": {"n": 90}, "paper": PAPER, "seconds": {},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    config = dict(profile="demo", source=dataset, data="", backbone="efficientnetv2-s", weights="phantom", image_size=64, stored_size=96,
                  val_fraction=0.15, threshold_rule="sensitivity", target_sensitivity=0.95, seed=0)
    manifest = {
        "config": config, "data": {"name": dataset, "fingerprint": "abc", "films": 150, "skipped": [{"path": "<script>bad</script>.jpeg", "reason": "empty"}]},
        "versions": {"keras": "3.13.2"}, "stages": {"frozen": {"seconds": 3.25, "peak_memory_mb": 900, "finished": "2026-01-01T00:00:00+00:00"}},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    history = [dict(phase=p, epoch=e, loss=0.5, accuracy=0.7, val_loss=0.5, val_accuracy=0.7, val_auc=0.8, seconds=1) for p in ("frozen", "fine_tuned") for e in (1, 2)]
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    return folder


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "my demo")


def test_page_stands_alone_and_can_be_read_by_everyone(run_folder):
    import matplotlib.pyplot as plt

    kept = plt.figure()
    path = write_report(run_folder)
    assert plt.fignum_exists(kept.number), "the caller's own figures stay open"
    plt.close(kept)
    assert path == run_folder / "report.html"
    source = path.read_text(encoding="utf-8")
    page = Page(source)
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("table")) == len(page.all("caption")) == 5
    assert all(cell["scope"] in ("col", "row") for cell in page.all("th"))
    images = page.all("img")
    assert len(images) == 4 and all(image["src"].startswith("data:image/png;base64,") and len(image["alt"]) > 60 for image in images)
    assert not page.all("script") and not page.all("link"), "nothing is fetched from elsewhere"
    assert "prefers-color-scheme: dark" in source
    assert not list(run_folder.glob(".partial*"))


def test_page_opens_with_the_results_beside_the_paper(run_folder):
    text = " ".join("".join(Page(write_report(run_folder).read_text(encoding="utf-8")).text).split())
    metrics = read_metrics(run_folder)
    for block in (metrics["baseline"], *metrics["phases"].values()):
        assert f"{block['test']['auc']:.3f} (" in text
    assert "0.905 (≈" in text and "85.7 (82.8–88.3)" in text
    assert text.index("Results on the test split") < text.index("Figures") < text.index("How it was made")
    assert "Not for clinical use" in text and "Phantom films." in text
    frame = metrics_table(metrics)
    assert [name for name, _ in frame.index][-1].startswith("The paper") and len(frame) == 7


def test_real_films_carry_no_phantom_banner(tmp_path):
    source = write_report(make_run(tmp_path / "run", dataset="chestxray2017")).read_text(encoding="utf-8")
    assert "phantom films" not in source.lower().replace("weights", "") and "Not for clinical use" in source


def test_executed_notebooks_are_linked_as_pages(run_folder):
    import nbformat

    (run_folder / "notebooks").mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Hello films")]), run_folder / "notebooks" / "00_x.ipynb")
    links = [link["href"] for link in Page(write_report(run_folder).read_text(encoding="utf-8")).all("a")]
    assert {"notebooks/00_x.ipynb", "notebooks/00_x.html", "metrics.json"} <= set(links)
    assert all((run_folder / link).is_file() for link in links if "://" not in link)
    exported = (run_folder / "notebooks" / "00_x.html").read_text(encoding="utf-8")
    assert "Hello films" in exported and not any("src" in script for script in Page(exported).all("script"))


def test_pictures_of_a_notebooks_page_have_their_readings_and_links_lead_somewhere(run_folder, root):
    import base64

    import nbformat

    v4, picture = nbformat.v4, base64.b64encode(b"\x89PNG").decode()
    figure = v4.new_output("display_data", data={"image/png": picture, "text/plain": "<Figure size 640x480>"})
    cells = [v4.new_code_cell("plot", outputs=[figure, v4.new_output("stream", name="stdout", text='AUC "0.9" for a < b\n')]), v4.new_code_cell("plot", outputs=[figure]),
             v4.new_markdown_cell("[practise](../exercises/02_frozen.ipynb) [gone](../nowhere/x.md) [next](03_fine_tuning.ipynb)")]
    (run_folder / "notebooks").mkdir(exist_ok=True)
    nbformat.write(v4.new_notebook(cells=cells), run_folder / "notebooks" / "02_y.ipynb")
    write_report(run_folder)
    page = Page((run_folder / "notebooks" / "02_y.html").read_text(encoding="utf-8"))
    assert [image["alt"] for image in page.all("img")] == ['AUC "0.9" for a < b', "A figure"]
    links = [link["href"] for link in page.all("a") if not link["href"].startswith("#")]
    assert (run_folder / "notebooks" / links[0]).resolve() == root / "exercises" / "02_frozen.ipynb"
    assert links[1:] == ["https://github.com/cxrkit/cxrkit/blob/main/nowhere/x.md", "03_fine_tuning.ipynb"]


def test_the_settings_say_what_was_locked_and_the_captions_which_views(run_folder):
    text = " ".join("".join(Page(write_report(run_folder).read_text(encoding="utf-8")).text).split())
    assert "target_sensitivity0.9seed" in text.replace(" ", ""), "the manifest says what the last notebook was opened with"
    manifest = json.loads((run_folder / "manifest.json").read_text())
    (run_folder / "manifest.json").write_text(json.dumps(manifest | {"config": manifest["config"] | {"test_views": 5}}))
    assert "the mean of 5 views" in write_report(run_folder).read_text(encoding="utf-8") and "the mean of" not in text
    (run_folder / "manifest.json").write_text(json.dumps(manifest))


def test_without_metrics_the_way_out_is_named(tmp_path):
    with pytest.raises(CxrkitError, match="cxrkit run 04"):
        write_report(tmp_path)
    (tmp_path / "metrics.json").write_text('{"profile": ')
    with pytest.raises(CxrkitError, match="damaged"):
        write_report(tmp_path)


def test_a_damaged_or_missing_manifest_is_said_in_words(tmp_path):
    folder = make_run(tmp_path / "run")
    whole = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(whole[:100])
    with pytest.raises(CxrkitError, match="manifest.json cannot be read"):
        write_report(folder)
    (folder / "metrics.json").write_text("{")
    with pytest.raises(CxrkitError, match="manifest.json cannot be read"):
        write_report(folder)
    folder = make_run(tmp_path / "other")
    (folder / "manifest.json").unlink()
    with pytest.raises(CxrkitError, match="no manifest.json"):
        write_report(folder)


def test_the_way_out_opens_the_run_as_it_was_opened(tmp_path):
    from cxrkit.report import again

    folder = make_run(tmp_path / "my run")
    assert again(folder) == f'cxrkit run 04 --profile demo --out "{folder}"'
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["config"] |= {"seed": 3, "data": "/films of mine", "weights": "imagenet", "skip_bad": True}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert again(folder, "02", "03") == f'cxrkit run 02 03 --profile demo --data "/films of mine" --weights "imagenet" --seed 3 --skip-bad --out "{folder}"'
