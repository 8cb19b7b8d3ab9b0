"""How do the test films differ from the training films? Three numbers a film, no network asked.

    python study/shift.py --data PATH

Labels of the test films are used, so this is for understanding a result after it was locked, never for choosing a recipe.
"""

from typing import Annotated

import numpy as np
import pandas as pd
import typer
from scipy.ndimage import gaussian_filter
from sklearn.metrics import roc_auc_score

import cxrkit

MEASURES = {
    "darkest 1 %": lambda film: np.percentile(film, 1),
    "brightest 1 %": lambda film: np.percentile(film, 99),
    "sharpness": lambda film: (film - gaussian_filter(film, 1.5)).std(),  # grey levels; what a blur of 1.5 pixels takes away
}


def main(data: Annotated[str, typer.Option(help="the films' folder or zip; empty: where `cxrkit data get` puts them")] = ""):
    """Print the mean of each measure by split and kind of film, and how well each alone tells pneumonia from normal."""
    films = cxrkit.load_dataset(cxrkit.configure("laptop", data=data))
    measured = pd.DataFrame([{name: measure(np.asarray(film, "float32")) for name, measure in MEASURES.items()} for film in films.images])
    table = films.table.reset_index(drop=True)
    half = table["split"].replace("val", "train")
    kind = np.where(table["label"] == 1, "pneumonia", "normal")
    print("Means, grey levels 0-255:")
    print(measured.groupby([half, kind]).mean().round(3).to_string())
    print("\nAUC of one number alone, in the direction that it has in training (0.5: it says nothing):")
    for name in MEASURES:
        train, test = (roc_auc_score(table["label"][half == split], measured[name][half == split]) for split in ("train", "test"))
        print(f"  {name:14} train {max(train, 1 - train):.3f}, test {test if train >= 0.5 else 1 - test:.3f}")


if __name__ == "__main__":
    typer.run(main)
