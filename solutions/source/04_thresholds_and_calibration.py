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
# # Exercises 04 · Thresholds and calibration
#
# **What you will be able to do after this set**
#
# - count sensitivity, specificity and PPV among the right children;
# - choose a threshold for a stated cost, and say what it buys;
# - put a calibration curve into numbers, and carry probabilities to a place where the disease is rarer.
#
# **Minutes:** 60 for you, seconds for the computer. **Before:** notebook 04. No TensorFlow, no download.
#
# Six tasks. Write where it says *your code here*, run the cell, then run the check below it. A check says what is right and what your answer
# looks like. `hint("04.1")` gives three hints, one at each call. Nothing is sent anywhere.
#
# Everywhere in the course a film is called pneumonia when its probability is **at least** the threshold: `>=`.

# %%
# On Colab this installs the kit and nothing else; anywhere else it does nothing.
import os
KIT = os.environ.get("CXRKIT_SOURCE", "git+https://github.com/cxrkit/cxrkit")
if "COLAB_RELEASE_TAG" in os.environ:
    %pip install --quiet "{KIT}"

# %% tags=["parameters"]
run_folder: str = ""  # run folder of the course; empty: the last section is left out

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from cxrkit import evaluation, plots
from cxrkit.checks import check, hint, progress, quiz, worlds

films = worlds.predictions()
print(f"{len(films)} validation films, {films['label'].mean():.0%} with pneumonia, and what a network says of each. The numbers are drawn at random, no film was taken.")
films.head()

# %% [markdown]
# ## 04.1 · A flagged child in a village (1 point)
#
# At threshold 0.5 the network has this sensitivity and this specificity. In a village **5 in 100** of the children who are X-rayed have pneumonia. Of the children whom the network flags there, what share is ill (the PPV)?
#
# *Predict before you compute:* more than half, or less?

# %%
here = evaluation.at_threshold(films["label"], films["probability"], 0.5)
print(f"Sensitivity {here['recall']:.3f}, specificity {here['specificity']:.3f}; PPV on these films, where {films['label'].mean():.0%} are ill: {here['precision']:.3f}.")

# %% task="04.1"
answer_04_1 = None  # a share, such as 0.5
### BEGIN SOLUTION
flagged_ill = here["recall"] * 0.05
flagged_healthy = (1 - here["specificity"]) * 0.95
answer_04_1 = flagged_ill / (flagged_ill + flagged_healthy)
### END SOLUTION

# %% check="04.1"
check("04.1", answer_04_1)

# %% [markdown]
# ## 04.2 · Among whom is it counted? (2 points)
#
# Write it yourself, without a library's metrics: from labels, probabilities and a threshold to **sensitivity** and **specificity**, two shares, in this order.
#
# | | called pneumonia | called normal |
# | --- | --- | --- |
# | **is ill** (label 1) | found | missed |
# | **is healthy** (label 0) | false alarm | left in peace |

# %% task="04.2"
def answer_04_2(labels, probabilities, threshold):
    """Return (sensitivity, specificity); labels and probabilities are arrays."""
    ### BEGIN SOLUTION
    called = probabilities >= threshold
    return called[labels == 1].mean(), (~called[labels == 0]).mean()
    ### END SOLUTION

# %% check="04.2"
check("04.2", answer_04_2)

# %% [markdown]
# ## 04.3 · The AUC (2 points)
#
# Take one ill and one healthy child at random. The AUC is the chance that the ill one has the higher score; level scores count a half.
#
# Return it for labels and probabilities, exactly: count *all* pairs, or use scikit-learn.

# %% task="04.3"
def answer_04_3(labels, probabilities):
    """Return the area under the ROC curve."""
    ### BEGIN SOLUTION
    ill, healthy = probabilities[labels == 1][:, None], probabilities[labels == 0][None, :]
    return float(np.mean((ill > healthy) + 0.5 * (ill == healthy)))
    ### END SOLUTION

# %% check="04.3"
check("04.3", answer_04_3)

# %% [markdown]
# ## 04.4 · A threshold for a stated cost (3 points)
#
# The head of the clinic says what errors cost: a **missed** pneumonia `cost_missed`, a **false alarm** `cost_alarm`. Find a threshold with the least total cost on these films.
#
# Costs differ from trial to trial; sometimes an alarm is the dearer error. Any threshold with the least cost will do.

# %% task="04.4"
def answer_04_4(labels, probabilities, cost_missed, cost_alarm):
    """Return a threshold with the least cost_missed x missed + cost_alarm x false alarms."""
    ### BEGIN SOLUTION
    def cost(threshold):
        called = probabilities >= threshold
        return cost_missed * ((labels == 1) & ~called).sum() + cost_alarm * ((labels == 0) & called).sum()

    return min(np.append(np.unique(probabilities), 1.001), key=cost)
    ### END SOLUTION

# %% check="04.4"
check("04.4", answer_04_4)

# %% [markdown]
# Below: the cost on our films when a miss costs ten alarms. Your threshold should stand at the lowest point of the curve. (Far to the right the cost leaves the picture.)

# %% tags=["expected"]
labels, probabilities = films["label"].to_numpy(), films["probability"].to_numpy()
at = np.linspace(0, 1, 101)
cost = [10 * ((labels == 1) & (probabilities < t)).sum() + ((labels == 0) & (probabilities >= t)).sum() for t in at]
mine = answer_04_4(labels, probabilities, 10, 1)
if not isinstance(mine, (int, float, np.number)):
    print("This figure is drawn once 04.4 returns a threshold.")
else:
    figure, axis = plt.subplots(figsize=(5, 2.6), layout="constrained")
    axis.plot(at, cost, color="#0173b2")
    axis.axvline(mine, color="#d55e00", linestyle="--")
    axis.set(xlabel="threshold", ylabel="cost (false alarms)", ylim=(0, 4 * min(cost)), title="A miss costs ten alarms (computed films)")
    plt.show()
    table = evaluation.at_threshold(labels, probabilities, min(float(mine), 1.0))["confusion"]
    print(f"At {mine:.3f}: {table['fn']} missed, {table['fp']} false alarms, cost {10 * table['fn'] + table['fp']}. At 0.5 it would be {cost[50]}.")

# %% [markdown]
# ## 04.5 · A calibration curve in numbers (2 points)
#
# Each point of the curve stands for the films of one bin. Compute, from `films`, for the bin **above 0.8, up to 0.9** (the plot is too coarse to read off):
#
# - `stated`: the mean probability that the network gives these films;
# - `observed`: the share of them that is ill;
# - `too_sure`: True if it states more than happens, else False.

# %%
systems = {"the network": (films["label"], films["probability"])}
plots.calibration_curve(systems)
plt.show()
print("A point below the diagonal: the network states more than happens. Above it: less. The bars are 95 % intervals; short ones hold many films.")

# %% task="04.5"
answer_04_5 = {"stated": None, "observed": None, "too_sure": None}
### BEGIN SOLUTION
inside = films[(films["probability"] > 0.8) & (films["probability"] <= 0.9)]
stated, observed = inside["probability"].mean(), inside["label"].mean()
answer_04_5 = {"stated": stated, "observed": observed, "too_sure": bool(stated > observed)}
### END SOLUTION

# %% check="04.5"
check("04.5", answer_04_5)

# %% [markdown]
# ## 04.6 · A calibrated network where pneumonia is rarer (3 points)
#
# A network learned where a share `then` of the children was ill. It is used where a share `now` is. The lungs look the same in both places; only the mix differs.
#
# Suppose for this task that its probabilities are calibrated where it learned (ours of 04.5 are not quite): of 100 films with probability *p*, 100·*p* are ill. In the other place each ill child counts `now / then` times as often, each healthy one
# `(1 - now) / (1 - then)` times. What share of the films is ill there?

# %% task="04.6"
def answer_04_6(probabilities, then, now):
    """Return the probabilities that fit the new prevalence, one for each."""
    ### BEGIN SOLUTION
    ill = probabilities * now / then
    healthy = (1 - probabilities) * (1 - now) / (1 - then)
    return ill / (ill + healthy)
    ### END SOLUTION

# %% check="04.6"
check("04.6", answer_04_6)

# %% [markdown]
# What yours should look like: the curve hangs below the diagonal, and its ends stay where they are.

# %% tags=["expected"]
p = np.linspace(0.001, 0.999, 200)
moved = answer_04_6(p, 0.6, 0.05)
if np.shape(moved) != p.shape or isinstance(np.ravel(moved)[0], str):
    print("This figure is drawn once 04.6 returns one probability for each.")
else:
    figure, axis = plt.subplots(figsize=(3.4, 3), layout="constrained")
    axis.plot([0, 1], [0, 1], color="0.6", linestyle=":")
    axis.plot(p, moved, color="#0173b2")
    axis.set(xlabel="probability where 60 in 100 are ill", ylabel="where 5 in 100 are ill", aspect="equal")
    plt.show()
    print(f"A film given 90 % where 60 in 100 are ill deserves {np.interp(0.9, p, moved):.0%} where 5 in 100 are.")

# %% [markdown]
# ## On your own run, if you have one
#
# The same functions on the validation predictions of a run of the course (`run_folder` in the parameters, such as `"../runs/laptop"`).

# %%
table = Path(run_folder) / "predictions_val.csv"
if not run_folder or not table.is_file():
    print("No run folder was given; nothing is missing for the tasks.")
else:
    mine = pd.read_csv(table)
    y, p = mine["label"].to_numpy(), mine["probability"].to_numpy()
    print(f"{len(mine)} validation films. At 0.5 (sensitivity, specificity): {answer_04_2(y, p, 0.5)}; AUC {answer_04_3(y, p)}; "
          f"threshold where a miss costs ten alarms: {answer_04_4(y, p, 10, 1)}.")

# %% [markdown]
# ## Quiz, and where you stand

# %% tags=["expected"]
quiz("04")

# %%
progress("04")

# %% [markdown]
# **Next:** [05_capstone](05_capstone.ipynb).
