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
# # 03 · Fine-tuning: the backbone learns too
#
# **What you will be able to do after this notebook**
#
# - say why fine-tuning starts from a trained head and with small steps;
# - choose augmentation that is right for chest films, and reject one that is not;
# - keep batch normalisation from forgetting, and keep the right epoch;
# - interrupt training and go on without losing more than one epoch.
#
# **Minutes:** 3 on `demo`, 15 on `laptop`; not timed on `paper`.

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
fine_tune_epochs: int = 0  # epochs at most; 0: the profile's

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import cxrkit
from cxrkit import batches, evaluation, plots, stages, training
from cxrkit import model as networks

if drive and "COLAB_RELEASE_TAG" in os.environ:
    from google.colab import drive as google_drive
    google_drive.mount("/content/drive")
    os.environ["CXRKIT_RUNS"] = "/content/drive/MyDrive/cxrkit"
config = cxrkit.configure(profile, data=data, weights=weights, out=out, seed=seed, skip_bad=skip_bad, fine_tune_epochs=fine_tune_epochs or None)
dataset = cxrkit.load_dataset(config)
run = cxrkit.open_run(config, dataset)
if config.is_phantom:
    print("PHANTOM films: computed chests. Whatever is measured below says nothing about patients.")

# %% [markdown]
# ## Start from the frozen phase
#
# Why not train everything from the first step? At the start the head is random, and its errors send large, meaningless corrections down into the backbone.
# First the head learns; then both move together, gently.

# %%
stages.ensure(run, "frozen")
model = stages.make_frozen(run)
val_before = run.read_predictions("frozen", "val")
block = evaluation.evaluate(val_before["label"], val_before["probability"], groups=val_before.get("patient"), bootstrap=config.bootstrap, seed=seed)
print(f"After the frozen phase: validation AUC {block['auc']:.3f} ({block['intervals']['auc'][0]:.3f} to {block['intervals']['auc'][1]:.3f}){', phantom' if config.is_phantom else ''}.")

# %% [markdown]
# ## Augmentation: which changes leave the diagnosis alone?
#
# An augmented view shows the same child as another technician might have taken the film. *For each of these, predict: would a radiologist's answer stay the same, and would you use it?*
#
# Turned by a few degrees · a part of the film, enlarged · brighter or darker · more or less contrast · upside down · mirrored.
#
# <details><summary>Look, once you have decided</summary>
#
# | change | used here? | why |
# | --- | --- | --- |
# | rotate by a few degrees | yes | children do not lie straight |
# | crop a part, resize | yes | films are collimated differently; the network cannot lean on the borders |
# | brighter or darker, more or less contrast | yes | exposure and printing differ between hospitals |
# | upside down | never | no chest film is read that way, so nothing is learned from it |
# | mirrored | off | a mirror puts the heart on the right: a rare, real finding (dextrocardia), and not true of this child |
#
# </details>

# %%
film = np.asarray(dataset.images[dataset.index("train")[1]])
views = [batches.plain_view(film, config.image_size)]
views += [batches.augmented_view(film, config, np.random.default_rng([seed, k])) for k in range(5)]
titles = ["plain"] + ["augmented"] * 5
plots.film_grid(views, titles, columns=6, phantom=config.is_phantom, title="One film, six views")
plt.show()
print(f"The same film plain and in five random views: crops of at least {config.crop_area:.0%} of its area, up to {config.rotation:g}° turned, "
      f"contrast ± {config.contrast:.0%}, brightness ± {config.brightness:.0%} of the range.")

# %% [markdown]
# Does augmentation help? In one trial on real films validation said no and the test split yes. One small network, trained twice (EfficientNetV2B0, 96 px, 3 epochs, one seed):
#
# | real films, our own trial | validation AUC | test AUC |
# | --- | --- | --- |
# | plain views | **0.999** | 0.960 |
# | crops of 15 to 100 %, rotation, jitter | 0.995 | **0.983** |
#
# (The `demo` profile crops gently, to nine tenths at the least; `laptop` and `paper` crop as in this table. They do not rotate: allowed, but in our study it was of no use.)
#
# Validation was cut from the training films, so it rewards a network that leans on how *those* films were framed and printed. Forced to look at parts of lungs, at changing brightness, a network seems to lean on that less.
# Whoever had chosen by validation alone would have thrown the better way away. (Each was opened on the test split in this trial, the first one twice with the same outcome. That strong crops do well there was known from published work that had looked often. Your own test split stays closed until notebook 04.)
#
# Can one choose without the test split? The [study](../study/README.md) tries it with validation films that it changed, so that how a film was made no longer gives its label away as easily. It carries some way, not far.

# %% [markdown]
# ## Small steps, warmed up, cooled down
#
# The learning rate starts near 0 (*warm-up*: the optimiser first learns how large the gradients are), rises to its peak, then falls along a cosine to 0, so that training ends at rest.
#
# *Predict:* where on this curve would one batch do the most damage to the borrowed weights?

# %%
steps = -(-len(dataset.index("train")) // config.batch_size)
rate = training.learning_rate_schedule(config, steps)
at = np.arange(config.fine_tune_epochs * steps)
figure, axis = plt.subplots(figsize=(6, 2.8), layout="constrained")
axis.plot(at / steps, [float(rate(int(step))) for step in at])
axis.set(xlabel="epoch", ylabel="learning rate", title="Warm-up and cosine decay")
plt.show()
print(f"From {float(rate(0)):.1e} up to {config.fine_tune_learning_rate:.1e} within {config.warmup_epochs:g} epochs, then down to {float(rate(int(at[-1]))):.1e}.")

# %% [markdown]
# At the peak, where a step is largest. A batch in the very first steps would be worse still if they were not so small: the optimiser does not know the gradients' size yet.

# %% [markdown]
# ## The trap of batch normalisation
#
# The backbone holds running means and variances of what it saw when it was pretrained. If fine-tuning updates them with small batches of films, the borrowed layers meet
# numbers they were not trained for. So the statistics **stay** as they are: *inference mode*.
#
# *A common misconception:* `backbone(x, training=False)` looks as if it did that. In the Keras that ran this course a model inside a model is handed
# `training=True` by `fit` all the same. Setting the batch-normalisation layers to `trainable = False` does hold. Count them:

# %%
# NBVAL_CHECK_OUTPUT
learning = networks.unfreeze(model, config.unfreeze)
print(f"{learning:,} weights learn now.")

# %%
layers = [layer for layer in networks.backbone_of(model).layers if layer.weights]
counts = pd.DataFrame({"kind of layer": [type(layer).__name__ for layer in layers], "learns": [bool(layer.trainable) for layer in layers]})
counts.value_counts().reset_index(name="layers").style.hide(axis="index")

# %% [markdown]
# ## Fine-tune
#
# After each epoch the validation patients are scored, and the epoch with the best validation AUC is the one that is kept; it need not be the last.
# Long trainings are also stopped early, when `patience` epochs have brought nothing better. The three profiles are so short that all their epochs are run: the small last steps of the cosine should happen.
#
# Interrupt it whenever you like (the ■ button) and run the cell again; or, after a crash, run the notebook again. It goes on from the last whole epoch,
# as if nothing had happened.

# %%
if run.is_current("fine_tuned"):
    print(f"Fine-tuning was run here before ({run.manifest['stages']['fine_tuned']['seconds']:.0f} s then); its predictions and history are used.")
else:
    print(f"Up to {config.fine_tune_epochs} epochs on {len(dataset.index('train'))} films, {stages.expected(config, 'fine_tuned')}.")
    model = stages.make_frozen(run)  # always from the frozen phase, also when this cell is run a second time
    with run.stage("fine_tuned"):
        cxrkit.fine_tune(model, dataset, config, run)
        stages.save_fine_tuned(model, run)

# %% [markdown]
# ## Both phases in one picture
#
# *Predict before you look:* at the dotted line the backbone starts to learn. Which of the curves will jump, and which way?

# %%
history = run.read_history()
plots.learning_curves(history, phantom=config.is_phantom)
plt.show()
print(plots.read_learning_curves(history))

# %%
history[history["phase"] == "fine_tuned"].drop(columns="phase").style.format(precision=6).hide(axis="index")

# %% [markdown]
# Read three signs. **Training better than validation, and parting:** the network memorises films. **Both still rising at the end:** more epochs might have helped.
# **Validation jagged:** few validation films; one film more or less right is not progress.
#
# And the jump at the dotted line? From there on training films are *augmented*, and so harder: the training loss goes up and the training accuracy down. It may stay worse than validation's without anything being wrong.
# Validation goes on from the head that was **kept**, the one of the best frozen epoch, and not from the last point before the line.

# %%
val = run.read_predictions("fine_tuned", "val")
after = evaluation.evaluate(val["label"], val["probability"], groups=val.get("patient"), bootstrap=config.bootstrap, seed=seed)
for name, b in (("frozen", block), ("fine-tuned, five views", after)):
    print(f"{name:22} validation AUC {b['auc']:.4f} ({b['intervals']['auc'][0]:.4f} to {b['intervals']['auc'][1]:.4f}), accuracy at 0.5 {b['at_half']['accuracy']:.1%}")
difference, (low, high) = evaluation.auc_difference(val["label"], val["probability"], val_before["probability"], val.get("patient"), replicates=config.bootstrap, seed=seed)
print(f"fine-tuned minus frozen, drawn together: {difference:+.4f} ({low:+.4f} to {high:+.4f})")

# %% [markdown]
# ## Five views, one answer
#
# Why does that line say *five views*, and why is its AUC not the one of the table above?
#
# A prediction can hang on where the film's edge happens to lie. So the network is asked several times: about the whole film, and about a crop into each of its four corners. The *logits*
# are averaged, and that is the prediction that the run keeps. Training costs nothing more; predicting takes five times as long.
#
# So the difference above has two parts. *Predict:* how much of it is fine-tuning, and how much the five views? (The table above, and the choice of the epoch, used the whole film alone.)

# %%
alone = history.loc[history["phase"] == "fine_tuned", "val_auc"].max()
print(f"Validation AUC{', phantom' if config.is_phantom else ''}: frozen {block['auc']:.4f}, fine-tuned {alone:.4f} (the whole film alone, {alone - block['auc']:+.4f}), "
      f"{config.test_views} views averaged {after['auc']:.4f} ({after['auc'] - alone:+.4f}).")

# %% [markdown]
# One such pair proves little, and on so few validation films less. In the [study](../study/README.md), on real films and with three seeds, five views were worth 0.001 ± 0.001: kept because they cost no training.

# %% [markdown]
# If your validation AUC is close to 1, is the problem solved? Write down the accuracy that you expect on the **test** split. Notebook 04 will compare.

# %% [markdown]
# ## Check yourself
#
# Which fine-tuning epoch was kept? Answer from the table above.

# %%
from cxrkit.checks import check

answer = None
passed = check("03.1", answer, history=history)

# %% [markdown]
# ## What to remember
#
# - Head first, then everything, with a learning rate that is small, warmed up and cooled down.
# - Augment with what could have happened at the X-ray machine, and with nothing else.
# - Batch-normalisation statistics stay frozen; make sure that they really do.
# - The validation patients choose the epoch. That makes validation a little optimistic: it has been looked at many times.
#
# **Practise:** [exercises 03](../exercises/03_fine_tuning.ipynb). **Where next:** [04_evaluation](04_evaluation.ipynb).
#
# Films (where real ones are used): Kermany, Zhang and Goldbaum 2018, Mendeley Data, doi:10.17632/rscbjbr9sj.2, CC BY 4.0.
