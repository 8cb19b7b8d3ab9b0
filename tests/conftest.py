"""Fixtures that all tests share: nothing is read from or written to the user's own caches."""

import os
from pathlib import Path

import pytest

from cxrkit import cli

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parent.parent


FOLDERS = {"CXRKIT_CACHE": "cache", "CXRKIT_DATA": "data", "CXRKIT_RUNS": "runs"}


@pytest.fixture(autouse=True, scope="session")
def session_folders(tmp_path_factory):
    """For fixtures of a module or of the session, which are made before a test's own folders; `make test` has set its own."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, folder in FOLDERS.items():
            if name not in os.environ:
                monkeypatch.setenv(name, str(tmp_path_factory.getbasetemp() / folder))
        yield


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Caches, data and runs of a test live in its temporary folder; the profile is the demo's."""
    for name, folder in FOLDERS.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("CXRKIT_PROFILE", "demo")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real images; the test is skipped where it is absent."""
    folder = Path(os.environ.get("CXRKIT_SHARED", ROOT.parent / "shared"))
    if not (folder / "data" / "chest_xray").is_dir():
        pytest.skip(f"the real images are not at {folder / 'data' / 'chest_xray'} (set CXRKIT_SHARED)")
    return folder


@pytest.fixture
def said(capsys):
    """Run the command line in this process; returns (exit code, stdout, stderr)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
        return end.value.code, *capsys.readouterr()

    return run
