"""The threshold lab by itself: its notebook, filled in for one predictions file or run, in a JupyterLab of its own."""

import importlib.util
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from .errors import CxrkitError, MissingExtraError
from .files import atomic_path

TEMPLATE = Path(__file__).parent / "templates" / "thresholds.ipynb"
_START = 90  # seconds that JupyterLab may take to answer


def lab_notebook(source) -> Path:
    """Return the notebook of the lab for a predictions file or a run folder; made beside it where it is not there yet.

    What its reader wrote into it stays; only the path is brought up to date.

    Parameters
    ----------
    source : path of a predictions file (`evaluation.read_predictions`) or of a finished run folder.

    Raises
    ------
    CxrkitError for what is wrong with the file or folder, before anything is written.
    """
    from .widgets.sources import source_of

    path = Path(source).expanduser().resolve()
    if not path.exists():
        raise CxrkitError(f"{path} does not exist. Give a predictions file (path, label, probability), or the folder of a finished run (made by: cxrkit run).")
    source_of(path)
    notebook = path / "thresholds.ipynb" if path.is_dir() else path.with_name(f"{path.stem}.thresholds.ipynb")
    text = (notebook if notebook.is_file() else TEMPLATE).read_text(encoding="utf-8")
    try:
        content = json.loads(text)
        cell = next(cell for cell in content["cells"] if "parameters" in cell["metadata"].get("tags", []))
    except (ValueError, KeyError, StopIteration):
        raise CxrkitError(f"{notebook} has no cell of parameters, or is damaged. Rename it and call this again: a new one is made.") from None
    filled = f"source: str = {str(path)!r}"
    if "".join(cell["source"]) != filled:  # new; or the folder was copied or renamed, and the lab would open, and lock, the old one
        cell["source"] = filled
        for cell in content["cells"]:
            if cell["cell_type"] == "code":
                cell |= {"outputs": [], "execution_count": None}  # of the other predictions
        with atomic_path(notebook) as partial:
            partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return notebook


def serve(notebook: Path, browser=True, port: int | None = None, say=print) -> int:
    """Run JupyterLab on a notebook until Ctrl-C, say its address, and return its exit code.

    Parameters
    ----------
    notebook : the .ipynb; its folder is what the server shows.
    browser : whether to open the address in the system's browser.
    port : of 127.0.0.1; None: a free one.
    say : prints one line.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise MissingExtraError("jupyterlab", "lab")
    port, token = port or _free_port(), secrets.token_hex(24)
    command = [
        sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={notebook.parent}", "--log-level=ERROR", str(notebook) if browser else "--no-browser",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # a container
    # The token goes through the environment: other users of the machine can read command lines. For the same reason Jupyter itself
    # opens the browser, on a page in a folder of this user alone.
    server = subprocess.Popen(command, env=os.environ | {"JUPYTER_TOKEN": token})
    try:
        _wait_for(server, f"http://127.0.0.1:{port}/api/status?token={token}")
        address = f"http://127.0.0.1:{port}/lab/tree/{urllib.parse.quote(notebook.name)}?token={token}"
        say(f"The threshold lab: {address}")
        say("Run all cells there. Ctrl-C here ends it.")
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        if server.poll() is None:
            server.terminate()
            try:
                server.wait(timeout=20)
            except subprocess.TimeoutExpired:
                server.kill()


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(server, address):
    """Return when the server answers; CxrkitError when it ends or is silent for too long."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # this machine's own address
    end = time.monotonic() + _START
    while time.monotonic() < end:
        if server.poll() is not None:
            raise CxrkitError(f"JupyterLab ended at once with exit code {server.returncode}; its own message stands above. Another port: --port N")
        try:
            opener.open(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise CxrkitError(f"JupyterLab did not answer within {_START} s.")
