"""Where things lie on this machine: caches, real images, weights, a GPU. Looks only; downloads nothing, imports no Keras."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import platformdirs

PHANTOM_WEIGHTS = Path(__file__).parent / "weights" / "efficientnetv2-s_phantom.weights.h5"  # bundled
# What `cxrkit data get` leaves in the data folder, best first.
REAL_IMAGE_NAMES = ("chest_xray", "ChestXRay2017.zip")
WEIGHT_FILES = {  # keras.applications' own file names
    "efficientnetv2-b0": "efficientnetv2-b0_notop.h5",
    "efficientnetv2-b1": "efficientnetv2-b1_notop.h5",
    "efficientnetv2-b2": "efficientnetv2-b2_notop.h5",
    "efficientnetv2-b3": "efficientnetv2-b3_notop.h5",
    "efficientnetv2-s": "efficientnetv2-s_notop.h5",
    "efficientnetv2-m": "efficientnetv2-m_notop.h5",
    "efficientnetv2-l": "efficientnetv2-l_notop.h5",
}


def cache_folder() -> Path:
    """Return the folder for decoded and drawn films: $CXRKIT_CACHE, else the system's cache folder."""
    return Path(os.environ.get("CXRKIT_CACHE") or platformdirs.user_cache_dir("cxrkit", appauthor=False)).expanduser()


def data_folder() -> Path:
    """Return the folder for downloaded data sets: $CXRKIT_DATA, else the system's data folder."""
    return Path(os.environ.get("CXRKIT_DATA") or platformdirs.user_data_dir("cxrkit", appauthor=False)).expanduser()


def real_images() -> Path | None:
    """Return where the ChestXray-2017 images lie (folder or zip), or None."""
    for name in REAL_IMAGE_NAMES:
        if (data_folder() / name).exists():
            return data_folder() / name
    return None


def keras_weights_folder() -> Path:
    """Return the folder where Keras caches pretrained weights."""
    home = os.path.expanduser("~")  # Keras goes elsewhere where it cannot write
    return Path(os.environ.get("KERAS_HOME") or os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")).expanduser() / "models"


def imagenet_weights(backbone: str) -> Path | None:
    """Return the cached ImageNet weights of a backbone, or None."""
    path = keras_weights_folder() / WEIGHT_FILES[backbone]
    return path if path.is_file() else None


def settle_environment() -> None:
    """Make folders that the environment names absolute, so that a process that starts elsewhere finds the same ones."""
    for name in ("CXRKIT_CACHE", "CXRKIT_DATA", "CXRKIT_RUNS", "KERAS_HOME"):
        if os.environ.get(name):
            os.environ[name] = os.path.abspath(os.path.expanduser(os.environ[name]))


def backend_sees_gpu() -> bool:
    """Say whether the framework that Keras computes with sees a GPU, asked in a process of its own (seconds): a plain TensorFlow does
    not, whatever `nvidia-smi` says."""
    script = "from cxrkit.model import has_accelerator; raise SystemExit(0 if has_accelerator() else 3)"
    try:
        asked = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"})
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def has_gpu() -> bool:
    """Say whether an NVIDIA GPU answers, without importing a framework (a second of `nvidia-smi` against six of TensorFlow); see `backend_sees_gpu`."""
    if platform.system() == "Windows" or not shutil.which("nvidia-smi"):  # TensorFlow uses no GPU on Windows itself
        return False
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=20).stdout.startswith(b"GPU ")
    except (OSError, subprocess.TimeoutExpired):
        return False
