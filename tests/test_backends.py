"""The same network on Keras's other backends: same predictions from the same weights, and tests of training again.

The backend is chosen once in a process, so each runs in processes of its own. `make test` does this for JAX, which the `dev` extra
brings; `make test-backends` for JAX and PyTorch, with every test of training.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow
HERE = Path(__file__).resolve().parent
OTHERS = ("jax", "torch")
# Both phases and what they leave; order of the films, dropout, frozen statistics. All tests of training: make test-backends.
TRAINING = ("test_fine_tuning_moves_weights_but_no_batch_norm_statistic", "test_stages_leave_what_the_next_notebook_reads",
            "test_both_ways_see_every_film_once_and_in_the_same_order")

START = """
import sys; sys.path.insert(0, sys.argv[1])
import numpy as np
from pathlib import Path
from helpers import small_dataset
from test_training import keras, models, small_config, training
folder, backend = Path(sys.argv[2]), sys.argv[3]
assert keras.backend.backend() == backend
dataset, settings = small_dataset(), {"backbone": "efficientnetv2-s", "test_views": 1}  # the film alone, as features are
"""
# The network of the demo profile; its head is drawn, and scaled so that the predictions spread.
WRITE = START + """
config = small_config(folder, weights="phantom", **settings)
network = models.build_model(config)
features = training.compute_features(network, dataset, config, "test")
kernel = np.random.default_rng(0).normal(size=(features.shape[-1], 1)).astype("float32")
logits = features[0] @ kernel
network.get_layer("head").set_weights([2 * kernel / logits.std(), -2 * logits.mean(axis=0) / logits.std()])
network.save_weights(folder / "network.weights.h5")
network.save(folder / "network.keras")
np.save(folder / f"{backend}.npy", training.predict_from_features(network, features))
"""
READ = START + """
config = small_config(folder, weights="none", seed=1, **settings)
network = models.build_model(config)
network.load_weights(folder / "network.weights.h5")
np.save(folder / f"{backend}.npy", training.predict(network, dataset, config, "test"))
whole = keras.models.load_model(folder / "network.keras")
assert all(np.array_equal(a, b) for a, b in zip(network.get_weights(), whole.get_weights(), strict=True))
"""


def need(backend):
    """Skip where a backend is not installed; where CI runs, JAX must be."""
    if importlib.util.find_spec(backend) is None:
        reason = f'{backend} is not installed: make test-backends, or pip install "cxrkit[{backend}]"'
        if backend == "jax" and os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def run_on(backend, code, folder):
    """Run code in a process whose Keras computes on `backend`."""
    command = [sys.executable, "-c", code, str(HERE), str(folder), backend]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"KERAS_BACKEND": backend})
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with the weights, the whole model and the predictions of TensorFlow."""
    folder = tmp_path_factory.mktemp("weights")
    run_on("tensorflow", WRITE, folder)
    return folder


@pytest.mark.parametrize("backend", OTHERS)
def test_same_predictions_from_the_same_weights(backend, written):
    need(backend)
    run_on(backend, READ, written)
    expected, found = np.load(written / "tensorflow.npy"), np.load(written / f"{backend}.npy")
    assert np.ptp(expected) > 0.2  # they are worth comparing
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("backend", OTHERS)
def test_both_phases_train(backend, tmp_path):
    need(backend)
    # What JAX has compiled for one test, the next need not compile.
    environment = os.environ | {"KERAS_BACKEND": backend, "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "jax"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"{HERE / 'test_training.py'}::{name}" for name in TRAINING)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"{len(TRAINING)} passed" in done.stdout
