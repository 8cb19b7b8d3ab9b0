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
# # Exercises 03 · Fine-tuning
#
# **What you will be able to do after this set**
#
# - read a learning curve, and tell memorising from noise and from haste;
# - choose augmentation by one question: could this film have been taken so?
# - write the three rules that fine-tuning leans on: batch normalisation at rest, the learning rate's way up and down, and patience.
#
# **Minutes:** 50 for you, seconds for the computer. **Before:** notebook 03. No TensorFlow, no download.
#
# Six tasks. Write where it says *your code here*, run the cell, then run the check below it. A check says what is right and what your answer
# looks like. `hint("03.1")` gives three hints, one at each call. Nothing is sent anywhere.

# %%
# On Colab this installs the kit and nothing else; anywhere else it does nothing.
import os
KIT = os.environ.get("CXRKIT_SOURCE", "git+https://github.com/cxrkit/cxrkit")
if "COLAB_RELEASE_TAG" in os.environ:
    %pip install --quiet "{KIT}"

# %%
import matplotlib.pyplot as plt
import numpy as np

from cxrkit import plots
from cxrkit.checks import check, hint, progress, quiz, worlds

print("The histories below are computed from formulas, so that each tells one story. No network was trained for them.")

# %% [markdown]
# ## 03.1 · Which epoch is kept? (1 point)
#
# A fine-tuning run of ten epochs. The rule of the course: the epoch with the greatest validation AUC is kept; where two are level, the one with the lower validation loss.
#
# *Predict before you read the table:* will it be the last epoch?

# %%
history = worlds.history()
figure, axes = plt.subplots(1, 2, figsize=(7, 2.5), layout="constrained")
for name, style in (("loss", dict(color="#0173b2")), ("val_loss", dict(color="#d55e00", linestyle="--"))):
    axes[0].plot(history["epoch"], history[name], label=name, **style)
axes[1].plot(history["epoch"], history["val_auc"], color="#d55e00", linestyle="--", marker="s", label="val_auc")
for axis, name in zip(axes, ("loss", "AUC")):
    axis.set(xlabel="epoch", ylabel=name)
    axis.legend(fontsize=8)
plt.show()
ends = history.iloc[[0, -1]]
print(f"From the first to the last epoch: training loss {ends['loss'].iloc[0]:.2f} to {ends['loss'].iloc[1]:.2f}, "
      f"validation loss {ends['val_loss'].iloc[0]:.2f} to {ends['val_loss'].iloc[1]:.2f}, validation AUC {ends['val_auc'].iloc[0]:.3f} to {ends['val_auc'].iloc[1]:.3f}. "
      "In between it was better; the table has the numbers.")

# %%
history.drop(columns="phase").style.hide(axis="index").format(precision=3)

# %% task="03.1"
answer_03_1 = None  # the number of an epoch
### BEGIN SOLUTION
answer_03_1 = int(history.sort_values(["val_auc", "val_loss"], ascending=[False, True])["epoch"].iloc[0])
### END SOLUTION

# %% check="03.1"
check("03.1", answer_03_1)

# %% [markdown]
# ## 03.2 · Four curves, four stories (2 points)
#
# Each picture tells one of these; each story is told once.
#
# | word | story |
# | --- | --- |
# | `memorises` | the network learns its training films by heart |
# | `still_learning` | both curves are still falling: it was stopped too early |
# | `too_fast` | the learning rate is too high |
# | `few_films` | there are too few validation films to tell epochs apart |

# %% tags=["expected"]
stories = worlds.stories()
figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.5), layout="constrained", sharey=True)
for axis, (letter, table) in zip(axes, stories.items()):
    axis.plot(table["epoch"], table["loss"], color="#0173b2", label="training")
    axis.plot(table["epoch"], table["val_loss"], color="#d55e00", linestyle="--", label="validation")
    axis.set(title=letter, xlabel="epoch", ylim=(0, 1.6))
axes[0].set_ylabel("loss")
axes[0].legend(fontsize=8)
plt.show()
for letter, table in stories.items():
    jump = {name: table[name].diff().abs().mean() for name in ("loss", "val_loss")}
    print(f"{letter}: training {table['loss'].iloc[0]:.2f} to {table['loss'].iloc[-1]:.2f}, moving {jump['loss']:.2f} an epoch; "
          f"validation {table['val_loss'].iloc[0]:.2f} to {table['val_loss'].iloc[-1]:.2f} (lowest in epoch {table['val_loss'].idxmin() + 1}), moving {jump['val_loss']:.2f}.")

# %% task="03.2"
answer_03_2 = {"A": None, "B": None, "C": None, "D": None}  # a word of the table for each
### BEGIN SOLUTION
def story(table):
    """Ragged training: steps too large. Ragged validation alone: few films. Turning up: memorising. Else: not finished."""
    ragged = {name: (table[name].diff() > 0).mean() > 0.25 for name in ("loss", "val_loss")}
    if ragged["loss"] and table["loss"].diff().abs().mean() > 0.05:
        return "too_fast"
    if table["val_loss"].diff().abs().mean() > 0.05:
        return "few_films"
    return "memorises" if table["val_loss"].idxmin() < len(table) - 4 else "still_learning"

answer_03_2 = {letter: story(table) for letter, table in stories.items()}
### END SOLUTION

# %% check="03.2"
check("03.2", answer_03_2)

# %% [markdown]
# ## 03.3 · Which changes leave the diagnosis alone? (2 points)
#
# Somebody proposes to show the network changed films. Choose **all** changes after which a reader could be handed the film: taken of this very child, held as films are held, with the same diagnosis.

# %%
changes = worlds.changes()
for letter, change in changes.items():
    print(f"{letter}: {change}")

# %% [markdown]
# Some of them, on a phantom film, without letters:

# %% tags=["expected"]
from PIL import Image

film = Image.fromarray(worlds.films().images[8])
side = film.width
views = {
    "as taken": film, "turned 5°": film.rotate(5), "cropped": film.crop((4, 4, side - 3, side - 3)).resize((side, side)),
    "mirrored": film.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "upside down": film.rotate(180), "stretched": film.crop((side // 4, 0, 3 * side // 4, side)).resize((side, side)),
}
plots.film_grid([np.asarray(view) for view in views.values()], list(views), columns=6, phantom=True, title="One film, changed")
plt.show()
print("The same film six times: " + ", ".join(views) + ". In the mirrored one the heart, a large pale shape, is on the other side.")

# %% task="03.3"
answer_03_3 = []  # letters, such as ["a", "b"]
### BEGIN SOLUTION
kept = ("turn the film by up to 5 degrees", "brighter or darker", "cut out", "contrast")
answer_03_3 = [letter for letter, change in changes.items() if any(word in change for word in kept)]
### END SOLUTION

# %% check="03.3"
check("03.3", answer_03_3)

# %% [markdown]
# ## 03.4 · Batch normalisation at rest (2 points)
#
# While the backbone is fine-tuned, its batch-normalisation layers stay **at rest**: they use the mean and variance that they have *stored*, not those of the batch in hand.
#
# - `batch` is `[films, channels]`; `mean`, `variance`, `gamma`, `beta` have one number a channel.
# - Subtract the mean, divide by the root of (variance + 0.001), times gamma, plus beta.

# %% task="03.4"
def answer_03_4(batch, mean, variance, gamma, beta):
    """Return the layer's output, float [films, channels], with stored statistics."""
    ### BEGIN SOLUTION
    return gamma * (batch - mean) / np.sqrt(variance + 0.001) + beta
    ### END SOLUTION

# %% check="03.4"
check("03.4", answer_03_4)

# %% [markdown]
# ## 03.5 · Up, then down (3 points)
#
# The learning rate of one step. Steps count from 0 to `total` - 1.
#
# - In the first `warmup` steps it rises in a straight line: `peak` × (step + 1) / `warmup`.
# - Then it falls along **half a cosine wave**, from `peak` where the warm-up ends to 0 where training ends.

# %% task="03.5"
def answer_03_5(step, warmup, total, peak):
    """Return the learning rate of a step."""
    ### BEGIN SOLUTION
    if step < warmup:
        return peak * (step + 1) / warmup
    way = (step - warmup) / (total - warmup)
    return peak * (1 + np.cos(np.pi * way)) / 2
    ### END SOLUTION

# %% check="03.5"
check("03.5", answer_03_5)

# %% [markdown]
# What yours should look like:

# %% tags=["expected"]
steps = np.arange(400)
rates = [answer_03_5(int(step), 40, 400, 3e-4) for step in steps]
if not all(isinstance(rate, (int, float, np.number)) for rate in rates):
    print("This figure is drawn once 03.5 returns a number.")
else:
    figure, axis = plt.subplots(figsize=(5, 2.4), layout="constrained")
    axis.plot(steps, rates, color="#0173b2")
    axis.set(xlabel="step", ylabel="learning rate", title="Warm-up of 40 steps, 400 in all, peak 3e-4")
    plt.show()
    print(f"From {rates[0]:.1e} up to {max(rates):.1e} in step {int(np.argmax(rates))}, then down to {rates[-1]:.1e}.")

# %% [markdown]
# ## 03.6 · Patience (3 points)
#
# After each epoch the validation films are scored. Training stops as soon as `patience` epochs **in a row** have brought nothing better than the best so far. Better means greater, not equal.
#
# Return two whole numbers, both counted from 1: how many epochs were run, and which epoch is kept.
#
# Example: AUCs `[0.80, 0.85, 0.84, 0.83, 0.90]`, patience 2. After epoch 4, two epochs in a row were no better than 0.85: run 4, keep 2. The 0.90 is never seen.

# %% task="03.6"
def answer_03_6(val_aucs, patience):
    """Return (epochs run, epoch kept)."""
    ### BEGIN SOLUTION
    best, kept, waited = -1.0, 0, 0
    for epoch, auc in enumerate(val_aucs, 1):
        if auc > best:
            best, kept, waited = auc, epoch, 0
        else:
            waited += 1
        if waited == patience:
            break
    return epoch, kept
    ### END SOLUTION

# %% check="03.6"
check("03.6", answer_03_6)

# %% [markdown]
# ## Quiz, and where you stand

# %% tags=["expected"]
quiz("03")

# %%
progress("03")

# %% [markdown]
# **Next:** [04_thresholds_and_calibration](04_thresholds_and_calibration.ipynb), after notebook 04.
