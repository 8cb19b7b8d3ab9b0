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
# # Exercises 02 · A frozen backbone
#
# **What you will be able to do after this set**
#
# - count what learns and what only takes part;
# - hand a network what it expects, and recognise films that were scaled twice;
# - prepare features, weights and scores so that validation stays unseen.
#
# **Minutes:** 45 for you, one for the computer. **Before:** notebook 02. No download.
#
# Six tasks. Write where it says *your code here*, run the cell, then run the check below it. A check says what is right and what your answer
# looks like. `hint("02.1")` gives three hints, one at each call. Nothing is sent anywhere.

# %%
# On Colab this installs the kit and nothing else; anywhere else it does nothing.
import os
KIT = os.environ.get("CXRKIT_SOURCE", "git+https://github.com/cxrkit/cxrkit")
if "COLAB_RELEASE_TAG" in os.environ:
    %pip install --quiet "{KIT}"

# %% tags=["parameters"]
profile: str = "auto"  # demo, laptop or paper, as in the lessons; auto: real films where they are on this disk, phantoms elsewhere

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import cxrkit
from cxrkit.checks import check, hint, progress, quiz, worlds

config = cxrkit.configure(profile)
if config.is_phantom:
    config = config.replace(phantom_images=320, stored_size=64)
    print("PHANTOM films: computed chests. Whatever is measured below says nothing about patients.")
films = cxrkit.load_dataset(config)

# %% [markdown]
# ## 02.1 · How often does it look? (1 point)
#
# Somebody trains a head on a frozen backbone, **the textbook way**: every epoch runs every training film through backbone and head.
# How many times in all does the backbone look at a film?

# %%
facts = worlds.frozen_facts()
print(f"{facts['films']:,} training films, {facts['epochs']} epochs; the backbone has {facts['backbone_weights']:,} weights and gives {facts['features']:,} features a film.")

# %% task="02.1"
answer_02_1 = None  # a whole number
### BEGIN SOLUTION
answer_02_1 = facts["films"] * facts["epochs"]
### END SOLUTION

# %% check="02.1"
check("02.1", answer_02_1)

# %% [markdown]
# ## 02.2 · What learns? (1 point)
#
# The backbone is frozen. The head weighs the features of a film into **one** number, the logit. How many numbers learn in the frozen phase?

# %% task="02.2"
answer_02_2 = None  # a whole number
### BEGIN SOLUTION
answer_02_2 = facts["features"] + 1
### END SOLUTION

# %% check="02.2"
check("02.2", answer_02_2)

# %% [markdown]
# ## 02.3 · Mend the bug (2 points)
#
# This line is from a tutorial for another network. Ours, EfficientNetV2 in Keras, takes grey values from 0 to 255 and rescales them **inside**.

# %%
def prepare_as_in_the_tutorial(pictures):
    return pictures.astype("float32")[..., np.newaxis] / 255.0


# %% [markdown]
# What does that do? Here is what the network itself then makes of eight films. *Predict:* will the features of the films differ more, or less, from each other?

# %%
from cxrkit import batches
from cxrkit import model as networks

network = cxrkit.build_model(config)
features_of = networks.feature_extractor(network)
eight = np.stack([batches.plain_view(np.asarray(films.images[row]), config.image_size) for row in films.index("train")[:8]])
as_stored = features_of.predict(eight[..., np.newaxis], verbose=0)
by_tutorial = features_of.predict(prepare_as_in_the_tutorial(eight), verbose=0)

# %% tags=["expected"]
where = "phantom" if config.is_phantom else "real films"
figure, axes = plt.subplots(1, 4, figsize=(8.4, 2.3), layout="constrained")
for axis, picture, title in ((axes[0], eight[0], "given 0 to 255"), (axes[2], eight[0] / 255, "given 0 to 1")):
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
    axis.set_title(title, fontsize=10)
    axis.axis("off")
widest = np.argsort(-as_stored.std(axis=0))[:24]  # the features that differ most on the left
limits = {"vmin": min(as_stored[:, widest].min(), by_tutorial[:, widest].min()), "vmax": max(as_stored[:, widest].max(), by_tutorial[:, widest].max())}
for axis, values in ((axes[1], as_stored), (axes[3], by_tutorial)):
    colours = axis.imshow(values[:, widest], aspect="auto", cmap="viridis", **limits)
    axis.set(xlabel="24 features", ylabel="8 films", xticks=[], yticks=[])
figure.colorbar(colours, ax=axes[3], label="value of the feature")
figure.suptitle(f"What the network sees, and the features it finds ({where})", fontsize=10)
plt.show()
print(f"How much features differ from film to film: {as_stored.std(axis=0).mean():.4f} as stored, {by_tutorial.std(axis=0).mean():.4f} by the tutorial. "
      "On the right every row is nearly the same: to the network all films look alike.")

# %% [markdown]
# Now write it right. Films come in as uint8 `[n, height, width]`; the network expects `[n, height, width, 1]`.

# %% task="02.3"
def answer_02_3(pictures):
    """Return films as this network expects them."""
    ### BEGIN SOLUTION
    return pictures.astype("float32")[..., np.newaxis]
    ### END SOLUTION

# %% check="02.3"
check("02.3", answer_02_3)

# %% [markdown]
# ## 02.4 · Standardise without looking (3 points)
#
# Bring each feature to mean 0 and spread 1 **on the training films**, and move the validation films by the same numbers.
#
# - `train` is `[n, features]`, `val` is `[m, features]`. Return both, in this order.
# - *Spread* is the standard deviation, `std(axis=0)`. A feature that is constant in training has spread 0: divide it by 1 instead, so that it becomes 0 there; nothing may become NaN.

# %% task="02.4"
def answer_02_4(train, val):
    """Return train and val, standardised by the training films."""
    ### BEGIN SOLUTION
    middle, spread = train.mean(axis=0), train.std(axis=0)
    spread = np.where(spread < 1e-9, 1, spread)
    return (train - middle) / spread, (val - middle) / spread
    ### END SOLUTION

# %% check="02.4"
check("02.4", answer_02_4)

# %% [markdown]
# ## 02.5 · Both classes alike (2 points)
#
# Three quarters of the training films show pneumonia. Give **each film** a weight so that both classes have the same sum of weights, and the mean weight is 1.
#
# Example: labels `[1, 1, 1, 0]` have weights `[0.667, 0.667, 0.667, 2.0]`.

# %% task="02.5"
def answer_02_5(labels):
    """Return a weight for each film, float [n]; labels is an array of 0 and 1."""
    ### BEGIN SOLUTION
    counts = np.bincount(labels, minlength=2)
    return len(labels) / (2 * counts[labels])
    ### END SOLUTION

# %% check="02.5"
check("02.5", answer_02_5)

# %% [markdown]
# ## 02.6 · Fit on one side, score on the other (3 points)
#
# Fit `LogisticRegression(max_iter=1000)` on the training features as they come, and return the **AUC on the validation films**, one number.
#
# (`head = LogisticRegression(max_iter=1000).fit(x, y)` learns from features x and labels y; `head.predict_proba(x)` gives two columns, one for each class.)

# %% task="02.6"
def answer_02_6(train_x, train_y, val_x, val_y):
    """Return the AUC on validation of a head fitted on training."""
    ### BEGIN SOLUTION
    head = LogisticRegression(max_iter=1000).fit(train_x, train_y)
    return float(roc_auc_score(val_y, head.predict_proba(val_x)[:, 1]))
    ### END SOLUTION

# %% check="02.6"
check("02.6", answer_02_6)

# %% [markdown]
# ## Put it together
#
# Your functions of 02.3, 02.4 and 02.6, on features of the real network: films in as you prepare them, standardised your way, scored your way.
#
# *Expect* an AUC clearly above 0.5. How far above depends on films and backbone, and so few validation films make a wide interval.
#
# *Then try:* divide the films by 255 in 02.3 and run this again. The AUC stays well above 0.5, because standardising stretches tiny differences. A good number does not prove that the input was right.

# %%
def some(split, n):
    rows = films.index(split)
    return rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int)]

rows = {"train": some("train", 200), "val": some("val", 80)}
shown = {split: np.stack([batches.plain_view(np.asarray(films.images[row]), config.image_size) for row in rows[split]]) for split in rows}
few = np.array([[0.0], [1.0], [0.2], [0.9]])
ready = all(result is not None for result in (answer_02_3(shown["train"]), answer_02_4(np.eye(2), np.eye(2)), answer_02_6(few, [0, 1, 0, 1], few, [0, 1, 0, 1])))
if not ready:
    print("This runs once 02.3, 02.4 and 02.6 return something.")
else:
    raw = {split: features_of.predict(answer_02_3(shown[split]), verbose=0).astype("float64") for split in rows}
    train_x, val_x = answer_02_4(raw["train"], raw["val"])
    auc = answer_02_6(train_x, films.labels[rows["train"]], val_x, films.labels[rows["val"]])
    print(f"{len(rows['train'])} training and {len(rows['val'])} validation films ({where}): AUC {auc if auc is None else round(auc, 3)}.")

# %% [markdown]
# ## Quiz, and where you stand

# %% tags=["expected"]
quiz("02")

# %%
progress("02")

# %% [markdown]
# **Next:** [03_fine_tuning](03_fine_tuning.ipynb), after notebook 03.
