"""The network: an EfficientNetV2 backbone, global average pooling, dropout, one logit (notebook 02 introduces it).

Only `model`, `batches` and `training` need Keras, and they use nothing that belongs to one backend alone.
"""

import warnings
import weakref
from pathlib import Path

import numpy as np

from .backend import keras
from . import locate
from .config import BACKBONES, Config
from .errors import CxrkitError

# First layer prefix of the last two stages, which `unfreeze="top"` trains (keras.applications' own layer names).
_TOP_STAGES = {"efficientnetv2-s": "block5", "efficientnetv2-m": "block6", "efficientnetv2-l": "block6"}


def build_model(config: Config) -> keras.Model:
    """Build the classifier with its backbone frozen.

    Parameters
    ----------
    config : uses `backbone`, `weights`, `image_size`, `dropout`, `mixed_precision` and `seed`.

    Returns
    -------
    keras.Model from float or uint8 films [b, image_size, image_size, 1], 0-255, to logits [b, 1] (float32).
    Its layers are named: "three_channels", the backbone, "pool" and "head". The backbone runs in inference mode always (see
    `_inference_mode`), so that fine-tuning adapts the weights without wrecking the stored statistics.

    Raises
    ------
    CxrkitError when the weights are not on this disk and cannot be fetched, or do not fit the backbone.

    Source: EfficientNetV2, Tan & Le 2021 (arXiv:2104.00298), as built in keras.applications with its own rescaling of 0-255.
    """
    set_precision(config)
    keras.utils.set_random_seed(config.seed)
    backbone = _backbone(config)
    _inference_mode(backbone)
    films = keras.Input((config.image_size, config.image_size, 1), name="film")
    # The backbone expects colour: the one grey channel is given three times.
    colour = keras.layers.Concatenate(name="three_channels")([films, films, films])
    maps = backbone(colour)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool", dtype="float32")(maps)
    logits = build_head(config, backbone.output_shape[-1])(pooled)
    model = keras.Model(films, logits, name=f"{config.backbone}_pneumonia")
    freeze(model)
    return model


def build_head(config: Config, width: int) -> keras.Model:
    """Return the part that learns in the frozen phase: features [b, width] to logits [b, 1]; equal seeds give equal weights."""
    return keras.Sequential(
        [
            keras.Input((width,), name="features"),
            keras.layers.Dropout(config.dropout, seed=config.seed, name="dropout", dtype="float32"),
            keras.layers.Dense(
                1, kernel_initializer=keras.initializers.GlorotUniform(seed=config.seed), name="logit", dtype="float32"
            ),
        ],
        name="head",
    )


def backbone_of(model: keras.Model) -> keras.Model:
    """Return the EfficientNetV2 inside a model of `build_model`."""
    return next(layer for layer in model.layers if layer.name.startswith("efficientnetv2"))


def feature_extractor(model: keras.Model) -> keras.Model:
    """Return the frozen half of a model: films [b, s, s, 1] to pooled features [b, width]; the same object at each call."""
    if model not in _extractors:  # a new one would be compiled anew
        _extractors[model] = keras.Model(model.input, model.get_layer("pool").output, name="features")
    return _extractors[model]


_extractors = weakref.WeakKeyDictionary()


def freeze(model: keras.Model) -> None:
    """Train the head alone."""
    backbone_of(model).trainable = False
    model.get_layer("head").trainable = True


def unfreeze(model: keras.Model, part: str = "all") -> int:
    """Let the backbone learn: `all` of it, or the `top`, its last two stages. Returns how many weights now train."""
    if part not in ("all", "top"):
        raise CxrkitError(f"unfreeze can be 'all' or 'top', not '{part}'.")
    backbone = backbone_of(model)
    backbone.trainable = True
    first = _TOP_STAGES.get(backbone.name, "block5")
    below = part == "top"
    for layer in backbone.layers:
        below = below and not layer.name.startswith(first)
        layer.trainable = not below and not isinstance(layer, keras.layers.BatchNormalization)
    return int(sum(np.prod(w.shape) for w in model.trainable_weights))


def check_pixel_range(films: np.ndarray) -> None:
    """Refuse films scaled to 0-1: EfficientNetV2 in Keras rescales 0-255 itself, and scaling twice shows it black images."""
    sample = np.asarray(films[: min(len(films), 64)])
    if not np.isfinite(sample).all():
        raise CxrkitError("The films hold NaN or infinite values; pass uint8 pixels from 0 to 255.")
    low, high = float(sample.min()), float(sample.max())
    if high <= 1.0 and high > 0.0:
        raise CxrkitError(
            f"These films run from {low:.2f} to {high:.2f}: they have been divided by 255 already. EfficientNetV2 scales 0 to 255 itself,\n"
            "and twice makes every film black to it. Pass the uint8 films, 0 to 255."
        )
    if low < 0 or high > 255:
        raise CxrkitError(f"These films run from {low:.1f} to {high:.1f}; pass uint8 pixels from 0 to 255.")


def set_precision(config: Config) -> str:
    """Set Keras's number format: half precision on a GPU where the profile allows it. Returns the policy's name."""
    half = config.mixed_precision == "on" or (config.mixed_precision == "auto" and has_accelerator())
    policy = "mixed_float16" if half else "float32"
    keras.config.set_dtype_policy(policy)
    return policy


def has_accelerator() -> bool:
    """Say whether Keras's backend computes on a GPU, by where it puts a number (PyTorch's has no list of devices)."""
    device = str(keras.ops.convert_to_tensor(0.0).device).lower()  # ".../device:gpu:0", "cuda:0", "tfrt_cpu_0", "cpu"
    return any(kind in device for kind in ("gpu", "cuda", "rocm"))


def _inference_mode(backbone: keras.Model) -> None:
    """Make the backbone compute the same in training as in prediction.

    The familiar `backbone(x, training=False)` does not do it: Keras's `fit` hands training=True on to every layer of a model
    inside a model. What holds is to drop nothing (rate 0) and to keep batch normalisation untrainable, which Keras runs on its
    stored statistics; `unfreeze` leaves it so.
    """
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0


def _backbone(config: Config) -> keras.Model:
    builder = getattr(keras.applications, BACKBONES[config.backbone])
    shape = (config.image_size, config.image_size, 3)
    weights = {"none": None, "phantom": None}.get(config.weights, config.weights)
    if config.weights == "imagenet":
        return _imagenet(builder, config.backbone, shape)
    backbone = builder(include_top=False, weights=None, input_shape=shape)
    if config.weights == "phantom":
        if config.backbone != "efficientnetv2-s":
            raise CxrkitError(f"The bundled phantom weights fit efficientnetv2-s, not {config.backbone}. Use weights='none', or that backbone.")
        weights = locate.PHANTOM_WEIGHTS
    if weights is not None:
        _load(backbone, Path(weights).expanduser(), config.backbone)
    return backbone


def _imagenet(builder, name, shape):
    try:
        return builder(include_top=False, weights="imagenet", input_shape=shape)
    except Exception as problem:  # Keras wraps network errors in a plain Exception
        file = locate.keras_weights_folder() / locate.WEIGHT_FILES[name]
        raise CxrkitError(
            f"The ImageNet weights of {name} are not on this disk and could not be fetched ({_first_line(problem)}).\n"
            f"Put {file.name} (from keras.io's EfficientNetV2 weights) at {file}, give a file with weights=PATH, "
            "or use the profile 'demo', which needs no download."
        ) from problem


def _load(backbone, path: Path, name: str):
    if not path.is_file():
        raise CxrkitError(f"No weights at {path}. weights can be imagenet, phantom, none, or the path of a .weights.h5 file.")
    try:
        with warnings.catch_warnings(action="ignore"):  # hundreds of lines a misfit; the error below says it in one
            backbone.load_weights(path)
    except Exception as problem:  # h5py, Keras and NumPy each raise their own
        raise CxrkitError(
            f"{path} does not hold weights of {name} without its top ({_first_line(problem)}).\n"
            "Give the file of that backbone, or name the backbone that it belongs to."
        ) from problem


def _first_line(problem: BaseException) -> str:
    text = str(problem).strip() or type(problem).__name__
    return text.splitlines()[0][:160]
