"""The recipes of the study: the base, and one change a row.

The base is the `laptop` profile's fine-tuning at the time the study began, at a smaller size and fewer epochs so that a trial takes minutes.
A row changes one thing; what it asks stands beside it. A second, smaller set asks what weights learned on phantoms are worth on real films.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One way to train and to read out. `config` holds fields of `cxrkit.Config`; the rest is what the kit itself does not offer."""

    question: str
    config: dict = dataclasses.field(default_factory=dict)
    fine_tune: bool = True        # False: the frozen phase alone
    degrade: float = 0.0          # chance that a training view is blurred, re-encoded and made noisy
    prepare: str = ""             # done to every film of every split beforehand: "harmonise", "equalise", "stretch", "scale_0_1"
    sampler: bool = False         # both classes drawn equally often, instead of weighting them
    label_smoothing: float = 0.0
    layer_decay: float = 1.0      # learning rate times this for each stage further from the head
    batch_norm: str = "inference"  # or "training": statistics and scales learn
    ema: float = 0.0              # momentum of the moving average of weights that is kept at the end; 0: the last weights
    pooling: str = "top"          # or "two": the fifth stage's maps are pooled as well
    trained_as: str = ""          # nothing is trained: the weights of that recipe, read out differently
    read_size: float = 1.0        # films are read at this multiple of the training size
    read_views: int = 1           # views averaged at prediction: the film and crops of it


BASE = dict(crop_area=0.15, rotation=7.0, brightness=0.2, contrast=0.3, class_weights=True, fine_tune_learning_rate=3e-4)


def _changed(question, config=None, **extras):
    return Recipe(question, BASE | (config or {}), **extras)


SCREENED = {
    "base": _changed("The laptop profile as it stood: what is every other row compared with?"),
    # Named before anything was measured; FIXED_BEFOREHAND of them were read on the test split to judge the measure itself.
    "frozen": _changed("Does the backbone have to learn at all?", fine_tune=False),
    "no augmentation": _changed("What do crops, rotation and jitter do together?", dict(crop_area=1.0, rotation=0.0, brightness=0.0, contrast=0.0)),
    "scaled 0-1": _changed("Films divided by 255 although the network does so itself: is that the paper's low AUC?", prepare="scale_0_1"),
    "scaled 0-1, frozen": _changed("The same bug with a frozen backbone.", fine_tune=False, prepare="scale_0_1"),
    "random weights": _changed("Is ImageNet of use?", dict(weights="none", fine_tune_learning_rate=1e-3)),
    # Augmentation
    "crops 0.5": _changed("Milder crops?", dict(crop_area=0.5)),
    "crops 0.08": _changed("Stronger crops?", dict(crop_area=0.08)),
    "no crops": _changed("No crops, the rest kept?", dict(crop_area=1.0)),
    "no jitter": _changed("Without brightness and contrast jitter?", dict(brightness=0.0, contrast=0.0)),
    "strong jitter": _changed("More jitter?", dict(brightness=0.35, contrast=0.6)),
    "no rotation": _changed("Without rotation?", dict(rotation=0.0)),
    "mirror": _changed("With mirrored films?", dict(horizontal_flip=True)),
    "degraded views": _changed("Blur, JPEG and noise as augmentation?", degrade=0.5),
    # The films themselves
    "harmonised": _changed("Every film of every split blurred and re-encoded alike?", prepare="harmonise"),
    "stretched": _changed("Every film's grey range stretched from its 1st to its 99th percentile?", prepare="stretch"),
    "equalised": _changed("Every film's grey values equalised?", prepare="equalise"),
    # The loss and the balance
    "no class weights": _changed("Without class weights?", dict(class_weights=False)),
    "sampler": _changed("Classes drawn equally often instead?", dict(class_weights=False), sampler=True),
    "label smoothing": _changed("Softer labels?", label_smoothing=0.1),
    # The optimisation
    "layer-wise rates": _changed("Smaller steps the further from the head?", layer_decay=0.7),
    "top stages only": _changed("The lower stages frozen?", dict(unfreeze="top")),
    "batch-norm learns": _changed("Batch-norm statistics and scales updated?", batch_norm="training"),
    "weights averaged": _changed("An exponential moving average of weights?", ema=0.99),
    "rate 1e-3": _changed("Larger steps?", dict(fine_tune_learning_rate=1e-3)),
    "rate 1e-4": _changed("Smaller steps?", dict(fine_tune_learning_rate=1e-4)),
    # The network and the read-out
    "two poolings": _changed("The fifth stage's maps pooled as well?", pooling="two"),
    "read larger": _changed("Trained small, read a third larger?", trained_as="base", read_size=4 / 3),
    "five views": _changed("The mean over the film and four crops of it?", trained_as="base", read_views=5),
}


def _small(question, config=None, **extras):
    return Recipe(question, BASE | dict(backbone="efficientnetv2-s", weights="phantom") | (config or {}), **extras)


BORROWED = {  # EfficientNetV2-S, at the 64 pixels of the phantom weights
    "S, phantom weights, frozen": _small("A head on what phantoms taught?", fine_tune=False),
    "S, random weights, frozen": _small("A head on what nobody taught?", dict(weights="none"), fine_tune=False),
    "S, phantom weights": _small("Fine-tuned from weights that have seen phantoms only."),
    "S, phantom weights, rate 1e-3": _small("The same with the steps that suit random weights.", dict(fine_tune_learning_rate=1e-3)),
    "S, random weights": _small("Fine-tuned from nothing, the same steps.", dict(weights="none")),
    "S, random weights, rate 1e-3": _small("From nothing, larger steps.", dict(weights="none", fine_tune_learning_rate=1e-3)),
    "S, random weights, rate 1e-3, batch-norm learns": _small("From nothing, as one trains from nothing: batch-norm statistics learn too.",
                                                               dict(weights="none", fine_tune_learning_rate=1e-3), batch_norm="training"),
}
RECIPES = SCREENED | BORROWED
FIXED_BEFOREHAND = ("frozen", "no augmentation", "scaled 0-1", "random weights", "base")


def is_plain(recipe):
    """Whether fields of `cxrkit.Config` say all that a recipe changes."""
    return dataclasses.replace(recipe, question="", config={}) == Recipe("")


def profile_name(config):
    """What results.csv and looks.csv call a whole profile: "profile laptop", with the recipe behind it where it is not the base."""
    same = [name for name, recipe in RECIPES.items() if is_plain(recipe) and all(getattr(config, field) == value for field, value in recipe.config.items())]
    changed = {field for field, value in BASE.items() if getattr(config, field) != value}
    name = next(iter(same), " and ".join(sorted(changed)) + " changed")
    return f"profile {config.profile}" + ("" if name == "base" else f", {name}")
