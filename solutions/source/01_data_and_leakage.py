# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercises 01 · Data and leakage
#
# **What you will be able to do after this set**
#
# - read a patient from a file name, and know when two films show one child;
# - find a leak that is there, and leave alone one that only looks like it;
# - write a split by patient that others can repeat.
#
# **Minutes:** 45 for you, half of one for the computer. **Before:** notebook 01. No TensorFlow, no download.
#
# Six tasks. Write where it says *your code here*, run the cell, then run the check below it. A check says what is right and what your answer
# looks like. `hint("01.1")` gives three hints, one at each call. Nothing is sent anywhere.

# %%
# On Colab this installs the kit and nothing else; anywhere else it does nothing.
import os
KIT = os.environ.get("CXRKIT_SOURCE", "git+https://github.com/cxrkit/cxrkit")
if "COLAB_RELEASE_TAG" in os.environ:
    %pip install --quiet "{KIT}"

# %% tags=["parameters"]
data: str = ""  # folder or zip with the real films, for the last section; empty: where `cxrkit data get` puts them

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from cxrkit import plots
from cxrkit.checks import check, hint, progress, quiz, worlds

films = worlds.films()
print("PHANTOM films: computed chests. Whatever is counted below says nothing about patients.")
print(f"{len(films)} films; training {len(films.index('train'))}, validation {len(films.index('val'))}, test {len(films.index('test'))}.")

# %% [markdown]
# ## 01.1 · A rule without skill (1 point)
#
# A rule calls **every** film pneumonia. What is its accuracy on the **test** films? `films.labels` holds 0 (normal) and 1 (pneumonia),
# `films.index("test")` the row numbers of the test films.

# %% task="01.1"
answer_01_1 = None  # a share, such as 0.5
### BEGIN SOLUTION
answer_01_1 = float(films.labels[films.index("test")].mean())
### END SOLUTION

# %% check="01.1"
check("01.1", answer_01_1)

# %% [markdown]
# ## 01.2 · Who is on this film? (2 points)
#
# Write a function that takes a file name and returns a text that is **the same for all films of one child, and different for different children**.
# Any text will do, as long as that holds. The scheme:
#
# | name | child |
# | --- | --- |
# | `person12_bacteria_46.jpeg`, `person12_bacteria_47.jpeg` | one child |
# | `person12_virus_46.jpeg` | another child: numbering starts anew for each kind |
# | `person447_virus_921_1.jpeg` | the same scheme, with a number more at the end |
# | `IM-0115-0001.jpeg`, `IM-0115-0001-0002.jpeg` | one child |
# | `NORMAL2-IM-0115-0001.jpeg` | another child: a second series |

# %% task="01.2"
def answer_01_2(name):
    """Return the child's name for a file name such as 'person12_bacteria_46.jpeg'."""
    ### BEGIN SOLUTION
    if name.startswith("person"):
        return "_".join(name.split("_")[:2])
    series = "NORMAL2-" if name.startswith("NORMAL2-") else ""
    number = name.removeprefix("NORMAL2-").split("-")[1]
    return f"{series}IM-{number}"
    ### END SOLUTION

# %% check="01.2"
check("01.2", answer_01_2)

# %% [markdown]
# ## 01.3 · Find the leaked patient (2 points)
#
# A colleague split these films "by patient". One child stands on both sides of **train and val** all the same. Who?
#
# (`path` holds folders too; the name that 01.2 reads is `path.str.rsplit("/", n=1).str[-1]`, as in notebook 01.)
#
# *Predict first:* the same `person` number will point to somebody. Does it name the child?

# %%
handed_over = worlds.leaky_table()
handed_over.head()

# %% task="01.3"
answer_01_3 = None  # the child's part of the file names, such as "person12_virus"
### BEGIN SOLUTION
child = handed_over["path"].str.rsplit("/", n=1).str[-1].map(answer_01_2)
(answer_01_3,) = set(child[handed_over["split"] == "train"]) & set(child[handed_over["split"] == "val"])
### END SOLUTION

# %% check="01.3"
check("01.3", answer_01_3)

# %% [markdown]
# Here are the films of the child that you named. Ribs, heart and posture are the child's; a network can learn them as well as a lung.

# %%
if not isinstance(answer_01_3, str):
    print("This cell shows the child's films once 01.3 names a child, as a text.")
else:
    named_child = answer_01_3.strip().rsplit("/", 1)[-1]
    mine = films.table["patient"].str.lower() == named_child.lower()
    rows = np.flatnonzero(mine)[:6]
    if len(rows):
        shown = [handed_over.set_index("path")["split"][films.table["path"].iloc[row]] for row in rows]
        plots.film_grid(films.images[rows], shown, columns=6, phantom=True, title=f"{named_child} in the table handed over")
        plt.show()
    print(f"{len(rows)} films of {named_child}.")

# %% [markdown]
# ## 01.4 · Write the grouped split (3 points)
#
# Given the patient of each film, choose validation films so that **no patient is on both sides**.
#
# - `patients`: an array of names, one for each film; `share`: which part of the *films* goes to validation; `seed`: a whole number.
# - Return an array of True (validation) and False (training), one for each film.
# - The same seed must give the same split, also after a restart (a Python set has another order each time: sort the names), and another seed another one. Whole patients rarely give the share exactly; come as near as they allow.

# %% task="01.4"
def answer_01_4(patients, share, seed):
    """Return which films go to validation, bool [n]."""
    ### BEGIN SOLUTION
    names, counts = np.unique(patients, return_counts=True)
    chosen, taken = [], 0
    for k in np.random.default_rng(seed).permutation(len(names)):
        if taken + counts[k] <= share * len(patients):
            chosen.append(names[k])
            taken += counts[k]
    return np.isin(patients, chosen)
    ### END SOLUTION

# %% check="01.4"
check("01.4", answer_01_4)

# %% [markdown]
# What the two ways of splitting do to our training films. The picture shows what yours should look like: the right bar has height 0, no child is on both sides.

# %% tags=["expected"]
pool = films.table[films.table["split"] != "test"]
patients = pool["patient"].to_numpy()
by_film = np.random.default_rng(1).random(len(patients)) < 0.2
by_patient = answer_01_4(patients, 0.2, 1)
by_patient = np.asarray(by_patient, dtype=object)
if by_patient.shape != patients.shape or not set(by_patient) == {True, False}:
    print("This figure is drawn once 01.4 returns one True or False a film, some of each.")
else:
    by_patient = by_patient.astype(bool)
    leaked = {name: np.isin(patients[mask], patients[~mask]).mean() for name, mask in (("film by film", by_film), ("your split", by_patient))}
    figure, axis = plt.subplots(figsize=(4, 2.6), layout="constrained")
    axis.bar(list(leaked), [100 * v for v in leaked.values()], color=["#d55e00", "#0173b2"], hatch=["//", ""][0], edgecolor="white")
    axis.set(ylabel="% of validation films", ylim=(0, 100), title="Child also in training (phantom)")
    plt.show()
    print("; ".join(f"{name}: {share:.0%} of the validation films show a child that is also in training" for name, share in leaked.items()) + ".")

# %% [markdown]
# ## 01.5 · What crossed over? (2 points)
#
# Films can leak without their patient: the same picture, stored twice under two names. Each film has a hash; equal hashes mean equal pictures.
#
# Count the **test films** whose picture also lies in training. `split` says "train" or "test" for each film.

# %% task="01.5"
def answer_01_5(hashes, split):
    """Return how many test films also lie in training."""
    ### BEGIN SOLUTION
    test = split == "test"
    return int(np.isin(hashes[test], hashes[~test]).sum())
    ### END SOLUTION

# %% check="01.5"
check("01.5", answer_01_5)

# %% [markdown]
# ## 01.6 · What else gives the answer away? (2 points)
#
# A hospital sends 400 films. Before any pixel is looked at: **which column of this table tells the label best**, and with what AUC?
#
# A column's AUC is `roc_auc_score(label, column)`: the chance that a film with pneumonia has the greater value. A half means that the column knows nothing.

# %%
facts = worlds.files_table()
facts.groupby("label").mean().round(2)

# %% task="01.6"
answer_01_6 = {"column": None, "auc": None}
### BEGIN SOLUTION
aucs = {column: roc_auc_score(facts["label"], facts[column]) for column in ("width", "bytes", "hour", "dose")}
best = max(aucs, key=lambda column: abs(aucs[column] - 0.5))
answer_01_6 = {"column": best, "auc": aucs[best]}
### END SOLUTION

# %% check="01.6"
check("01.6", answer_01_6)

# %% [markdown]
# Compare with your answer: the columns by label. Look at overlap, not at the means.

# %%
figure, axes = plt.subplots(1, 4, figsize=(9, 2.4), layout="constrained")
for axis, column in zip(axes, ("width", "bytes", "hour", "dose")):
    top = facts[column].quantile(0.97)
    for label, style in ((0, dict(color="#0173b2", alpha=0.6)), (1, dict(color="#d55e00", histtype="step", linewidth=1.8))):
        axis.hist(facts[column][facts["label"] == label].clip(upper=top), bins=18, label=["normal", "pneumonia"][label], **style)
    axis.set(xlabel=column, ylabel="films" if column == "width" else "")
axes[0].legend(fontsize=8)
figure.suptitle("Facts about files, by label (computed; values above the 97th percentile drawn there)", fontsize=10)
plt.show()
print("One of the four pairs of histograms overlaps little; the other three overlap widely.")

# %% [markdown]
# ## On real films, if you have them
#
# The same functions, on the file names of the real data set. No film is opened.

# %%
real = worlds.real_films(data)
if real is None:
    print("The real films are not on this disk; nothing is missing for the tasks. (cxrkit data get chestxray2017 would get them.)")
elif answer_01_2("IM-0115-0001.jpeg") is None:
    print("This runs once 01.2 returns something.")
else:
    names = real["path"].str.rsplit("/", n=1).str[-1].map(answer_01_2)
    both = set(names[real["split"] == "train"]) & set(names[real["split"] == "test"])
    print(f"{len(real):,} films, {names.nunique():,} children by your function; {len(both)} of them seem to be in both train and test.")

# %% [markdown]
# ## Quiz, and where you stand

# %% tags=["expected"]
quiz("01")

# %%
progress("01")

# %% [markdown]
# **Next:** [02_frozen](02_frozen.ipynb), after notebook 02.
