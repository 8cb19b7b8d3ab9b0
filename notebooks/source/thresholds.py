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
# # The threshold lab
#
# Press **Run → Run All Cells**, then move the slider. Nothing here is a medical device.
#
# A film whose probability is at or above the threshold is called pneumonia. The threshold is chosen on validation films; the test split opens once, at the end, after you have locked it.

# %% tags=["parameters"]
source: str = ""  # a predictions file (path, label, probability and, where known, split, patient, subtype), or a finished run folder

# %%
from cxrkit.widgets import ThresholdLab

lab = ThresholdLab(source)
lab.explorer()

# %% [markdown]
# ## Cost
#
# How many false alarms is one missed pneumonia worth to you? Where is the cost least, and how wide is the stretch in which the choice hardly matters?

# %%
lab.costs()

# %% [markdown]
# ## Prevalence
#
# Set the share of the ill where the model would be used. Which bars move, and which stay?

# %%
lab.prevalence()

# %% [markdown]
# ## Calibration
#
# Of the films given 80 %, do 80 % show pneumonia? And where fewer are ill?

# %%
lab.calibration()

# %% [markdown]
# ## The films

# %%
lab.reader()

# %% [markdown]
# ## Lock and reveal

# %%
lab.reveal()
