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

pytest.importorskip("keras")
pytestmark = pytest.mark.slow
HERE = Path(__file__).resolve().parent
OTHERS = ("jax", "torch")
# Both phases with all that hangs on them: order of the films, dropout, frozen statistics, checkpoints, a run that is taken up again.
TRAINING = ("test_fine_tuning_moves_weights_but_no_batch_norm_statistic", "test_an_interrupted_phase_ends_like_an_uninterrupted_one",
            "test_stages_leave_what_the_next_notebook_reads", "test_both_ways_see_every_film_once_and_in_the_same_order")

# The network of the demo profile with a head that has learned, so that the predictions spread.
WRITE = """
from helpers import small_dataset
from test_training import small_config, models, training
dataset, config = small_dataset(), small_config(folder, backbone="efficientnetv2-s", weights="phantom")
network = models.build_model(config)
features = {s: training.compute_features(network, dataset, config, s) for s in ("train", "val")}
training.train_head(network, dataset, config, features)
network.save_weights(folder / "network.weights.h5")
network.save(folder / "network.keras")
"""
# The weights into a network built here, and the whole model as saved.
READ = """
from helpers import small_dataset
from test_training import small_config, models, training, keras
dataset, config = small_dataset(), small_config(folder, backbone="efficientnetv2-s", weights="none", seed=1)
network = models.build_model(config)
network.load_weights(folder / "network.weights.h5")
"""
PREDICT = """
assert keras.backend.backend() == backend
np.savez(folder / f"{backend}.npz", films=training.predict(network, dataset, config, "test"),
         whole=training.predict(keras.models.load_model(folder / "network.keras"), dataset, config, "test"))
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
    head = f"import sys; sys.path.insert(0, {str(HERE)!r})\nimport numpy as np\nfrom pathlib import Path\nfolder, backend = Path(sys.argv[1]), sys.argv[2]\n"
    done = subprocess.run([sys.executable, "-c", head + code, str(folder), backend], capture_output=True, text=True, env=os.environ | {"KERAS_BACKEND": backend})
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with the weights that TensorFlow trained, and its predictions."""
    folder = tmp_path_factory.mktemp("weights")
    run_on("tensorflow", WRITE + PREDICT.replace("keras.", "models.keras."), folder)
    return folder


@pytest.mark.parametrize("backend", OTHERS)
def test_same_predictions_from_the_same_weights(backend, written):
    need(backend)
    run_on(backend, READ + PREDICT, written)
    with np.load(written / "tensorflow.npz") as expected, np.load(written / f"{backend}.npz") as found:
        assert np.ptp(expected["films"]) > 0.2  # they are worth comparing
        np.testing.assert_allclose(found["films"], expected["films"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(found["whole"], expected["films"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("backend", OTHERS)
def test_both_phases_train(backend, tmp_path):
    need(backend)
    # What JAX has compiled for one test, the next need not compile.
    environment = os.environ | {"KERAS_BACKEND": backend, "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "jax"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"{HERE / 'test_training.py'}::{name}" for name in TRAINING)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"{len(TRAINING)} passed" in done.stdout
