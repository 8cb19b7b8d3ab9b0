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
# # 01 · The films, their patients, and the number to beat
#
# **What you will be able to do after this notebook**
#
# - count classes, films and *patients*, and tell why the last matters most;
# - find duplicates, leaked patients and other ways to be right for the wrong reason;
# - split films so that no child is on both sides;
# - fit the baseline that every later result must beat.
#
# **Minutes:** 1 on `demo` and on `laptop`; not timed on `paper`.

# %%
# On Colab this installs the kit and nothing else; anywhere else it does nothing.
import os
KIT = os.environ.get("CXRKIT_SOURCE", "git+https://github.com/cxrkit/cxrkit")
if "COLAB_RELEASE_TAG" in os.environ:
    %pip install --quiet "{KIT}"

# %% tags=["parameters"]
profile: str = "auto"  # demo, laptop, paper, or auto: the largest that this machine has everything for
data: str = ""  # folder, zip or npz with films; empty: where `cxrkit data get` puts them
weights: str = ""  # imagenet, phantom, none or a file; empty: the profile's
out: str = ""  # run folder; empty: runs/<profile>
seed: int = 0  # of the validation split and of training
skip_bad: bool = False  # leave unreadable films out, on record, instead of stopping
drive: bool = False  # on Colab: keep the run in your Google Drive

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import cxrkit
from cxrkit import data as films
from cxrkit import evaluation, plots, stages

if drive and "COLAB_RELEASE_TAG" in os.environ:
    from google.colab import drive as google_drive
    google_drive.mount("/content/drive")
    os.environ["CXRKIT_RUNS"] = "/content/drive/MyDrive/cxrkit"
config = cxrkit.configure(profile, data=data, weights=weights, out=out, seed=seed, skip_bad=skip_bad)
dataset = cxrkit.load_dataset(config)
run = cxrkit.open_run(config, dataset)
if config.is_phantom:
    print("PHANTOM films: computed chests. Whatever is measured below says nothing about patients.")

# %% [markdown]
# ## Look at the films first
#
# Six of these twelve films are normal, six show pneumonia. *Which would you call ill, and what in them makes you say so?* Write down their numbers.

# %%
train = dataset.index("train")
rng = np.random.default_rng(1)
shown = rng.permutation(np.concatenate([rng.choice(train[dataset.labels[train] == label], 6, replace=False) for label in (0, 1)]))
numbers = [f"film {k}" for k in range(1, 13)]
plots.film_grid(dataset.images[shown], numbers, columns=6, phantom=config.is_phantom, title="Twelve training films, mixed")
plt.show()
print("Twelve films in mixed order, numbered row by row; the next cell names them.")

# %% [markdown]
# Now the same films in the same places, with their labels:

# %%
subtype = dataset.table["subtype"].iloc[shown]
kinds = np.where(dataset.labels[shown] == 0, "normal", subtype.where(subtype != "", "pneumonia"))
masks = None if dataset.masks is None else dataset.masks[shown]
plots.film_grid(dataset.images[shown], list(kinds), masks, columns=6, phantom=config.is_phantom, title="The same training films, named")
plt.show()
print("; ".join(f"{number} {kind}" for number, kind in zip(numbers, kinds)) + ".")
print(plots.read_film_grid(list(kinds), masks))

# %% [markdown]
# Bacterial pneumonia often fills one lobe: a dense patch with an edge. Viral pneumonia is more often spread thin over both lungs,
# a veil of fine lines. The label of this course does not separate the two; remember them when you read the mistakes in notebook 04.
#
# On phantom films the outline marks where the opacity was put. Real films come without such an outline.

# %% [markdown]
# ## Count the classes
#
# *Predict:* if a classifier called **every** film pneumonia, would its accuracy be 50 %, less, or more?

# %%
# NBVAL_CHECK_OUTPUT
balance = dataset.table.groupby(["split", "label"]).size().unstack().rename(columns={0: "normal", 1: "pneumonia"})
balance["share of pneumonia"] = (balance["pneumonia"] / balance.sum(axis=1)).map("{:.1%}".format)
balance.loc[["train", "val", "test"]]

# %% [markdown]
# The classes are unbalanced, and train and test are *differently* unbalanced. Three things follow.
#
# - Accuracy alone flatters: calling everything pneumonia is right more often than not.
# - Training can weight the classes so that both count alike (notebook 02 does).
# - A probability learned at one **prevalence**, the share of the ill, is off at another (notebook 04).

# %% [markdown]
# ## Count the patients
#
# One child can have several films. They show the same ribs, the same heart, often the same hour. If one lands in training and another in the
# test, the network can *recognise the child* instead of the disease. That is **leakage**, and accuracy rises for the wrong reason.
#
# The file names tell the patient, if they are read with care:
#
# | file name | patient |
# | --- | --- |
# | `person12_bacteria_46.jpeg` | the 12th with *bacterial* pneumonia |
# | `person12_virus_46.jpeg` | the 12th with *viral* pneumonia: another child |
# | `IM-0115-0001.jpeg` | normal, number 0115 |
# | `NORMAL2-IM-0115-0001.jpeg` | normal of a second series, number 0115: another child |
#
# *Predict:* someone takes `person12` as the patient and drops `NORMAL2-`. Will that find too many shared patients between train and test, or too few?

# %%
# NBVAL_CHECK_OUTPUT
names = dataset.table["path"].str.rsplit("/", n=1).str[-1]
in_test = dataset.table["split"] == "test"
keys = {
    "right key": dataset.table["patient"],
    "person number alone": names.map(films.naive_key),
    "number alone, NORMAL2- dropped": names.map(lambda name: films.naive_key(name, drop_prefix=True)),
}
if dataset.has_patients:
    for key, column in keys.items():
        shared = set(column[in_test]) & set(column[~in_test])
        print(f"{key:32} {len(shared):4} patients seem to stand in both training and test")
else:
    print("These films carry no patient numbers: whether a child stands on both sides cannot be known.")

# %% [markdown]
# With the right key, by its file names, no child stands on both sides of the official split. The careless key finds overlap where the names show none:
# on the real data set 170 patients, or 264 with the prefix dropped. Whether one number is ever one child in both series, nobody can check; as proof of a leak it is worth nothing.
#
# The opposite mistake is worse, and common: **splitting validation from training film by film.** Let us see how much that leaks.

# %%
# NBVAL_CHECK_OUTPUT
table = dataset.table
pool = table[table["split"] != "test"]
patients = pool["patient"]
several = patients.map(patients.value_counts()) > 1
print(f"{len(pool)} films of {patients.nunique()} patients; {several.mean():.0%} of the films have a sibling of the same patient.")

by_film = pool.sample(frac=config.val_fraction, random_state=0)
leaked = by_film["patient"].isin(pool.drop(by_film.index)["patient"])
print(f"Split film by film: {leaked.mean():.0%} of {len(by_film)} validation films show a child that was trained on.")

by_patient = pool[pool["split"] == "val"]  # what cxrkit made: whole patients only, where patients are known
leaked = by_patient["patient"].isin(pool[pool["split"] == "train"]["patient"])
print(f"Split by patient:   {leaked.mean():.0%} of {len(by_patient)}.")

# %% [markdown]
# ## The split, step by step
#
# How are whole patients drawn for validation so that everyone who runs this gets *the same* films? Random generators differ between library versions,
# so the course sorts patients by a hash of the seed and their name, and takes them from the top until each class has its share.

# %%
# NBVAL_CHECK_OUTPUT
import hashlib

def place_in_line(patient):
    return hashlib.sha256(f"{seed}:{patient}".encode()).hexdigest()

for patient in sorted(["person1", "person2", "person3", "person4"], key=place_in_line):
    print(place_in_line(patient)[:8], patient)

# %% [markdown]
# The names with the smallest hashes go to validation. `films.grouped_split` does this for each class, with two cautions. By the file names `person12_bacteria` and `person12_virus` are two children; nobody can
# check that, so to be safe all films of a `person` number stay together. And so do patients who share a film byte for byte. It walks down the line and takes whole
# patients as long as the class's share is not overshot.

# %% [markdown]
# ## What else could give the answer away?
#
# An audit asks, before any network does: are there duplicates? do the *files* differ between the classes, in size or colour mode?
# (*Near duplicates* are found by another kind of hash than the one above: 256 bits of where a picture is light and dark. For films that look alike they are nearly the same.)
# The last line fits a classifier on metadata alone, without one pixel of image. *Predict its AUC if the files are honest.*
#
# In brackets stands a **95 % interval**: how far the number would move with other patients of the same kind. (Patients are drawn at random with replacement, a thousand times, and it is computed each time; the middle 95 % are the interval.)

# %%
audit = cxrkit.audit_dataset(dataset)
audit.table.style.hide(axis="index").set_properties(**{"text-align": "left", "white-space": "normal"})

# %%
audit.figure()
plt.show()
print(audit.reading())

# %% [markdown]
# Read the duplicates by *where* they lie: two copies inside training cost little; a copy across train and test would be a leak.
#
# Read the metadata AUC against 0.5, with its interval: if the interval lies well above 0.5, a part of any later result may come from
# how the files were made and not from the lungs. On the original ChestXray-2017 files that danger is real: 283 of them are stored
# in colour, and every one of those is a training film *with pneumonia*. A copy that was re-encoded, like PneumoniaMNIST, can no longer show it.
#
# Not every part of it is about making. A compressed file is longer where the picture holds more detail, so its bytes can reflect the lungs too; its width and its colour mode cannot.

# %% [markdown]
# ## The number to beat
#
# Now the most important model of the course. Shrink each film to 32 × 32 grey values, standardise them, fit a logistic regression.
# No network, no pretraining, seconds.
#
# *Predict its validation AUC. Write the number down; you will want to compare.*

# %%
from cxrkit.baseline import pool as mean_pool

example = train[dataset.labels[train] == 1][0]
figure, axes = plt.subplots(1, 2, figsize=(6, 3.1), layout="constrained")
for axis, image, title in zip(axes, (dataset.images[example], mean_pool(dataset.images[[example]]).reshape(32, 32)), ("the film", "what the baseline sees")):
    axis.imshow(image, cmap="gray", vmin=0, vmax=255)
    axis.set_title(title)
    axis.axis("off")
figure.suptitle("One training film" + (" (phantom)" if config.is_phantom else ""))
plt.show()
print(f"Left {dataset.images.shape[1]} × {dataset.images.shape[2]} pixels, right 32 × 32 = 1024 numbers, each the mean of a small square.")

# %%
baseline = stages.make_baseline(run)  # cxrkit.pixel_baseline(dataset), with its predictions kept in the run folder

val = run.read_predictions("baseline", "val")
block = evaluation.evaluate(val["label"], val["probability"], groups=val.get("patient"), bootstrap=config.bootstrap, seed=seed)
low, high = block["intervals"]["auc"]
print(f"Pixel baseline on {block['n']} validation films{' (phantom)' if config.is_phantom else ''}: AUC {block['auc']:.3f} (95 % interval {low:.3f} to {high:.3f}).")

# %% [markdown]
# The test predictions were written to the run folder, sealed: nobody has scored them yet, and nobody will before notebook 04.
#
# What did it learn? Its weights form an image: orange where a bright pixel argues for pneumonia, purple where it argues against.

# %%
coefficients = baseline.model[-1].coef_.reshape(32, 32)
limit = np.abs(coefficients).max()
figure, axis = plt.subplots(figsize=(3.9, 3.4), layout="constrained")
shown = axis.imshow(coefficients, cmap="PuOr_r", vmin=-limit, vmax=limit)
figure.colorbar(shown, ax=axis, label="weight per standard deviation")
axis.set_title("Baseline weights" + (" (phantom)" if config.is_phantom else ""))
axis.set_xlabel("column of 32")
axis.set_ylabel("row of 32")
plt.show()
row, column = np.unravel_index(np.abs(coefficients).argmax(), coefficients.shape)
side = "left" if column < 16 else "right"
print(f"The strongest weight, {coefficients[row, column]:+.3f}, is in the {side} half of the image at row {row}, column {column} of 32.")
rim = np.ones_like(coefficients, dtype=bool)
rim[4:-4, 4:-4] = False
print(f"The outer four rows and columns are {rim.mean():.0%} of the image and hold {np.abs(coefficients[rim]).sum() / np.abs(coefficients).sum():.0%} of the weight (sizes added, whatever the sign).")

# %% [markdown]
# Does the pattern look like lungs, or does it also use borders and corners? Compare the last two numbers: a model that read lungs alone would hold little weight at the rim.
# A model that reads the rim reads *how the film was taken*, and that may differ where it is used.

# %% [markdown]
# ## Check yourself
#
# What is the accuracy, on the **test** split, of a rule that calls every film pneumonia? The class table above has what you need; no prediction is looked at.

# %%
from cxrkit.checks import check

answer = None  # a share such as 0.5
passed = check("01.1", answer, labels=dataset.labels[dataset.index("test")], train_labels=dataset.labels[train])

# %% [markdown]
# ## What to remember
#
# - Split by patient. Film by film, most validation films may show a child that was trained on.
# - Read the patient key with care: a careless one invents leaks, or hides them.
# - Look for what the files give away before you look at what the pixels do.
# - The baseline's AUC is the number to beat.
#
# **Practise:** [exercises 01](../exercises/01_data_and_leakage.ipynb). **Where next:** [02_frozen_training](02_frozen_training.ipynb).
#
# Films (where real ones are used): Kermany, Zhang and Goldbaum 2018, Mendeley Data, doi:10.17632/rscbjbr9sj.2, CC BY 4.0.
