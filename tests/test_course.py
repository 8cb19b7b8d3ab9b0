"""The runner of notebooks, on small real ones: what it refuses, what it passes on, what a failure leaves."""

import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from cxrkit.course import run_course
from cxrkit.errors import CxrkitError
from cxrkit.notebooks import find_notebooks, own_kernel_manager, read_parameters

pytest.importorskip("papermill")

PARAMETERS = """\
profile: str = "auto"  # row of defaults
out: str = ""  # run folder
data: str = ""
weights: str = ""
seed: int = 0
head_epochs: int = 0  # 0: the profile's
target_sensitivity: float = 0.0
shuffle: bool = True"""


def write_notebook(path, *cells, parameters=PARAMETERS, tag="parameters"):
    path.parent.mkdir(parents=True, exist_ok=True)
    first = nbformat.v4.new_code_cell(parameters, metadata={"tags": [tag] if tag else []})
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[first, *map(nbformat.v4.new_code_cell, cells)], metadata=kernel)
    nbformat.write(notebook, path)
    return path


def printed(path):
    cells = nbformat.read(path, as_version=4).cells
    return "".join(o.text for c in cells if c.cell_type == "code" for o in c.outputs if o.output_type == "stream")


@pytest.fixture
def folder(tmp_path):
    """A course in a folder whose name holds a space and papermill's own brackets."""
    home = tmp_path / "my course {1}"
    for name in ("00_start", "02_frozen", "03_fine", "04_end"):
        write_notebook(home / f"{name}.ipynb", "import os; print(profile, seed, head_epochs, shuffle, os.path.basename(out))")
    return home


def test_runs_in_order_with_typed_parameters(folder, tmp_path, capsys):
    result = run_course(profile="demo", parameters={"head_epochs": "3", "shuffle": "false"}, out=tmp_path / "my [test] run", seed=5, folder=folder)
    assert result.ok and [o.notebook for o in result.outcomes] == ["00_start", "02_frozen", "03_fine", "04_end"]
    for outcome in result.outcomes:
        assert outcome.path == tmp_path / "my [test] run" / "notebooks" / f"{outcome.notebook}.ipynb"
        assert printed(outcome.path) == "demo 5 3 False my [test] run\n"
    left = sorted(p.name for p in (tmp_path / "my [test] run" / "notebooks").iterdir())
    assert left == [f"{o.notebook}.ipynb" for o in result.outcomes]
    printed_lines = capsys.readouterr().out.splitlines()
    assert printed_lines[0].endswith(f"results in {tmp_path / 'my [test] run'}"), "brackets are no markup"
    lines = [line for line in printed_lines if line.startswith("done")]
    assert len(lines) == 4, "one line a notebook"


def test_failure_skips_those_that_need_it(folder, tmp_path, capsys):
    write_notebook(folder / "02_frozen.ipynb", "x = 1", "from cxrkit import CxrkitError\nraise CxrkitError('No films here. Add some.')")
    result = run_course(profile="demo", out=tmp_path / "run", folder=folder)
    assert [(o.notebook, o.status) for o in result.outcomes] == [
        ("00_start", "done"), ("02_frozen", "failed"), ("03_fine", "skipped"), ("04_end", "skipped")]
    assert "cell In [" in result.outcomes[1].note and "No films here. Add some." in result.outcomes[1].note
    assert result.outcomes[1].path.name == "02_frozen.failed.ipynb" and result.outcomes[1].path.is_file()
    assert "needs 02" in result.outcomes[2].note and "needs 02 and 03" in result.outcomes[3].note
    write_notebook(folder / "02_frozen.ipynb", "x = 1")
    assert run_course(["02"], profile="demo", out=tmp_path / "run", folder=folder).ok
    assert not result.outcomes[1].path.exists(), "the failed copy goes once the notebook ends well"


def test_cell_timeout(folder, tmp_path):
    write_notebook(folder / "00_start.ipynb", "import time; time.sleep(60)")
    start = time.monotonic()
    result = run_course(["00"], profile="demo", out=tmp_path / "run", folder=folder, timeout=2)
    assert time.monotonic() - start < 40
    assert result.outcomes[0].status == "failed" and "longer than 2 s" in result.outcomes[0].note


def test_dead_kernel_is_one_line(folder, tmp_path):
    write_notebook(folder / "00_start.ipynb", "import os; os._exit(9)")
    result = run_course(["00"], profile="demo", out=tmp_path / "run", folder=folder)
    assert result.outcomes[0].status == "failed" and "kernel died" in result.outcomes[0].note


@pytest.mark.parametrize(
    "given, message",
    [
        ({"head_epoch": "3"}, "Did you mean 'head_epochs'"),
        ({"head_epochs": "three"}, "int expected"),
        ({"head_epochs": 2.5}, "int expected"),
        ({"head_epochs": True}, "int expected"),
        ({"shuffle": "maybe"}, "true or false expected"),
        ({"target_sensitivity": "high"}, "float expected"),
        ({"target_sensitivity": 0.2}, "between 0.5 and 1.0"),
        ({"profile": "dmo"}, "Did you mean 'demo'"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(folder, tmp_path, given, message):
    with pytest.raises(CxrkitError, match=message):
        run_course(parameters=given, out=tmp_path / "run", folder=folder)
    assert not (tmp_path / "run").exists()


def test_a_parameter_that_is_given_twice_is_refused(folder, tmp_path):
    for options, name in (({"seed": 4, "parameters": {"seed": "3"}}, "seed"), ({"profile": "demo", "parameters": {"profile": "laptop"}}, "profile")):
        with pytest.raises(CxrkitError, match=f"{name} is given twice, as --{name} and as -p {name}"):
            run_course(folder=folder, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_wrong_paths_are_refused_before_anything_runs(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for option in ("data", "weights"):
        with pytest.raises(CxrkitError, match=f"--{option}: {tmp_path}/nowhere does not exist"):
            run_course(folder=folder, out="run", **{option: "nowhere"})
    with pytest.raises(CxrkitError, match="Did you mean 'imagenet'"):
        run_course(folder=folder, out="run", weights="imagnet")
    with pytest.raises(CxrkitError, match="cxrkit data get chestxray2017"):
        run_course(folder=folder, out="run", profile="laptop")
    (tmp_path / "file").write_text("")
    with pytest.raises(CxrkitError, match="cannot be made"):
        run_course(folder=folder, out="file", profile="demo")


def test_relative_paths_count_from_where_the_command_was_given(tmp_path, monkeypatch):
    notebook = write_notebook(tmp_path / "course" / "01_x.ipynb", "print(data)", parameters='data: str = ""')
    (tmp_path / "films").mkdir()
    monkeypatch.chdir(tmp_path)
    result = run_course([str(notebook)], profile="demo", data="films", out="run")
    assert printed(result.outcomes[0].path).strip() == str(tmp_path / "films")


def test_relative_folders_of_the_environment_count_from_there_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXRKIT_DATA", "my data")
    monkeypatch.setenv("KERAS_HOME", "weights")
    where = "from cxrkit import locate; print(locate.data_folder(), locate.keras_weights_folder())"
    notebook = write_notebook(tmp_path / "course" / "01_x.ipynb", where)
    result = run_course([str(notebook)], profile="demo", out="run")
    assert printed(result.outcomes[0].path).strip() == f"{tmp_path / 'my data'} {tmp_path / 'weights' / 'models'}"


@pytest.mark.parametrize("option, value", [("seed", 7), ("weights", "none"), ("data", ".")])
def test_an_option_that_no_notebook_reads_is_refused(tmp_path, option, value):
    notebook = write_notebook(tmp_path / "course" / "01_x.ipynb", parameters='profile: str = "auto"')
    with pytest.raises(CxrkitError, match=f"01_x has no parameter '{option}'"):
        run_course([str(notebook)], profile="demo", out=tmp_path / "run", **{option: value})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "parameters, tag, message",
    [(PARAMETERS, None, "no cell tagged 'parameters'"), ("n = 3", "parameters", "no annotated type"), ("n: list = []", "parameters", "no annotated type"),
     ("n: int = 5 * 2", "parameters", "The default of n in 00_x.ipynb must be written out"), ('n: str = "a#b"', "parameters", "no # inside a text")],
)
def test_notebooks_without_checked_parameters_are_refused(tmp_path, parameters, tag, message):
    notebook = write_notebook(tmp_path / "00_x.ipynb", parameters=parameters, tag=tag)
    with pytest.raises(CxrkitError, match=message):
        run_course([str(notebook)], profile="demo", out=tmp_path / "run")


def test_no_notebook_at_all(tmp_path):
    broken = tmp_path / "00_x.ipynb"
    broken.write_text("{not json")
    with pytest.raises(CxrkitError, match="cannot be read as a notebook"):
        read_parameters(broken)


def test_names(folder):
    assert [p.stem for p in find_notebooks(["03", "00_start.ipynb"], folder)] == ["00_start", "03_fine"]
    with pytest.raises(CxrkitError, match="could be 00_start, 02_frozen"):
        find_notebooks(["0"], folder)
    with pytest.raises(CxrkitError, match="Did you mean '02_frozen'"):
        find_notebooks(["02_frosen"], folder)


def test_parameters_are_read_with_type_default_and_help(folder):
    parameters = read_parameters(folder / "00_start.ipynb")
    assert list(parameters) == ["profile", "out", "data", "weights", "seed", "head_epochs", "target_sensitivity", "shuffle"]
    assert (parameters["head_epochs"].kind, parameters["head_epochs"].default, parameters["head_epochs"].help) == ("int", 0, "0: the profile's")


def test_kernel_is_this_python_whatever_jupyter_knows(folder, tmp_path, monkeypatch):
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "wrong", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("MPLBACKEND", "agg")
    write_notebook(folder / "00_start.ipynb", "import sys; print(sys.executable)", "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()")
    result = run_course(["00"], profile="demo", out=tmp_path / "run", folder=folder)
    assert result.ok, result.outcomes[0].note
    assert printed(result.outcomes[0].path).strip() == sys.executable
    assert "image/png" in nbformat.read(result.outcomes[0].path, as_version=4).cells[-1].outputs[-1].data, "figures are drawn into the notebook"
    assert own_kernel_manager()(kernel_name="python3").kernel_spec.argv[0] == sys.executable


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_interrupt_stops_cleanly_and_says_how_to_go_on(folder, tmp_path):
    write_notebook(folder / "00_start.ipynb", f"open({str(tmp_path / 'started')!r}, 'w').write(str(__import__('os').getpid()))", "import time; time.sleep(120)")
    command = [sys.executable, "-m", "cxrkit", "run", str(folder / "00_start.ipynb"), "--profile", "demo", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # a background shell has it ignored
    deadline = time.monotonic() + 60
    while not (tmp_path / "started").exists() or not (tmp_path / "started").read_text():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "same command goes on" in said and "Traceback" not in said, said
    assert list((tmp_path / "run" / "notebooks").iterdir()) == []
    kernel = int((tmp_path / "started").read_text())
    deadline = time.monotonic() + 15
    while os.path.exists(f"/proc/{kernel}") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not os.path.exists(f"/proc/{kernel}"), "the kernel is gone as well"
