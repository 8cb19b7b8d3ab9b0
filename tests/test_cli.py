"""The command line as a user meets it: exit codes, one or two plain lines, the way out."""

import importlib.util
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

import cxrkit
from cxrkit import doctor
from cxrkit.progress import Progress


def cxrkit_command(*arguments, **environment):
    """Run the command line in a process of its own; returns (exit code, stdout, stderr)."""
    done = subprocess.run([sys.executable, "-m", "cxrkit", *map(str, arguments)], capture_output=True, text=True, timeout=120, env=os.environ | environment)
    return done.returncode, done.stdout, done.stderr


def test_version_and_help(said):
    assert said("--version")[:2] == (0, f"cxrkit {cxrkit.__version__}\n")
    code, out, _ = said("--help")
    assert code == 0 and all(name in out for name in ("doctor", "data", "run", "--debug"))


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run", "--profle", "demo"], "--profile"),
        (["run", "--seed", "1.5"], "--seed"),
        (["run", "-p", "seed"], "write: -p NAME VALUE"),
        (["run", "nothing_here"], "There is no notebook 'nothing_here'"),
        (["data", "get"], "Missing argument"),
        (["data", "get", "chestxray"], "Did you mean 'chestxray2017'"),
        (["data", "get", "imagenet", "--backbone", "efficientnetv2-x"], "Did you mean 'efficientnetv2-"),
        (["data", "get", "pneumoniamnist", "--size", "100"], "28, 64, 128, 224"),
        (["data", "check", "/nowhere/at/all"], "does not exist"),
    ],
)
def test_mistakes_end_in_one_or_two_lines_and_exit_2(said, arguments, words):
    code, out, err = said(*arguments)
    assert code == 2 and words in err, err
    assert len(err.strip().splitlines()) <= 2 and "Traceback" not in err and out == ""


def test_debug_shows_where_it_came_from(tmp_path):
    code, _, err = cxrkit_command("data", "check", tmp_path / "nowhere", "--debug")
    assert code != 0 and "Traceback" in err and "CxrkitError" in err


def test_unexpected_errors_name_the_way_to_more(said, monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: 1 / 0)
    code, out, err = said("doctor")
    assert code == 2 and out == "" and "ZeroDivisionError" in err and "--debug" in err and len(err.strip().splitlines()) == 2


def test_doctor_tells_what_is_there_and_what_is_missing(said):
    code, out, _ = said("doctor", "--json")
    rows = {(row["group"], row["name"]): row for row in json.loads(out)}
    assert code == 0
    assert rows["packages", "numpy"]["found"] == __import__("numpy").__version__
    assert rows["places", "Real images"]["state"] == "optional" and "cxrkit data get chestxray2017" in rows["places", "Real images"]["mend"]
    assert "GB free" in rows["places", "Cache"]["found"] and rows["machine", "Memory"]["found"]
    assert "CXRKIT_PROFILE" in rows["course", "Profile auto"]["found"]
    assert not [row for row in rows.values() if row["state"] == "missing"]
    code, out, _ = said("doctor")
    assert code == 0 and "optional" in out and "\x1b" not in out, "readable without colours"


def test_doctor_names_the_line_that_mends(said, monkeypatch):
    from packaging.requirements import Requirement

    monkeypatch.setenv("CXRKIT_PROFILE", "labtop")
    missing = [doctor._package(Requirement("no-such-package-here>=1"), extra) for extra in ("", "course")]
    assert [(row["state"], row["mend"]) for row in missing] == [("missing", "make install, or: pip install -e . in the checkout"), ("optional", 'pip install "cxrkit[course]"')]
    assert doctor._package(Requirement("numpy>=99"), "")["found"].endswith("needs >=99")
    code, out, _ = said("doctor")
    assert code == 0 and "Did you mean 'laptop'" in " ".join(out.split()) and "unset CXRKIT_PROFILE" in out


def test_auto_takes_the_largest_profile_that_everything_is_there_for(tmp_path, monkeypatch, capsys):
    """With a GPU and what the README fetches for `laptop` alone, auto is `laptop` and not phantom films."""
    gpu = tmp_path / "bin" / "nvidia-smi"
    gpu.parent.mkdir()
    gpu.write_text("#!/bin/sh\necho 'GPU 0: a test (UUID: 0)'\n")
    gpu.chmod(0o755)
    monkeypatch.delenv("CXRKIT_PROFILE")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras" / "models").mkdir(parents=True)
    (tmp_path / "data" / "chest_xray").mkdir(parents=True)

    def chosen():
        return cxrkit.configure().profile, capsys.readouterr().out

    assert chosen()[0] == "demo"
    (tmp_path / "keras" / "models" / "efficientnetv2-b0_notop.h5").write_text("")
    assert chosen() == ("laptop", "Profile 'laptop': real images and weights are on this disk, and there is no GPU.\n")
    monkeypatch.setenv("PATH", f"{gpu.parent}{os.pathsep}{os.environ['PATH']}")
    profile, said = chosen()
    assert profile == "laptop" and "a GPU was found; `paper` needs the weights of efficientnetv2-s" in said
    (tmp_path / "keras" / "models" / "efficientnetv2-s_notop.h5").write_text("")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")  # a framework that sees none, asked for real
    profile, said = chosen()
    assert profile == "laptop" and "framework does not see it" in said and "cxrkit[gpu]" in said, "`paper` would take hours without the GPU"
    monkeypatch.setattr("cxrkit.locate.backend_sees_gpu", lambda: True)  # no test machine has one
    assert chosen() == ("paper", "Profile 'paper': real images and weights are on this disk, and a GPU was found.\n")


@pytest.mark.slow
@pytest.mark.parametrize("home", ["/proc/none", "writable"])
def test_weights_are_looked_for_where_keras_puts_them(tmp_path, home):
    code = "import keras; from cxrkit import locate; print(locate.keras_weights_folder()); print(keras.config.keras_home() if hasattr(keras.config, 'keras_home') else keras.src.backend.config.keras_home())"
    home = home if home.startswith("/") else str(tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_HOME"} | {"HOME": home}
    ours, keras_home = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True).stdout.split()[-2:]
    assert Path(ours) == Path(keras_home) / "models"


def test_the_time_left_is_reckoned_without_what_an_earlier_start_did(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for done, left in ((0, "1 s left"), (90, "10 s left")):
        monkeypatch.setattr(sys, "stderr", Terminal())
        bar = Progress("training", 100, done=done)
        bar.start -= 10  # ten seconds ago
        bar.update(91 if done == 0 else 95)
        assert left in sys.stderr.getvalue(), sys.stderr.getvalue()


@pytest.mark.parametrize("backend, mend", [("bogus", "unset KERAS_BACKEND"), ("torch", 'pip install "cxrkit[torch]"')])
def test_doctor_asks_for_the_backend(monkeypatch, backend, mend):
    if backend == "torch" and importlib.util.find_spec("torch"):
        pytest.skip("PyTorch is installed")
    monkeypatch.setenv("KERAS_BACKEND", backend)
    row = next(row for row in doctor.examine(slow=False) if row["name"] == "Keras backend")
    assert row["state"] == "missing" and mend in row["mend"]
    monkeypatch.delenv("KERAS_BACKEND")
    assert next(row for row in doctor.examine(slow=False) if row["name"] == "Keras backend")["state"] == "ok"


@pytest.mark.parametrize("words, message", [
    (("data", "get", "imagnet"), "Did you mean 'imagenet'"), (("data", "get", "chestxray2017", "--backbone", "efficientnetv2-s"), "--backbone goes with imagenet"),
    (("thresholds", "x.csv", "--port", "99999"), "65535"),
])
def test_options_that_cannot_be_meant_are_refused(said, words, message):
    code, out, err = said(*words)
    assert code == 2 and message in " ".join((out + err).split())


def test_missing_extra_names_its_install_line(said, monkeypatch):
    monkeypatch.setitem(sys.modules, "papermill", None)
    code, _, err = said("run")
    assert code == 2 and 'pip install "cxrkit[course]"' in err


def test_run_passes_parameters_and_lists_them(said, tmp_path):
    cell = nbformat.v4.new_code_cell('profile: str = "auto"  # row of defaults\nhead_epochs: int = 0  # passes', metadata={"tags": ["parameters"]})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path = tmp_path / "00_x.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell("print(profile, head_epochs + 1)")], metadata=kernel), path)
    code, out, _ = said("run", path, "--list")
    assert code == 0 and all(word in out for word in ("head_epochs", "int", "passes", "'auto'"))
    code, out, err = said("run", path, "-p", "head_epochs", "6", "--profile", "demo", "--out", tmp_path / "my run")
    assert code == 0, err
    assert "demo 7" in nbformat.read(tmp_path / "my run" / "notebooks" / "00_x.ipynb", 4).cells[-1].outputs[0].text
    code, _, err = said("run", path, "-p", "head_epoch", "6")
    assert code == 2 and "Did you mean 'head_epochs'" in err
    nbformat.write(nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_code_cell("1 / 0")], metadata=kernel), path)
    code, out, _ = said("run", path, "--profile", "demo", "--out", tmp_path / "my run")
    assert code == 1 and "ZeroDivisionError" in out and "00_x.failed.ipynb" in out


def test_check_counts_films_and_exits_2_on_a_bad_one(said, tmp_path):
    from PIL import Image

    for split in ("train", "test"):
        for kind in ("NORMAL", "PNEUMONIA"):
            (tmp_path / split / kind).mkdir(parents=True)
            for number in range(2):
                Image.new("L", (64, 64), 40 + number).save(tmp_path / split / kind / f"person{number}_virus_{number}.jpeg")
    code, out, err = said("data", "check", tmp_path)
    assert code == 0 and "8" in out, err
    (tmp_path / "train" / "NORMAL" / "broken.jpeg").write_bytes(b"not a picture")
    code, _, err = said("data", "check", tmp_path)
    assert code == 2 and "broken.jpeg" in err
    code, out, _ = said("data", "check", tmp_path, "--skip-bad")
    assert code == 0 and "broken.jpeg" in out
    with zipfile.ZipFile(tmp_path / "climbs.zip", "w") as archive:
        archive.writestr("../train/NORMAL/a.jpeg", b"x")
    code, _, err = said("data", "check", tmp_path / "climbs.zip")
    assert code == 2 and "climbs out" in err


def test_list_says_what_is_on_this_disk(said, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))

    def b0():
        code, out, _ = said("data", "list")
        assert code == 0 and "chestxray2017" in out and "1,236 MB" in out and str(tmp_path / "keras" / "models") in out
        return next(line for line in out.splitlines() if "efficientnetv2-b0" in line)

    assert "no" in b0().split()
    (tmp_path / "keras" / "models").mkdir(parents=True)
    (tmp_path / "keras" / "models" / "efficientnetv2-b0_notop.h5").write_bytes(b"")
    assert "yes" in b0().split()
    code, out, _ = said("data", "get", "imagenet")
    assert code == 0 and out.strip().endswith("efficientnetv2-b0_notop.h5"), "nothing is fetched twice"


@pytest.mark.slow
def test_weights_without_network_say_which_file_goes_where(tmp_path):
    code, _, err = cxrkit_command("data", "get", "imagenet", KERAS_HOME=str(tmp_path), HTTPS_PROXY="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9")
    lines = [line for line in err.strip().splitlines() if "tensorflow/" not in line and "local_xla" not in line]
    assert code == 2 and "efficientnetv2-b0_notop.h5" in lines[-1] and str(tmp_path) in lines[-1] and "demo" in lines[-1], err


@pytest.mark.parametrize("words", [("-p", "seed", "1", "-p", "seed", "2"), ("-p", "skip_bad", "false", "--skip-bad")])
def test_a_parameter_given_twice_is_refused(said, words):
    code, _, error = said("run", "--profile", "demo", *words)
    assert code == 2 and "is given twice" in error


def test_phantom_weights_fit_one_backbone(said):
    code, _, error = said("run", "02", "--profile", "laptop", "--weights", "phantom", "--data", __file__)
    assert code == 2 and "they do not fit efficientnetv2-b0" in error
