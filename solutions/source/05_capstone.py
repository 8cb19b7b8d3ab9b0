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
# # Exercises 05 · Capstone: a hospital with a problem
#
# A hospital has trained a network, tested it, and is pleased. A second hospital tries it and is not. **You are asked why.** One of three things has gone wrong; which one depends on your name.
#
# **What you will be able to do after this set**
#
# - go from "it does not work there" to one cause, with numbers;
# - give the number that the first hospital should have reported;
# - say what to do, and what would only look like doing something.
#
# **Minutes:** 75 for you, half of one for the computer. **Before:** notebooks 01 to 04. No TensorFlow, no download.
#
# | word | what went wrong |
# | --- | --- |
# | `leakage` | children who were trained on stand in the test |
# | `marker` | the network reads the side letter on the film, which follows the label in the first hospital |
# | `prevalence` | nothing in the network: the ill are much rarer in the second hospital |

# %%
# On Colab this installs the kit and nothing else; anywhere else it does nothing.
import os
KIT = os.environ.get("CXRKIT_SOURCE", "git+https://github.com/cxrkit/cxrkit")
if "COLAB_RELEASE_TAG" in os.environ:
    %pip install --quiet "{KIT}"

# %% tags=["parameters"]
student: str = ""  # your name, as your course knows you: it draws your hospital

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from cxrkit import evaluation, plots
from cxrkit.checks import check, hint, progress, quiz, worlds
from cxrkit.checks.tasks import world_seed

hospital = worlds.hospital(world_seed("05", student))
films = hospital.films
print("PHANTOM films: computed chests. Whatever is measured below says nothing about patients.")
print(f"The hospital of '{student or 'nobody (write your name into the parameters)'}':")
films.groupby(["site", "split"]).agg(films=("label", "size"), children=("patient", "nunique"))

# %% [markdown]
# One row a film. `site` is "here" (the hospital that trained the network) or "there" (the second one); `marker` is the letter on the film, L or R, empty
# where none can be read; `probability` is what the network says. A film is flagged where that is at least 0.5.

# %%
films.sample(5, random_state=0).sort_index()

# %% [markdown]
# Look before you count. *Which of these would you call ill? Where is the letter, and is it always there?*

# %%
tested = films[(films["site"] == "here") & (films["split"] == "test")]
rng = np.random.default_rng(5)
rows = np.concatenate([rng.choice(tested.index[tested["label"] == label], 5, replace=False) for label in (0, 1)])
names = [f"{'ill' if films['label'][row] else 'healthy'} {films['marker'][row]}" for row in rows]
plots.film_grid(hospital.images[rows], names, columns=5, phantom=True, title="Test films here")
plt.show()
print(f"Above five healthy, below five ill children; letters: {', '.join(films['marker'][row] or 'none' for row in rows)}.")

# %% [markdown]
# ## 05.1 · The ranking, here and there (2 points)
#
# The network's AUC on the **test films here**, and on the films **there**.

# %% task="05.1"
answer_05_1 = {"here": None, "there": None}
### BEGIN SOLUTION
groups = {"here": films[(films["site"] == "here") & (films["split"] == "test")], "there": films[films["site"] == "there"]}
answer_05_1 = {site: roc_auc_score(group["label"], group["probability"]) for site, group in groups.items()}
### END SOLUTION

# %% check="05.1"
check("05.1", answer_05_1, student=student)

# %% [markdown]
# ## 05.2 · The decisions, here and there (2 points)
#
# At threshold 0.5: sensitivity, specificity and PPV, in both places. Which of them moved?

# %% task="05.2"
answer_05_2 = {"sensitivity_here": None, "specificity_here": None, "ppv_here": None,
               "sensitivity_there": None, "specificity_there": None, "ppv_there": None}
### BEGIN SOLUTION
answer_05_2 = {}
for site, group in groups.items():
    table = evaluation.at_threshold(group["label"], group["probability"], 0.5)
    answer_05_2 |= {f"sensitivity_{site}": table["recall"], f"specificity_{site}": table["specificity"], f"ppv_{site}": table["precision"]}
### END SOLUTION

# %% check="05.2"
check("05.2", answer_05_2, student=student)

# %% [markdown]
# ## 05.3 · Who was tested? (2 points)
#
# What share of the **test films here** shows a child who was trained on?

# %% task="05.3"
answer_05_3 = None  # a share, such as 0.5
### BEGIN SOLUTION
test, train = groups["here"], films[films["split"] == "train"]
known = test["patient"].isin(train["patient"])
answer_05_3 = float(known.mean())
### END SOLUTION

# %% check="05.3"
check("05.3", answer_05_3, student=student)

# %% [markdown]
# ## 05.4 · What does the letter know? (2 points)
#
# Leave the films without a letter out. At each site (all its films), what share of the **ill** has an L, and what share of the **healthy**? If the letter knows nothing, the two are about alike: among so few children up to twenty points apart can be chance.

# %% task="05.4"
answer_05_4 = {"here_ill": None, "here_healthy": None, "there_ill": None, "there_healthy": None}
### BEGIN SOLUTION
lettered = films[films["marker"] != ""]
answer_05_4 = {f"{site}_{who}": float((lettered["marker"][(lettered["site"] == site) & (lettered["label"] == label)] == "L").mean())
               for site in ("here", "there") for who, label in (("ill", 1), ("healthy", 0))}
### END SOLUTION

# %% check="05.4"
check("05.4", answer_05_4, student=student)

# %% [markdown]
# ## 05.5 · Name the problem (3 points)
#
# `"leakage"`, `"marker"` or `"prevalence"`? You have all the numbers that you need. Write down in a sentence which of them speaks *against* each of the other two.

# %% task="05.5"
answer_05_5 = None  # one of the three words
### BEGIN SOLUTION
if answer_05_3 > 0.2:
    answer_05_5 = "leakage"
elif answer_05_4["here_ill"] - answer_05_4["here_healthy"] > 0.4:
    answer_05_5 = "marker"
else:
    answer_05_5 = "prevalence"
### END SOLUTION

# %% check="05.5"
check("05.5", answer_05_5, student=student)

# %% [markdown]
# ## 05.6 · Take it away and measure again (3 points)
#
# One number, by the line of your problem. AUC, sensitivity and specificity come from the **test films here**; only the share of ill films comes from there:
#
# - `leakage`: the AUC on the films of children who were **not** trained on;
# - `marker`: the AUC among the films with an L, the AUC among those with an R, and the **mean of the two**;
# - `prevalence`: the PPV that was to be **expected** there, from sensitivity and specificity here and the share of ill films there.

# %% task="05.6"
answer_05_6 = None  # a share, such as 0.5
### BEGIN SOLUTION
if answer_05_5 == "leakage":
    answer_05_6 = roc_auc_score(test["label"][~known], test["probability"][~known])
elif answer_05_5 == "marker":
    answer_05_6 = np.mean([roc_auc_score(part["label"], part["probability"]) for part in (test[test["marker"] == letter] for letter in "LR")])
else:
    rare = groups["there"]["label"].mean()
    caught, alarms = answer_05_2["sensitivity_here"] * rare, (1 - answer_05_2["specificity_here"]) * (1 - rare)
    answer_05_6 = caught / (caught + alarms)
### END SOLUTION

# %% check="05.6"
check("05.6", answer_05_6, student=student)

# %% [markdown]
# ## 05.7 · What would you do? (2 points)
#
# | word | what it means |
# | --- | --- |
# | `split_by_patient` | split anew, whole children, train and test again |
# | `hide_marker` | cover the letter on every film, train and test again |
# | `move_prevalence` | keep the network; move its probabilities to the share of ill children there, choose the threshold again |
# | `more_epochs` | train longer on the same films |
# | `bigger_network` | take a network with more weights |
# | `lower_threshold` | flag more films |

# %% task="05.7"
answer_05_7 = None  # one of the six words
### BEGIN SOLUTION
answer_05_7 = {"leakage": "split_by_patient", "marker": "hide_marker", "prevalence": "move_prevalence"}[answer_05_5]
### END SOLUTION

# %% check="05.7"
check("05.7", answer_05_7, student=student)

# %% [markdown]
# Both places in one picture: here as reported, and there.

# %%
plots.roc_curves({site: (group["label"], group["probability"]) for site, group in
                  (("here", tested), ("there", films[films["site"] == "there"]))}, phantom=True)
plt.show()
print(plots.read_roc_curves({site: (group["label"], group["probability"]) for site, group in
                             (("here", tested), ("there", films[films["site"] == "there"]))}))

# %% [markdown]
# ## Write it up
#
# Half a page for the head of the first hospital. What was reported, what is true, how you know, what you would do, and **one thing that these numbers cannot tell**. This part is for a person to read.

# %% [markdown]
# ## Quiz, and where you stand

# %% tags=["expected"]
quiz("05")

# %%
progress("05")

# %% [markdown]
# **Next:** try another name. Can you tell the three problems apart from the answers to 05.1 and 05.2 alone?
