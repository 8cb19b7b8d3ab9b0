"""The kept runs on the real films: the table says what the probabilities say, and README and notebook say what the table says."""

import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from cxrkit import record


@pytest.fixture(scope="module")
def kept():
    return record.load_record("laptop")


def test_the_record_is_the_official_test_split(kept):
    films, facts = kept
    assert films["label"].value_counts().to_dict() == {0: 234, 1: 390}
    assert films["path"].str.startswith("test/").all() and films["path"].is_unique
    assert len(facts["seeds"]) >= 3 and facts["settings"]["source"] == "chestxray2017"


def test_the_table_says_what_the_probabilities_say(kept):
    films, facts = kept
    table = record.seed_table(films, facts)
    aucs = [roc_auc_score(films["label"], films[f"fine_tuned_{seed}"]) for seed in facts["seeds"]]
    flagged = [films[f"fine_tuned_{seed}"] >= facts["thresholds"][f"fine_tuned_{seed}"] for seed in facts["seeds"]]
    right = [100 * (f == films["label"]).mean() for f in flagged]
    row = table.loc[("fine-tuned", f"mean of {len(aucs)} seeds")]
    assert row["AUC"].startswith(f"{np.mean(aucs):.4f} (") and row["AUC"].endswith(f"± {np.std(aucs, ddof=1):.4f}")
    assert row["accuracy, locked"].startswith(f"{np.mean(right):.1f} (")
    low, high = map(float, re.search(r"\((.*?)–(.*?)\)", row["AUC"]).groups())
    assert low < np.mean(aucs) < high


def test_the_ensemble_lies_between_its_members(kept):
    films, facts = kept
    together, threshold = record.ensemble(films, facts)
    members = films[[f"fine_tuned_{seed}" for seed in facts["seeds"]]].clip(1e-6, 1 - 1e-6)
    assert (together >= members.min(axis=1) - 1e-9).all() and (together <= members.max(axis=1) + 1e-9).all()
    chosen = [facts["thresholds"][f"fine_tuned_{seed}"] for seed in facts["seeds"]]
    assert min(chosen) <= threshold <= max(chosen)


def test_the_readme_quotes_the_record(kept, root):
    """Each figure of the README's results table is one that `python study/record.py` prints."""
    text = (Path(root) / "README.md").read_text(encoding="utf-8")
    table = record.seed_table(*kept)
    for system in table.index:
        for figure in ("AUC", "accuracy, locked", "sensitivity, locked", "specificity, locked"):
            assert table.loc[system, figure] in text, f"README lacks {figure} of {' '.join(system)}: {table.loc[system, figure]}"


def test_the_script_without_runs_prints_the_kept_table_and_writes_nothing(kept, root, tmp_path):
    """The README sends readers to this command: it must not replace the record."""
    import os
    import shutil
    import subprocess
    import sys

    for name in ("study", "cxrkit"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("*.h5", "__pycache__"))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.suffix in (".csv", ".json", ".png")}
    done = subprocess.run([sys.executable, tmp_path / "study" / "record.py"], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    table = record.seed_table(*kept)
    assert done.returncode == 0 and all(figure in done.stdout for figure in table["AUC"]), done.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.suffix in (".csv", ".json", ".png")} == before


def test_the_readme_quotes_what_each_step_adds(kept, root):
    text = (Path(root) / "README.md").read_text(encoding="utf-8")
    added = record.differences(*kept)
    assert len(added) == 2 * len(kept[1]["seeds"])
    for row in added.itertuples():
        assert f"{row.AUC} ({row[2]})" in text, f"README lacks {row.Index}: {row.AUC} ({row[2]})"


def test_notebook_04_quotes_the_locked_thresholds(kept, root):
    _, facts = kept
    text = (Path(root) / "notebooks" / "source" / "04_evaluation.py").read_text(encoding="utf-8")
    for seed in facts["seeds"]:
        assert f"{facts['thresholds'][f'fine_tuned_{seed}']:.3f}" in text
