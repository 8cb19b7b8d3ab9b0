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
# # 00 · Start here
#
# **What you will be able to do after this notebook**
#
# - say what this course reproduces, and why its result needs a baseline beside it;
# - find out what your machine can run, and choose a profile;
# - read an X-ray film as the numbers that a network gets.
#
# **Minutes:** 1 on `demo`; on real films the first run also decodes them, once.
#
# Nothing in this course is meant for patients. It teaches how such results are made and how to judge them.

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

# %% [markdown]
# ## One paper, taken seriously
#
# In 2024 Lee, Pratheepan and Teixeira trained EfficientNetV2S to tell chest X-rays of children *with pneumonia* from *normal* ones.
# First the network's *backbone*, its large borrowed part, was **frozen**, and only a small new *head* on top of it learned; then everything was **fine-tuned**.
# They report an accuracy of 85.74 % and an area under the ROC curve (AUC) of 0.905 on 624 test films.
#
# The **AUC** is a chance. Take one child with pneumonia and one without, at random: how often does the model give the ill one the higher score? 0.5 is guessing, 1 is perfect.
# (Notebook 04 draws the curve that it is the area of.)
#
# Is that good? Pause and commit yourself before you read on: *how well would a model do that sees each film as 32 × 32 grey pixels
# and knows nothing of the world but those?*
#
# <details><summary>Look, once you have a guess</summary>
#
# On the same 624 films, logistic regression on 32 × 32 pixels scores an AUC of about 0.91 (measured on a 224-pixel copy of the films).
# By AUC the paper's network does not beat it. At the one pair that the paper reports, found among the ill and false alarms among the healthy, it does a little better: with as many false alarms it finds 90 % of the ill,
# the pixels 86 % (notebook 04). A lead so small is no insult to the paper; it is the reason for this course:
# **a number means nothing without a baseline beside it.** You will fit that baseline yourself in notebook 01.
#
# </details>

# %% [markdown]
# ## The road
#
# | notebook | what happens | what you learn to ask |
# | --- | --- | --- |
# | 01 data exploration | the films, their patients, the number to beat | could this be leakage? could a simpler model do it? |
# | 02 frozen training | ImageNet or phantom features, a head on top | what does the network see? what is computed twice for nothing? |
# | 03 fine-tuning | the backbone learns too | when to stop, and on whose films to decide it |
# | 04 evaluation | the threshold is locked, then the test split is opened | who is missed, who is called in, how sure are we? |
#
# The test split stays closed until notebook 04. Every choice before that is made on **validation patients**, children whose films
# the network never trained on; only choices are made on them. (The figures above are published or the authors'. *Your* systems stay sealed.)

# %% [markdown]
# ## What this machine can run
#
# A *profile* is a row of defaults. You can change any of them later; start with a row that fits your machine.
#
# | profile | films | network | who |
# | --- | --- | --- | --- |
# | `demo` | phantoms, made on the spot | EfficientNetV2S, weights that come with the course | first look, offline |
# | `laptop` | real X-rays | EfficientNetV2B0, ImageNet | no GPU |
# | `paper` | real X-rays | EfficientNetV2S, ImageNet | Colab or any GPU |
#
# **ImageNet** is a public collection of more than a million labelled photographs. A network that was trained on it can lend its weights, the numbers that training has set.
#
# A **phantom** here is a computed film: a chest with ribs, heart and lungs through which X-rays are traced. It needs no download
# and no patient. Its results say how the course works, never how well pneumonia is found.

# %%
import pandas as pd

from cxrkit import doctor

found = pd.DataFrame(doctor.examine(slow=False))
found[found["name"].isin(["Cores", "Memory", "GPU", "keras", "tensorflow", "Real images"])][["name", "found", "state"]].style.hide(axis="index")

# %% [markdown]
# The same as a longer list, with the line that mends whatever is missing: run `cxrkit doctor` in a terminal.

# %%
import cxrkit

if drive and "COLAB_RELEASE_TAG" in os.environ:
    from google.colab import drive as google_drive
    google_drive.mount("/content/drive")
    os.environ["CXRKIT_RUNS"] = "/content/drive/MyDrive/cxrkit"
config = cxrkit.configure(profile, data=data, weights=weights, out=out, seed=seed, skip_bad=skip_bad)
print(f"Films: {config.source}, seen at {config.image_size} × {config.image_size} pixels by {config.backbone}.")

# %% [markdown]
# **To run on the real films** you need 1.2 GB of disk. Nothing here downloads unasked; in a terminal (on Colab: in a cell, with `!` in front):
#
# ```
# cxrkit data get chestxray2017
# cxrkit data get imagenet --backbone efficientnetv2-b0
# ```
#
# The 214 MB alternative is `cxrkit data get pneumoniamnist --size 224`: the same films, cropped, but without patient numbers.

# %% [markdown]
# ## A film is a table of numbers
#
# Before you run the next cell, predict: *is air dark or bright on a film, and is that a small number or a large one?*

# %%
import matplotlib.pyplot as plt
import numpy as np

from cxrkit import plots

dataset = cxrkit.load_dataset(config)
train = dataset.index("train")
first = [train[dataset.labels[train] == label][k] for label in (0, 1) for k in range(3)]
names = ["normal", "pneumonia"]
titles = [names[dataset.labels[row]] for row in first]
plots.film_grid(dataset.images[first], titles, columns=6, phantom=config.is_phantom, title="Six films")
plt.show()
print(plots.read_film_grid(titles))

# %%
# NBVAL_CHECK_OUTPUT
print(f"{len(dataset)} films: {(dataset.labels == 0).sum()} normal, {(dataset.labels == 1).sum()} with pneumonia.")

# %%
film = dataset.images[first[0]]
middle = film.shape[0] // 2
print(f"One film: {film.shape[0]} × {film.shape[1]} numbers of type {film.dtype}, from {film.min()} (its darkest) to {film.max()} (its brightest); black is 0, white 255.")
print("Twelve numbers of its middle row, evenly spaced:", film[middle, np.linspace(0, film.shape[1] - 1, 12).astype(int)].tolist())

# %% [markdown]
# Air lets X-rays through, the film darkens: **lungs are dark, small numbers**. Bone, heart and liver absorb: bright, large numbers.
# Pneumonia fills air spaces with fluid, so a patch of lung turns bright. That is what a radiologist looks for, and what we hope the network learns to use.
#
# *A common misconception:* the network does not see "a lung". It sees this table, and will use anything in it that predicts the label:
# a marker in the corner, the brightness of the exposure, the hospital's print. Notebook 01 looks for such shortcuts.

# %% [markdown]
# ## What to remember
#
# - A result needs a baseline, an interval and a split by patient before it means anything.
# - The test split is opened once, at the end, with a threshold, the number from which on a film is called ill, that was locked before.
# - Phantom results show how the course works and nothing else.
#
# **Where next:** [01_data_exploration](01_data_exploration.ipynb).
#
# Films (where real ones are used): Kermany, Zhang and Goldbaum 2018, Mendeley Data, doi:10.17632/rscbjbr9sj.2, CC BY 4.0.
