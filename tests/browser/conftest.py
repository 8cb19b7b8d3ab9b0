"""A real browser on a real JupyterLab: Chromium as the system has it, a server of our own on loopback, a run folder made on the spot."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from lab_page import LabPage

INSTALL = "sudo apt-get install chromium, or name one: CXRKIT_CHROMIUM=/path/to/chromium"
SETTINGS = {  # nothing pops up, no cell is left undrawn while it is out of sight
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}


def miss(what):
    """A missing browser is a failure where the tests are the judge, and a reason elsewhere."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{what}; in continuous integration it must be there. {INSTALL}", pytrace=False)
    pytest.skip(f"{what}. {INSTALL}")


@pytest.fixture(scope="session")
def browser():
    """Chromium, driven by Playwright."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("CXRKIT_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not found:
        miss("no Chromium was found")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        miss('the package playwright is not installed (pip install -e ".[dev]")')
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])  # root in a container has none
        yield started
        started.close()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A finished run on phantom films, its probabilities drawn and not learned: validation is kinder than test."""
    from cxrkit.config import configure
    from cxrkit.data import load_dataset
    from cxrkit.runs import open_run

    home = tmp_path_factory.mktemp("browser")
    config = configure("demo", phantom_images=600, out=str(home / "demo"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXRKIT_CACHE", str(home / "cache"))
        dataset = load_dataset(config)
    run = open_run(config, dataset)
    rng = np.random.default_rng(7)
    with run.stage("fine_tuned"):
        for split, unlike in (("val", 0.0), ("test", 0.9)):
            labels = dataset.labels[dataset.index(split)]
            score = 3.4 * labels - 1.7 + unlike * (1 - labels) + rng.normal(0, 1.1, len(labels))
            run.save_predictions("fine_tuned", split, 1 / (1 + np.exp(-1.4 * score)))
    return run.folder


@pytest.fixture(scope="session")
def lab_address(browser, run_folder, tmp_path_factory):
    """The address that `cxrkit thresholds` prints; the server and its kernels end with the tests."""
    home = tmp_path_factory.mktemp("jupyter")
    for name, values in SETTINGS.items():
        path = home / "lab" / "user-settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))
    (home / "jupyter_lab_config.json").write_text(json.dumps({"LabApp": {"expose_app_in_browser": True, "news_url": None}}))
    places = {"JUPYTER_CONFIG_DIR": home, "JUPYTER_DATA_DIR": home / "data", "JUPYTER_RUNTIME_DIR": home / "runtime", "IPYTHONDIR": home / "ipython",
              "CXRKIT_CACHE": run_folder.parent / "cache", "JUPYTERLAB_SETTINGS_DIR": home / "lab" / "user-settings", "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces"}
    command = [sys.executable, "-m", "cxrkit", "thresholds", str(run_folder), "--no-browser"]
    server = subprocess.Popen(command, env=os.environ | {name: str(path) for name, path in places.items()}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, start_new_session=True)
    said = []
    try:
        for line in server.stdout:
            said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\S+", line):
                break
        else:
            pytest.fail("cxrkit thresholds ended without an address:\n" + "".join(said))
        yield found[0]
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def lab(browser, lab_address):
    """One page that the tests of a file share, in their order."""
    page = LabPage(browser, lab_address).run_all()
    yield page
    page.close()
