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
# # 02 · A frozen backbone and a head that learns
#
# **What you will be able to do after this notebook**
#
# - say what *transfer* means: which weights come from elsewhere, which learn here;
# - feed a network what it expects, and notice when you do not;
# - compute features once instead of in every epoch, and show that nothing changes but the time;
# - read a learning curve, and pick an epoch on validation patients.
#
# **Minutes:** 1 on `demo`, 2 on `laptop`; not timed on `paper`.

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
head_epochs: int = 0  # epochs of the head; 0: the profile's
views: int = 0  # views of each training film, the first plain, others augmented; 0: the profile's

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import cxrkit
from cxrkit import batches, evaluation, plots, stages

if drive and "COLAB_RELEASE_TAG" in os.environ:
    from google.colab import drive as google_drive
    google_drive.mount("/content/drive")
    os.environ["CXRKIT_RUNS"] = "/content/drive/MyDrive/cxrkit"
config = cxrkit.configure(profile, data=data, weights=weights, out=out, seed=seed, skip_bad=skip_bad, head_epochs=head_epochs or None, views=views or None)
dataset = cxrkit.load_dataset(config)
run = cxrkit.open_run(config, dataset)
if config.is_phantom:
    print("PHANTOM films: computed chests. Whatever is measured below says nothing about patients.")

# %% [markdown]
# ## Borrowed eyes
#
# A network that has seen a million photographs (ImageNet) has learned edges, textures and shapes. **Transfer learning** keeps those layers, the *backbone*, and puts a small new
# part, the *head*, on top. While the backbone is **frozen** its weights do not move at all; only the head learns.
#
# On the `demo` profile the backbone has never seen a photograph: it learned to read phantom chests (where is the heart, how thick is bone, where is air missing), never the label.
#
# *Predict:* what share of all weights does the head have?

# %%
# NBVAL_CHECK_OUTPUT
from cxrkit import model as networks

model = cxrkit.build_model(config)
backbone, head = networks.backbone_of(model), model.get_layer("head")
for name, part in (("backbone", backbone), ("head", head)):
    learning = sum(int(np.prod(w.shape)) for w in part.trainable_weights)
    print(f"{name:9} {part.count_params():>12,} weights, {learning:>6,} of them learn")
print(f"The head has {head.count_params() / model.count_params():.4%} of all weights: one for each of {head.input_shape[-1]} features, and a bias.")

# %% [markdown]
# A film goes through four steps: the grey values are given three times (the backbone expects colour), the backbone turns them into small maps,
# *global average pooling* takes each map's mean, and the head weighs those means into one number, the **logit**. Above 0 it leans to pneumonia.
# The probability is 1 ÷ (1 + e^−logit), the *sigmoid* of the logit: 0 is 50 %, 2 is 88 %, −2 is 12 %.

# %%
for layer in model.layers:
    shape = getattr(layer, "output_shape", None) or layer.output.shape
    print(f"{layer.name:18} → {tuple(shape)}")

# %% [markdown]
# ## The commonest silent bug
#
# Many tutorials divide pixels by 255 first. EfficientNetV2 in Keras has its own scaling of 0 to 255 **inside**. Do it twice, and every film becomes almost black *to the network*. Nothing crashes.
#
# *Predict:* what will the features of ten different films look like if the films are divided by 255 first?

# %%
extractor = networks.feature_extractor(model)
ten = np.stack([np.asarray(dataset.images[row]) for row in dataset.index("train")[:10]])
ten = np.stack([batches.plain_view(film, config.image_size) for film in ten])[..., None]
right, twice = extractor.predict(ten, verbose=0), extractor.predict(ten / 255.0, verbose=0)
print(f"How much the features differ from film to film (mean standard deviation): {right.std(axis=0).mean():.5f}")
print(f"The same after dividing by 255 first:                                     {twice.std(axis=0).mean():.5f}")
print(f"To the network the films are now {right.std(axis=0).mean() / twice.std(axis=0).mean():.0f} times more alike.")

# %% [markdown]
# Training would run without a word of warning, on features that hardly differ. So the kit refuses such films:

# %%
try:
    networks.check_pixel_range(ten / 255.0)
except cxrkit.CxrkitError as error:
    print(error)

# %% [markdown]
# ## Seven words of training
#
# Films are shown in small groups, **batches**. After each batch every weight that learns moves a little in the direction that makes the **loss** smaller: the loss (here *binary cross-entropy*) says how far the stated
# probabilities are from the truth. That direction is the **gradient**, the size of the move is set by the **learning rate**, and the rule for moving is the **optimiser**. One pass over all training films is an **epoch**.
# And **dropout** sets a random part of the features to 0 while training, so that the head does not lean on a few of them.

# %% [markdown]
# ## What is computed twice for nothing?
#
# The textbook loop runs every film through backbone *and* head in every epoch. But a frozen backbone gives the same film the same features each time.
# So run it **once**, keep the features, and let the head train on them.
#
# *Predict:* will the head come out the same? How much faster will it be?
#
# To compare fairly we take a part of the training films and a few epochs, and give both ways the same order of films, the same class weights and the same dropout.

# %%
from cxrkit.data import Dataset

def some(split, n):
    rows = dataset.index(split)
    return rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int)]

few = np.concatenate([some("train", 256), some("val", 128)])
small = Dataset(dataset.name, dataset.images[few], dataset.labels[few], dataset.table.iloc[few].reset_index(drop=True))
trial = config.replace(head_epochs=4)
print(f"{len(small.index('train'))} training and {len(small.index('val'))} validation films, {trial.head_epochs} epochs")

# %%
textbook_model, once_model = cxrkit.build_model(trial), model  # the same weights in both: `model` has learned nothing yet
untrained = head.get_weights()

start = time.perf_counter()
textbook = cxrkit.train_head(textbook_model, small, trial)
seconds_textbook = time.perf_counter() - start

start = time.perf_counter()
kept = {split: cxrkit.compute_features(once_model, small, trial, split) for split in ("train", "val")}
once = cxrkit.train_head(once_model, small, trial, kept)
seconds_once = time.perf_counter() - start

# %%
print(f"From start to end: textbook {seconds_textbook:.1f} s, features once {seconds_once:.1f} s, {seconds_textbook / seconds_once:.1f} times as fast.")
print(f"Each further epoch: textbook {textbook['seconds'][1:].mean():.2f} s, features once {once['seconds'][1:].mean():.2f} s.")
pd.DataFrame({"epoch": textbook["epoch"], "loss, textbook": textbook["loss"], "loss, features once": once["loss"],
              "difference": (textbook["loss"] - once["loss"]).abs()}).style.format(precision=6).hide(axis="index")

# %% [markdown]
# The differences are float noise: the same head, for less time. The gain grows with the epochs, since the textbook loop pays for the backbone again in each, and the other way pays once.
# (The first line includes compiling; seconds vary from machine to machine.)
#
# *What we gave up:* with features computed once, a film cannot be augmented freshly in every epoch. The middle way is to compute a few augmented **views** of each film; `views` says how many.

# %% [markdown]
# ## The frozen phase
#
# Now on all films. The backbone runs once over training, validation and test films. The test features are only turned into predictions that go sealed into the run folder.
#
# If this run has the stage already, with the same settings, it is taken from there.

# %%
balance = batches.sample_weights(dataset.labels[dataset.index("train")], config.class_weights)
for label, name in enumerate(["normal", "pneumonia"]):
    print(f"A {name} film counts {balance[dataset.labels[dataset.index('train')] == label][0]:.2f} times, so that both classes count alike.")

if run.is_current("frozen"):
    stages.load_head(model, run)
    print(f"The frozen phase was run here before ({run.manifest['stages']['frozen']['seconds']:.0f} s then); its head and history are used.")
else:
    head.set_weights(untrained)  # the head forgets the trial above; the backbone never moved
    with run.stage("frozen"):
        features = {"train": cxrkit.compute_features(model, dataset, config, "train", config.views)}
        for split in ("val", "test"):
            features[split] = cxrkit.compute_features(model, dataset, config, split)
        cxrkit.train_head(model, dataset, config, features, run)
        stages.save_frozen(model, run, features)

# %% [markdown]
# ## Read the curve
#
# *Predict before you look:* will the training loss be below or above the validation loss, and why might it be either?

# %%
history = run.read_history()
frozen = history[history["phase"] == "frozen"]
plots.learning_curves(frozen, phantom=config.is_phantom)
plt.show()
print(plots.read_learning_curves(frozen))

# %% [markdown]
# Above: dropout makes training harder than validation, and the training loss is an average *while* the head was still learning. Below: the head fits its own films more closely than others.
# And either way: the training loss weighs both classes alike, while the validation loss counts films as they come. Where such effects balance, the curves run close together or cross.
#
# The head kept is the one of the epoch with the best **validation AUC**, not the last one, and not the one with the lowest training loss.

# %%
val = run.read_predictions("frozen", "val")
block = evaluation.evaluate(val["label"], val["probability"], groups=val.get("patient"), bootstrap=config.bootstrap, seed=seed)
low, high = block["intervals"]["auc"]
print(f"Frozen phase, {block['n']} validation films{' (phantom)' if config.is_phantom else ''}: AUC {block['auc']:.3f} (95 % interval {low:.3f} to {high:.3f}).")
if run.has("baseline"):
    base = run.read_predictions("baseline", "val")
    block = evaluation.evaluate(base["label"], base["probability"], groups=base.get("patient"), bootstrap=config.bootstrap, seed=seed)
    low, high = block["intervals"]["auc"]
    print(f"Pixel baseline, the same films: AUC {block['auc']:.3f} ({low:.3f} to {high:.3f}).")
    difference, (low, high) = evaluation.auc_difference(val["label"], val["probability"], base["probability"], val.get("patient"), replicates=config.bootstrap, seed=seed)
    print(f"Frozen minus baseline, drawn together: {difference:+.3f} ({low:+.3f} to {high:+.3f}).")
else:
    print("The pixel baseline is made in notebook 01; run it to compare.")

# %% [markdown]
# Did transfer beat the pixels? Two intervals that do not overlap say yes. But *two that overlap do not say no* (a common misconception): both systems saw the same children, and a draw with hard films in it is hard for both.
# So the last line draws patients again and again, takes **both** AUCs on each draw, and gives the interval of their **difference**. Does it leave out 0?
#
# And ask what the transfer was worth: on phantom films the backbone learned from phantom chests, so its features fit these films as no photograph's would. It was even asked where air is missing, and an opacity is missing air: nearly the question itself. That is a lucky case.

# %% [markdown]
# ## Check yourself
#
# In the textbook loop, how many times in all does the backbone look at a film, with 4,000 training films and 10 epochs?

# %%
from cxrkit.checks import check

answer = None
passed = check("02.1", answer, films=4000, epochs=10)

# %% [markdown]
# ## What to remember
#
# - Frozen means: nothing in the backbone moves. What does not move needs to be computed once.
# - Know what your network expects. A wrong pixel range fails silently.
# - The best epoch is chosen on patients that were not trained on.
# - A difference needs an interval of its own, from films that both systems saw.
#
# **Practise:** [exercises 02](../exercises/02_frozen.ipynb). **Where next:** [03_fine_tuning](03_fine_tuning.ipynb).
#
# Films (where real ones are used): Kermany, Zhang and Goldbaum 2018, Mendeley Data, doi:10.17632/rscbjbr9sj.2, CC BY 4.0.
