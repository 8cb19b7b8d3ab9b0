"""What several test files share: a small data set, and scripts of the checkout as modules."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

from cxrkit.data.dataset import Dataset


def small_dataset(n=60, size=32, seed=0):
    """Films whose pneumonia is a bright blotch: learnable in a few steps."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 3 > 0).astype("int64")
    images = rng.integers(40, 120, (n, size, size)).astype("uint8")
    images[labels == 1, 8:20, 8:20] += 60
    split = np.array(["train", "train", "val", "test", "train"])[np.arange(n) // 3 % 5]
    table = pd.DataFrame({
        "path": [f"film{i}.jpeg" for i in range(n)], "split": split, "label": labels, "subtype": "", "patient": [f"p{i // 2}" for i in range(n)],
        "width": size, "height": size, "bytes": 1, "sha256": [f"{i:064d}" for i in range(n)],
    })
    return Dataset("phantom", images, labels, table)


def few_layers(include_top, weights, input_shape):
    """A network in the place of EfficientNetV2-B0 where its size teaches nothing; for `keras.applications.EfficientNetV2B0`."""
    import keras

    pixels = keras.Input(input_shape)
    kernel = keras.initializers.RandomNormal(stddev=0.2, seed=5)
    maps = keras.layers.Conv2D(16, 5, strides=3, kernel_initializer=kernel)(keras.layers.Rescaling(1 / 128, -1)(pixels))
    return keras.Model(pixels, keras.layers.Activation("relu")(keras.layers.BatchNormalization()(maps)), name="efficientnetv2-b0")


def load_script(path: Path):
    """Return a script of the checkout, which lies in no package, as a module."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
