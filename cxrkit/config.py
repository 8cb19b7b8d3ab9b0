"""Profiles and parameters: every choice of a run in one frozen row (notebook 00 introduces it).

A profile is a row of defaults, no more. `configure("laptop", seed=1)` takes the row and changes one value;
unknown names and impossible values are refused with the nearest valid name.
"""

import dataclasses
import math
import os
import typing
from pathlib import Path

from .errors import CxrkitError, nearest

SOURCES = ("phantom", "chestxray2017", "pneumoniamnist")
BACKBONES = {  # name -> class in keras.applications
    "efficientnetv2-b0": "EfficientNetV2B0",
    "efficientnetv2-b1": "EfficientNetV2B1",
    "efficientnetv2-b2": "EfficientNetV2B2",
    "efficientnetv2-b3": "EfficientNetV2B3",
    "efficientnetv2-s": "EfficientNetV2S",
    "efficientnetv2-m": "EfficientNetV2M",
    "efficientnetv2-l": "EfficientNetV2L",
}
THRESHOLD_RULES = ("sensitivity", "half", "youden", "cost")
NAMED_WEIGHTS = ("imagenet", "phantom", "none")


@dataclasses.dataclass(frozen=True)
class Config:
    """One run's settings. Sizes are pixels a side, learning rates are per step, fractions are of 1."""

    profile: str = "demo"
    # What is looked at
    source: str = "phantom"
    data: str = ""               # folder, zip or npz; empty: where `cxrkit data get` puts it
    skip_bad: bool = False       # leave unreadable images out (recorded) instead of stopping
    stored_size: int = 96        # decoded once at this size; training crops are cut from it
    image_size: int = 64         # what the network sees
    val_fraction: float = 0.15   # of the training images, whole patients
    phantom_images: int = 2000   # films of the phantom source, all splits together
    # The network
    backbone: str = "efficientnetv2-s"
    weights: str = "phantom"     # imagenet, phantom, none, or the path of a file
    dropout: float = 0.2
    mixed_precision: str = "auto"  # auto: on with a GPU; on; off
    # Frozen phase
    views: int = 1               # augmented views of each training film; 1: the film itself
    head_epochs: int = 30
    head_learning_rate: float = 1e-3
    # Fine-tuning
    unfreeze: str = "all"        # all, or top: the last two stages
    fine_tune_epochs: int = 4
    fine_tune_learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    warmup_epochs: float = 0.5
    patience: int = 3            # epochs without a better validation AUC before stopping
    batch_size: int = 32
    class_weights: bool = True
    # Augmentation of fine-tuning
    crop_area: float = 0.5       # least area share of a random crop; 1: no crops
    rotation: float = 7.0        # degrees either way
    brightness: float = 0.2      # share of the 0-255 range, either way
    contrast: float = 0.3        # factor 1 ± this
    horizontal_flip: bool = False  # off: a mirrored chest has its heart on the wrong side
    # Evaluation
    test_views: int = 1          # views averaged when a fine-tuned network predicts: the film, then crops of it; 1: the film alone
    threshold_rule: str = "sensitivity"
    target_sensitivity: float = 0.95
    bootstrap: int = 1000        # replicates of the patient-clustered bootstrap
    # Bookkeeping
    seed: int = 0
    out: str = ""                # run folder; empty: $CXRKIT_RUNS/<name> or runs/<name>

    @property
    def is_phantom(self) -> bool:
        return self.source == "phantom"

    @property
    def run_name(self) -> str:
        return self.profile if self.seed == 0 else f"{self.profile}-seed{self.seed}"

    @property
    def run_folder(self) -> Path:
        """The folder that holds everything this run leaves behind."""
        if self.out:
            return Path(self.out).expanduser().resolve()
        if os.environ.get("CXRKIT_RUNS"):
            return Path(os.environ["CXRKIT_RUNS"]).expanduser().resolve() / self.run_name
        return (checkout() or Path.cwd()) / "runs" / self.run_name

    def replace(self, **changes) -> "Config":
        """Return a copy with `changes`, checked like `configure` checks them."""
        return _checked(dataclasses.asdict(self) | changes)


PROFILES = {
    "demo": dict(
        head_epochs=25, head_learning_rate=1e-2, fine_tune_epochs=4, fine_tune_learning_rate=1.2e-4,
        crop_area=0.9, rotation=5.0, brightness=0.1, contrast=0.2, test_views=5,
    ),
    "laptop": dict(
        source="chestxray2017", backbone="efficientnetv2-b0", weights="imagenet", stored_size=224, image_size=160,
        views=2, head_epochs=30, fine_tune_epochs=8, patience=8, crop_area=0.15, rotation=0.0, test_views=5,
    ),
    "paper": dict(
        source="chestxray2017", backbone="efficientnetv2-s", weights="imagenet", stored_size=288, image_size=224,
        views=2, head_epochs=30, fine_tune_epochs=10, patience=10, crop_area=0.15, rotation=0.0, test_views=5,
    ),
}
# Minutes of each notebook on 2 CPU cores, measured; `paper` is meant for a GPU, and its notebooks were not timed on one.
MINUTES = {
    "demo": {"00": 0.2, "01": 0.1, "02": 1.1, "03": 2.8, "04": 0.2},
    "laptop": {"00": 0.2, "01": 0.2, "02": 2.0, "03": 15.4, "04": 0.2},
    "paper": {},
}
PROFILE_NAMES = ("auto", *PROFILES)


def configure(profile: str = "auto", **overrides) -> Config:
    """Return the settings of a profile with some of them changed.

    Parameters
    ----------
    profile : "auto", "demo", "laptop" or "paper". "auto" obeys the environment variable CXRKIT_PROFILE; else it
        takes `paper` with a GPU or `laptop` without when the real images and weights are on this disk, else `demo`,
        and prints a line that says which and why.
    overrides : any field of `Config`. None and "" mean "the profile's own".

    Returns
    -------
    Config, frozen.

    Raises
    ------
    CxrkitError naming the parameter, the bad value and the nearest valid name.

    Introduced in notebook 00.
    """
    if profile not in PROFILE_NAMES:
        raise CxrkitError(f"Unknown profile '{profile}'; there are {', '.join(PROFILE_NAMES)}.{nearest(profile, PROFILE_NAMES)}")
    given = {k: v for k, v in overrides.items() if v is not None and v != ""}
    if profile == "auto":
        profile = _automatic(given)
    defaults = {f.name: f.default for f in dataclasses.fields(Config)}
    if "data" in given and "source" not in given:
        given["source"] = guess_source(given["data"])
    return _checked(defaults | PROFILES[profile] | {"profile": profile} | given)


def checkout() -> Path | None:
    """Return the course's own folder when the package runs from a checkout, else None."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "notebooks" / "source").is_dir() else None


def guess_source(data: str) -> str:
    """Return the source that reads `data`: an .npz is PneumoniaMNIST, anything else a ChestXray-2017 folder or zip."""
    return "pneumoniamnist" if str(data).lower().endswith(".npz") else "chestxray2017"


def _automatic(given) -> str:
    wanted = os.environ.get("CXRKIT_PROFILE")
    if wanted:
        if wanted not in PROFILES:
            raise CxrkitError(f"CXRKIT_PROFILE is '{wanted}'; it can be {', '.join(PROFILES)}.{nearest(wanted, PROFILES)}")
        print(f"Profile '{wanted}', because CXRKIT_PROFILE says so.")
        return wanted
    from . import locate  # the disk is looked at only when nobody has chosen

    gpu = locate.has_gpu()
    found, larger = ("a GPU was found", f"; `paper` needs the weights of {PROFILES['paper']['backbone']}") if gpu else ("there is no GPU", "")
    images = given.get("data") or locate.real_images()
    for candidate in ("paper", "laptop") if gpu else ("laptop",):
        weights = given.get("weights") or locate.imagenet_weights(PROFILES[candidate]["backbone"])
        if candidate == "paper" and images and weights and not locate.backend_sees_gpu():
            found, larger = "a GPU is there, but Keras's framework does not see it (for TensorFlow on Linux: pip install \"cxrkit[gpu]\")", ""
            continue
        if images and weights:
            print(f"Profile '{candidate}': real images and weights are on this disk, and {found}{larger if candidate == 'laptop' else ''}.")
            return candidate
    if given.get("data"):
        raise CxrkitError(
            f"{given['data']} holds real films, but the ImageNet weights of {PROFILES[candidate]['backbone']} are not on this disk.\n"
            f"Get them with: cxrkit data get imagenet --backbone {PROFILES[candidate]['backbone']}; or give a file with weights=PATH, or name a profile."
        )
    missing = " and ".join(n for n, found in (("the real images", images), ("the ImageNet weights", weights)) if not found)
    print(
        f"Profile 'demo' (phantom films, nothing to download), because {missing} are not on this disk.\n"
        f"To get them: cxrkit data get chestxray2017 (1.2 GB); cxrkit data get imagenet --backbone {PROFILES[candidate]['backbone']}"
    )
    return "demo"


_POSITIVE = ("stored_size", "image_size", "phantom_images", "views", "head_epochs", "head_learning_rate", "fine_tune_epochs",
             "fine_tune_learning_rate", "patience", "batch_size", "bootstrap")
_RANGES = {  # name: (lowest, highest), both allowed
    "val_fraction": (0.01, 0.5), "dropout": (0.0, 0.9), "weight_decay": (0.0, 1.0), "warmup_epochs": (0.0, 100.0),
    "crop_area": (0.01, 1.0), "rotation": (0.0, 45.0), "brightness": (0.0, 1.0), "contrast": (0.0, 0.95),
    "target_sensitivity": (0.5, 1.0), "image_size": (32, 1024), "stored_size": (32, 1024), "phantom_images": (60, 100_000),
    "seed": (0, 2**31 - 1), "test_views": (1, 5),
}
_CHOICES = {
    "source": SOURCES, "backbone": tuple(BACKBONES), "unfreeze": ("all", "top"), "mixed_precision": ("auto", "on", "off"),
    "threshold_rule": THRESHOLD_RULES, "profile": tuple(PROFILES),
}


def _checked(values: dict) -> Config:
    fields = {f.name: f.type for f in dataclasses.fields(Config)}
    for name, value in values.items():
        if name not in fields:
            raise CxrkitError(f"Unknown parameter '{name}'.{nearest(name, fields)}")
        values[name] = _typed(name, value, fields[name])
    for name, choices in _CHOICES.items():
        if values[name] not in choices:
            raise CxrkitError(f"{name} cannot be '{values[name]}'; it can be {', '.join(choices)}.{nearest(values[name], choices)}")
    if values["weights"] == "phantom" and values["backbone"] != "efficientnetv2-s":
        raise CxrkitError(f"The phantom weights are those of efficientnetv2-s; they do not fit {values['backbone']}. Give backbone=efficientnetv2-s, or other weights.")
    for name in _POSITIVE:
        if not values[name] > 0:
            raise CxrkitError(f"{name} must be greater than 0, not {values[name]}.")
    for name, (low, high) in _RANGES.items():
        if not low <= values[name] <= high:
            raise CxrkitError(f"{name} must lie between {low} and {high}, not {values[name]}.")
    if values["stored_size"] < values["image_size"]:
        values["stored_size"] = values["image_size"]
    return Config(**values)


def _typed(name, value, kind):
    """Return `value` as the field's type, or say plainly what was expected."""
    kind = kind if isinstance(kind, type) else typing.get_type_hints(Config)[name]
    if kind is str and isinstance(value, (str, Path)):
        return str(value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    words = {str: "text", bool: "True or False", int: "a whole number", float: "a number"}
    raise CxrkitError(f"{name} must be {words[kind]}, not {value!r}.")
