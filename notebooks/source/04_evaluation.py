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
# # 04 · Lock the threshold, then open the test split
#
# **What you will be able to do after this notebook**
#
# - turn a probability into a decision by a rule that you can defend, and say what it costs;
# - read a confusion matrix as children, not as percentages;
# - say which numbers travel to a place where fewer are ill, and which do not;
# - tell whether 80 % means 80 in 100, and mend it where it does not;
# - put an interval on every number, and a baseline beside it;
# - explain why a model can be nearly perfect in validation and fall on the test split.
#
# **Minutes:** less than 1 on `demo` and `laptop` for the machine, once the stages are there (not timed on `paper`); 30 to 40 for you.

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
threshold_rule: str = ""  # sensitivity, half, youden or cost; empty: the profile's (sensitivity)
target_sensitivity: float = 0.0  # what the rule `sensitivity` must reach on validation; 0: the profile's (0.95)

# %%
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown

import cxrkit
from cxrkit import card, evaluation, plots, results, stages, widgets

if drive and "COLAB_RELEASE_TAG" in os.environ:
    from google.colab import drive as google_drive
    google_drive.mount("/content/drive")
    os.environ["CXRKIT_RUNS"] = "/content/drive/MyDrive/cxrkit"
config = cxrkit.configure(profile, data=data, weights=weights, out=out, seed=seed, skip_bad=skip_bad, threshold_rule=threshold_rule,
                          target_sensitivity=target_sensitivity or None)
dataset = cxrkit.load_dataset(config)
run = cxrkit.open_run(config, dataset)
phantom = config.is_phantom
if phantom:
    print("PHANTOM films: computed chests. Whatever is measured below says nothing about patients.")

# %% [markdown]
# If an earlier stage is missing from this run, it is made now; otherwise this notebook needs no TensorFlow.

# %%
stages.ensure(run, "baseline", "frozen", "fine_tuned")
names = {"baseline": "pixel baseline", "frozen": "frozen", "fine_tuned": "fine-tuned"}
val = run.read_predictions("fine_tuned", "val")

# %% [markdown]
# ## From probability to decision
#
# The network gives each film a probability. A clinic needs a decision. Between the two stands one number, the **threshold**: films at or above it are called pneumonia.
#
# Two ways to be wrong, and they do not cost the same. A **false negative** sends an ill child home. A **false positive** calls a healthy one in for another look. The paper that this course
# reproduces (notebook 00) says it plainly: false negatives come first.
#
# A film stands for a child below, as if each child had one; where a child has several, the intervals of AUC and F1 take it into account.
#
# Until you lock a threshold, everything below is **validation**. The test films stay in their file, unread.
#
# *Predict, before you move anything.* Write your answers down:
#
# 1. You lower the threshold. What happens to the sensitivity (the share of the ill that is found)? And to the specificity (the share of the healthy that is left in peace)?
# 2. Is there a threshold at which nobody ill is sent home? What would it do to the healthy?
#
# ## Move it
#
# Drag the slider, press the arrow keys on it, or type a number. (Without a running kernel you see a picture in its place: run the cell.)

# %%
lab = widgets.ThresholdLab(run, threshold=0.5, target=100 * config.target_sensitivity)
lab.explorer()

# %% [markdown]
# Did you write down that sensitivity rises and specificity falls? Both, always, or they stand still. And at 0 nobody is missed, because everybody is flagged.
#
# **Films.** In the live view ill films grow upwards, normal ones downwards; hatched bars are on the wrong side of the dashed line: missed above, false alarms below. (In the still picture hatching marks pneumonia.)
# Every film that changes sides moves to the neighbouring cell of its row of the matrix: one count falls by 1, the other rises by 1.
#
# **ROC** (receiver operating characteristic; the area under it is the AUC, the chance that an ill film scores above a normal one). Every threshold is one point of this curve; the cross is yours. Moving the threshold slides the cross along the curve. It cannot leave it: a threshold buys sensitivity with specificity, and only a better model lifts the curve.
#
# **Precision and recall.** Precision, or PPV: of the films that are called pneumonia, how many are? Recall is another word for sensitivity. The dotted line is what calling *every* film pneumonia would give.
# The area under this curve is the PR-AUC; **F1** is the harmonic mean of precision and recall at your threshold.
#
# **Rates.** In the live view the small figures are 95 % intervals, by Wilson's formula for a share that was counted. Look at how wide they are for the normal films, of which there are few.
#
# *Explain* to a neighbour, or to yourself on paper: why does the sensitivity move in jumps and not smoothly?
#
# ## Four rules
#
# Moving by eye until it looks good is not a rule. Four that can be written down before anybody looks:
#
# - **sensitivity**: among thresholds that find at least 95 % of the ill, the one that leaves most healthy children in peace; of equals, the lowest.
# - **half**: 0.5, because it is there.
# - **youden**: the greatest sensitivity + specificity.
# - **cost**: a missed pneumonia counts as ten false alarms.
#
# The buttons above apply them. The table does so to the same *validation* patients, all four side by side.

# %%
rows = {}
for rule in ("sensitivity", "half", "youden", "cost"):
    chosen = evaluation.choose_threshold(val["label"], val["probability"], rule, target_sensitivity=config.target_sensitivity)
    table = evaluation.at_threshold(val["label"], val["probability"], chosen)
    counts = table["confusion"]
    rows[rule] = {"threshold": f"{chosen:.3f}", "sensitivity": f"{table['recall']:.1%}", "specificity": f"{table['specificity']:.1%}",
                  "missed": counts["fn"], "false alarms": counts["fp"]}
pd.DataFrame.from_dict(rows, orient="index").rename_axis(f"rule, on validation films{' (phantom)' if phantom else ''}")

# %% [markdown]
# ## What does a mistake cost?
#
# The rule `cost` needs an exchange rate: how many false alarms is one missed pneumonia worth? A false alarm is a second look and a worried evening. A missed pneumonia is an ill child at home.
#
# *Predict:* you raise the price of a miss from 10 to 50. Which way does the cheapest threshold go?

# %%
lab.costs()

# %% [markdown]
# A dearer miss pulls the cheapest threshold down, because more false alarms become a fair price; or it leaves it where it is, if nobody is missed there already.
#
# Left: what each threshold costs per 100 children, in false alarms' worth. The dotted line marks the least; within the grey stretch it is at most one false alarm more. **A wide grey stretch means that
# you need not quarrel about the exact number.** A narrow one can hang on a single film that costs as much as ten: look whether the curve comes as low again elsewhere.
#
# Right: the **decision curve**. It asks whether the model is worth having at all. Flagging everybody (dashed) needs no model; flagging nobody (dotted) is the zero line. Where the solid line is not above both,
# leave the model in its box. Here a threshold is read as an exchange rate too: acting at 20 % says that one found pneumonia is worth four false alarms.
# Net benefit is (found − false alarms × t ÷ (1 − t)) ÷ films, at the threshold t. Read as an exchange rate, 10 to 1 would mean acting at 1 ÷ 11, about 9 %; the cheapest threshold on these films can lie elsewhere,
# because that sum holds only for honest probabilities. Are they?
#
# ## What travels to another place?
#
# In this training set about three films in four show pneumonia, as in a hospital that X-rays children who are already suspected. In a village clinic it may be 5 in 100.
#
# *Predict:* at the same threshold, the share of the ill falls to 5 %. Which of these change: sensitivity, specificity, PPV (of the flagged, the share that is ill), NPV (of the others, the share that is healthy)?
#
# Then set the prevalence to 5 % below.

# %%
lab.prevalence()

# %% [markdown]
# Sensitivity asks only the ill, specificity only the healthy: neither knows how many of each there are, so neither moves. PPV and NPV mix the two groups, and follow the mix.
# A model that was praised for its precision in a hospital may flag mostly healthy children in the village, without a single weight having changed.
#
# (It is not quite so simple in life: the ill of a village may be ill in a milder way. Then sensitivity moves too.)
#
# ## Are the probabilities honest?
#
# Of the films given 80 %, do 80 % show pneumonia? A model whose points lie on the diagonal is **calibrated**. Ranking (AUC) and calibration are two things: a model can rank perfectly and still overstate.

# %%
lab.calibration()

# %% [markdown]
# On which side of the diagonal do most points lie? Training counted both classes alike (notebook 02), so a network learns to speak as if half of the films were ill. Where more are, it says too little: points above the diagonal. On real films another force pulls the other way:
# a network that has nearly memorised its training films says 99 % too readily elsewhere.
#
# **Temperature scaling** divides every logit (notebook 02) by one number, fitted on validation. Above 1 it cools an overconfident model, below 1 it encourages a timid one. The order of the films stays,
# so the AUC stays, and the threshold moves with the probabilities, so decisions stay; only what the number *says* changes. The **ECE** (expected calibration error) is the average gap to the diagonal; it depends on the number of bins,
# so say both. The **Brier score** is the mean squared difference between probability and truth (0 or 1); it needs no bins, but is not to be compared between places with different shares of ill. Judged on the films it was fitted on, as here, a temperature looks a little better than it is.
# It only stretches or squeezes around 50 %: where the points lie mostly on one side of the diagonal, it can mend little.
#
# Where another share is ill, honest probabilities become dishonest by themselves: that change is called a **prior shift**. Bayes' rule mends them, if the ill look alike in both places, and the healthy too. Every odds, p ÷ (1 − p), is multiplied by *new odds of being ill ÷ old odds*;
# from 74 % to 5 % that is (5 ÷ 95) ÷ (74 ÷ 26), about 0.018. "As if 5 % were ill" below counts the same films with other weights.

# %%
calibrated = evaluation.calibration_table(val["label"], val["probability"], lab.temperature, prevalence=0.05)
calibrated["place"] = calibrated["place"].map({"these films": f"validation films{' (phantom)' if phantom else ''}, {val['label'].mean():.0%} ill", "prevalence": "as if 5 % were ill"})
calibrated.set_index(["place", "probabilities"]).round(4)

# %% [markdown]
# Compare within a place, not between the two. Where 5 % are ill most of the stated probabilities are too high; the correction takes them down, temperature alone only stretches them around 50 %.

# %% [markdown]
# ## Read the films
#
# Numbers hide films. (On phantom films a yellow line shows where the opacity was drawn; the network never sees it.) Move the threshold and watch who comes to the front: the missed first, then the false alarms, then the calls that were the closest run.

# %%
lab.reader()

# %% [markdown]
# ## Lock and reveal
#
# Decide now. From here on there is no way back: your threshold and its rule are written into the run folder, *before* a test film has been scored. A restart does not undo it, and another choice for the same model is refused:
# choosing again after the test split has been seen would make its number worthless.
#
# *Write down first:* what sensitivity and specificity do you expect on the test films? And take out your notes: the baseline's AUC from notebook 01, and the accuracy that you expected in notebook 03.
#
# Then set your threshold, by a rule or by hand, and press the button.

# %%
lab.reveal()

# %% [markdown]
# If you run on without pressing it, the next cell locks for you, by the rule of this notebook's parameters.

# %%
lock = run.read_lock()
if lock is None or threshold_rule or target_sensitivity:  # nobody has pressed the button, or the parameters ask for a rule
    value = evaluation.choose_threshold(val["label"], val["probability"], config.threshold_rule, target_sensitivity=config.target_sensitivity)
    lock = run.lock_threshold(config.threshold_rule, value, config.target_sensitivity)
lab.refresh()
print(f"Locked: {lock['value']:.4f} by the rule '{lock['rule']}'. Fine-tuned models of this run folder that meet the test split, this one counted: {lock['looks']}.")

# %% [markdown]
# ## Baseline, frozen, fine-tuned
#
# All three are opened together, each at 0.5 and at the threshold that the same rule gives it on validation. (If you locked by hand there is no rule; then all three take your threshold.)
# The fine-tuned network answers with the mean of five views of a film (notebook 03), the other two with the film alone.

# %%
on_val = results.score_systems(run, lock["rule"], lock["target_sensitivity"], "val")
on_test = results.score_systems(run, lock["rule"], lock["target_sensitivity"], "test")
metrics = results.write_metrics(run, on_val, on_test)

# %%
def row(stage, split, block):
    return {"system": names[stage], "split": split, "AUC": f"{block['auc']:.3f}", "accuracy at 0.5": f"{block['at_half']['accuracy']:.1%}",
            "sensitivity, locked": f"{block['at_locked']['recall']:.1%}", "specificity, locked": f"{block['at_locked']['specificity']:.1%}"}

fall = [row(stage, split, blocks[stage]) for stage in on_test for split, blocks in (("validation", on_val), ("test", on_test))]
pd.DataFrame(fall).set_index(["system", "split"]).rename_axis(["system (phantom)" if phantom else "system", "split"])

# %% [markdown]
# Compare validation and test of each system. On the real data nearly every system falls, and mostly in **specificity**: normal test films are called ill. The test films differ in their mix
# (62.5 % pneumonia against 74.3 %), which moves accuracy and precision but cannot move specificity. So the normal films themselves must differ, probably in how they were made. This is **distribution shift**; validation cannot see it, because validation was cut from the training films.
#
# On phantom films train and test come from the same generator, and only their mix differs. What moves there is chance, with so few normal films in validation, and accuracy with the mix; nothing was shifted.
#
# ## The table, beside the paper's

# %%
table = evaluation.comparison_table({names[s] + (" (phantom)" if phantom else ""): on_test[s] for s in on_test} | {"the paper (real films)": evaluation.PAPER})
table

# %%
print(evaluation.reading(on_test["fine_tuned"], phantom=phantom))
low, high = on_test["fine_tuned"]["intervals"]["auc"]
print(f"Fine-tuned test AUC {on_test['fine_tuned']['auc']:.3f}, 95 % interval {low:.3f} to {high:.3f}{' (phantom)' if phantom else ''},")
print(f"from {config.bootstrap:,} draws of {'patients' if dataset.has_patients else 'films'} with replacement.")
opened = {stage: run.read_predictions(stage, "test") for stage in on_test}
for better, other in (("frozen", "baseline"), ("fine_tuned", "frozen")):
    films = opened[better]
    difference, (low, high) = evaluation.auc_difference(films["label"], films["probability"], opened[other]["probability"], films.get("patient"), replicates=config.bootstrap, seed=seed)
    print(f"AUC of {names[better]} minus {names[other]}, drawn together: {difference:+.3f} ({low:+.3f} to {high:+.3f}).")

# %% [markdown]
# How to read it. Brackets are 95 % intervals: for shares Wilson's, for the AUC and F1 from drawing *patients* with replacement, because films of one child are not independent (Wilson's takes them as if they were, and is a little narrow).
# An interval says how much the number would wander with other patients **of the same kind**. It says nothing of another hospital.
# Whether one system is better than another is asked of the *difference*, on the same draws for both: does its interval leave out 0? (The last one holds both steps, fine-tuning and the five views.)
#
# The paper's row uses its published counts, and Wilson's intervals of them; the interval of its AUC (≈) is our estimate from the AUC, by Hanley and McNeil's formula. Its threshold is not stated, so it has one row; compare it with the rows at 0.5, the usual choice.
#
# ## Confusion matrices
#
# First the paper's, in the layout of its table 2. *Work out its sensitivity (recall) from these four counts: 351 of how many? Then compare with the table above.*

# %%
# NBVAL_CHECK_OUTPUT
evaluation.confusion_table(evaluation.PAPER["at_half"])

# %% [markdown]
# Now yours at the locked threshold, in the same layout, and both as pictures.

# %%
evaluation.confusion_table(on_test["fine_tuned"]["at_locked"]).rename_axis("phantom films" if phantom else "films")

# %%
shown = {"fine-tuned (phantom)" if phantom else "fine-tuned": on_test["fine_tuned"]["at_locked"], "the paper (real films)": evaluation.PAPER["at_half"]}
plots.confusion_matrix(shown)
plt.show()
print(plots.read_confusion_matrix(shown))

# %% [markdown]
# ## ROC curves
#
# The curve shows every threshold at once; the cross is the one point that the paper reports. *Does your curve pass above it, below it, or through it? And the baseline's?*
# (On phantom films the curves are of computed chests and the cross of real ones: look, but do not compare.)

# %%
curves = {names[stage]: (opened[stage]["label"], opened[stage]["probability"]) for stage in on_test}
plots.roc_curves(curves, evaluation.PAPER["at_half"], phantom=phantom)
plt.show()
print(plots.read_roc_curves(curves, evaluation.PAPER["at_half"]))

# %% [markdown]
# ## Look at the mistakes
#
# The worst of the test split: pneumonias that the network was most sure were normal, then healthy chests that it was most sure were ill, then the right calls that were closest to going wrong.

# %%
test = opened["fine_tuned"]
plots.prediction_gallery(dataset, test, lock["value"], phantom=phantom)
plt.show()
print(plots.read_prediction_gallery(test, lock["value"]))

# %% [markdown]
# Look for a pattern: are the missed ones faint (look beside the outline on phantom films), of one subtype, cropped, over-exposed? A pattern is a hypothesis, not yet a finding: it was found by looking at the test split, and can only be confirmed on other films.

# %%
if "subtype" in test:
    ill = test[test["label"] == 1]
    found = (ill["probability"] >= lock["value"]).groupby(ill["subtype"]).agg(["sum", "count"])
    for subtype, (hits, n) in found.iterrows():
        low, high = evaluation.wilson(hits, n)
        print(f"{subtype}: {hits} of {n} found, sensitivity {hits / n:.1%} (95 % interval {low:.1%} to {high:.1%}){', phantom' if phantom else ''}")

# %% [markdown]
# ## The kit's own result on the real films
#
# Your threshold is locked and your test split is open, so this can no longer sway you. The `laptop` profile was run on the real films with several seeds. Epoch and threshold were chosen on validation patients; its strong crops were taken over from work that had looked at this test split, and it is the best of three recipes whose runs were opened, so the figures are somewhat optimistic.
# What it said of each of the 624 test films is kept in the package (probabilities, no films): these are real films whatever your own run looked at, measured on a copy that was re-encoded at 224 × 224 pixels.
#
# *Predict:* the same recipe, the same test films, other seeds. How many points of accuracy lie between two runs?

# %%
from cxrkit import record

kept, facts = record.load_record("laptop")
record.seed_table(kept, facts).T.rename_axis("REAL films, laptop profile")

# %%
runs = [record.blocks(kept, facts)[f"seed {s}"] for s in facts["seeds"]]
for where, said in (("at_locked", "at the locked threshold"), ("at_half", "at 0.5")):
    reached = [100 * block[where]["accuracy"] for block in runs]
    print(f"REAL films, accuracy {said}, seed by seed: {', '.join(f'{value:.1f}' for value in reached)} %; up to {max(reached) - min(reached):.1f} points apart.")

# %% [markdown]
# Brackets are 95 % intervals (of the AUC from drawing patients; Wilson's for shares), ± is the spread between seeds, their standard deviation. The interval asks *how far would this wander with other patients?*, the spread *how far with another seed, which also means other validation patients?* They are
# different questions: one run can answer the first, if it gives counts or an interval, and never the second. The spread of three numbers is itself rough.
#
# The same rule locked three thresholds far apart (0.361, 0.843 and 0.884): where validation is nearly perfect, a handful of films decide it. A locked threshold is honest; it is not therefore a good one.
# *The highest* threshold that keeps 95 % sensitivity in validation would have called 96.2 % of these films right with each seed, and missed three or four pneumonias more ([study](../study/README.md)): the rule breaks ties downwards, because false negatives come first.
#
# *Seeds together* averages the logits of all runs: an **ensemble**. It costs as many trainings and as many predictions as it has members. Its threshold is the average of the locked ones; it had none of its own. The figures below show seed 0, by AUC the best of the three.

# %%
first = facts["seeds"][0]
real = {name: (kept["label"], kept[f"{stage}_{first}"]) for name, stage in (("32 × 32 pixels", "baseline"), ("frozen", "frozen"), ("fine-tuned", "fine_tuned"))}
plots.roc_curves(real, evaluation.PAPER["at_half"])
plt.show()
print(f"Real films, seed {first}. {plots.read_roc_curves(real, evaluation.PAPER['at_half'])}")

# %% [markdown]
# The paper's point lies above the curve of the pixels and below the curves of both networks. It is one point: where the paper's own curve runs elsewhere, nobody can read from it.

# %%
locked = record.blocks(kept, facts)[f"seed {first}"]["at_locked"]
shown = {f"fine-tuned, locked at {locked['threshold']:.3f}": locked, "the paper": evaluation.PAPER["at_half"]}
plots.confusion_matrix(shown)
plt.show()
print(f"Real films. {plots.read_confusion_matrix(shown)}")

# %%
plots.calibration_curve({name: real[name] for name in ("frozen", "fine-tuned")}, split="test")
plt.show()
print(f"Real films, seed {first}. {plots.read_calibration_curve({name: real[name] for name in ('frozen', 'fine-tuned')})}")

# %% [markdown]
# Both curves hang mostly below the diagonal: on the test films the networks say pneumonia too often. The lower panel says how much a point is worth; one of fewer than ten films says next to nothing.

# %% [markdown]
# ### Why does 97 % in validation become 85 % on the test split?
#
# That is the usual fall of the accuracy in published work. In our own trial a frozen network at 96 px fell from 97.6 % to 84.3 %, at the threshold 0.5. The normal films of the two splits were not made alike. Three numbers a film, no network asked (`python study/shift.py`; grey levels of 0 to 255, means):
#
# | one number a film | training: normal, pneumonia | AUC | test: normal, pneumonia | AUC |
# | --- | --- | --- | --- | --- |
# | sharpness (what a slight blur takes away) | 6.2, 4.8 | 0.82 | 5.8, 5.0 | 0.74 |
# | darkest 1 % | 0.6, 7.5 | 0.75 | 3.2, 5.8 | 0.66 |
# | brightest 1 % | 219, 200 | 0.82 | 216, 199 | 0.80 |
#
# Normal training films are crisp, and black where they are dark. Normal *test* films are softer and greyer: a step towards the training films **with pneumonia**. (Brightness hardly moved.) A network may well learn "crisp means healthy". That is right
# for five pairs of training films in six (AUC 0.82), the validation films among them, and it calls some soft normal test films ill: sensitivity hardly changes, specificity falls. The paper's specificity of 78.6 % may have the same cause; we cannot check it.
#
# Strong crops together with changes of brightness and contrast in training helped; which of them did was not told apart. Plain validation could not show that they help. Normal validation films that were cropped closer could; softer or flatter ones alone did not ([study](../study/README.md)), so sharpness is at best a part of the story.

# %% [markdown]
# ### And the paper's 0.905?
#
# EfficientNetV2 in Keras scales grey values of 0 to 255 itself. Many a notebook divides by 255 beforehand as well, and then every film is almost black to the network. Did the paper's? Trained that way (96 px, 3 epochs, one seed), our small network reaches a test AUC of 0.900, where the same recipe without the mistake
# reaches 0.983, and nothing crashes on the way. So the AUC fits. The rest does not: at 0.5 that network calls nearly every film normal (39 % right). Random weights in place of borrowed ones give 0.904 and 82 % right, which is nearer to the paper's 0.905 and 85.7 %.
# *One number cannot tell which mistake was made, or whether any was.*

# %% [markdown]
# ## What this result does not say
#
# - The films are of children of one hospital. Nothing follows for adults, other machines or other diseases.
# - Normal or pneumonia is an easier question than "what is wrong with this child?".
# - The labels are readers' opinions; a score against them cannot tell when the model is right and the reader wrong.
# - One training run is one draw. Another seed gives another number: ours differ by the ± in the table above, published runs at 224 px by 0.8 to 3.6 points of accuracy.

# %% [markdown]
# ## The model card
#
# A model without a note on what it is for will be used for something else. The card below is written from the run folder: intended use, data, results with intervals, limits, the paper's own limits, and a reporting checklist
# (after TRIPOD+AI and CLAIM) that says what this course does *not* report. Find three items marked "not reported" that a hospital would ask you about first.

# %%
path = card.write_model_card(run)
print(f"Written to {path.name} in the run folder.")
Markdown(card.model_card(run))

# %% [markdown]
# ## Check yourself
#
# In a village 5 % of the children who are X-rayed have pneumonia. The network finds 95 % of the ill and leaves 80 % of the healthy in peace.
# Of the children that it flags, what share is ill?

# %%
from cxrkit.checks import check

answer = None  # a share such as 0.5
passed = check("04.1", answer, sensitivity=0.95, specificity=0.80, prevalence=0.05, test_precision=on_test["fine_tuned"]["at_locked"]["precision"])

# %% [markdown]
# ## What to remember
#
# - Choose the threshold on validation, write it down, then look, once.
# - Count children: how many are sent home, how many are called in.
# - Say what a miss costs. If the cost is flat round your threshold, stop polishing it.
# - A change of prevalence alone moves PPV and NPV, not sensitivity and specificity. Other films, or milder illness, can move all four.
# - A number to report has an interval and a baseline beside it.
# - Near-perfect validation is a question, not an answer: *how do the films differ where this will be used?*
#
# **Practise:** [exercises 04](../exercises/04_thresholds_and_calibration.ipynb), then the [capstone](../exercises/05_capstone.ipynb). **Where next:** the run folder holds `metrics.json`, all predictions and the model; `cxrkit run` makes the same as one report. Try another seed, and see how far your own number wanders.
#
# Films (where real ones are used): Kermany, Zhang and Goldbaum 2018, Mendeley Data, doi:10.17632/rscbjbr9sj.2, CC BY 4.0.
# The paper: J. Lee, G. Pratheepan, M. F. F. Teixeira, *Advancing Pulmonary Health Diagnostics*, Centennial College, 2024.
