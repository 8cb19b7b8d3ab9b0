"""What would break on Windows, as far as Linux can show it: modules and names that only POSIX has are taken away from the kit."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from films import film_files, write_folder, write_zip

ROOT = Path(__file__).resolve().parent.parent

# Everything is imported once, so that the libraries keep what they take from the system; then the kit alone is imported anew
# and meets an `os`, `signal` and `platform` that hold what Windows has.
AS_ON_WINDOWS = """
import importlib, os, pkgutil, platform, signal, sys, types
import cxrkit

modules = [m.name for m in pkgutil.walk_packages(cxrkit.__path__, "cxrkit.") if not m.name.startswith(("cxrkit.grading", "cxrkit.__main__"))]
for name in modules:
    importlib.import_module(name)
for name in [m for m in sys.modules if m.split(".")[0] == "cxrkit"]:
    del sys.modules[name]
missing = {
    os: '''chown fork forkpty getegid geteuid getgid getloadavg getpgid getpriority getuid killpg mkfifo mknod nice O_CLOEXEC O_DIRECTORY
        O_NOFOLLOW O_NONBLOCK pread pwrite sched_getaffinity sched_setaffinity setgid setpgid setsid setuid statvfs sysconf uname
        wait3 wait4 WNOHANG''',
    signal: "SIGALRM SIGHUP SIGKILL SIGQUIT SIGUSR1 alarm pause setitimer",
    platform: "",
}
for module, names in missing.items():
    there = types.ModuleType(module.__name__)
    there.__dict__.update({name: value for name, value in vars(module).items() if name not in names.split()})
    sys.modules[module.__name__] = there
sys.modules["os"].name = "nt"
sys.modules["platform"].system, sys.modules["platform"].libc_ver = lambda: "Windows", lambda: ("", "")
for name in "fcntl grp posix pty pwd resource syslog termios tty".split():
    sys.modules[name] = None
"""


@pytest.mark.slow
def test_modules_films_run_folder_and_doctor_work_without_posix_and_the_grader_names_the_way_out(tmp_path):
    folder, archive = write_folder(tmp_path / "films"), write_zip(tmp_path / "films.zip", film_files())
    code = AS_ON_WINDOWS + """
for name in modules:
    importlib.import_module(name)
print(len(modules), "cxrkit.backend" in sys.modules)
from cxrkit import CxrkitError, configure, doctor, load_dataset, open_run, runs
small = {"stored_size": 32, "image_size": 32, "val_fraction": 0.25}
sets = [load_dataset(configure("laptop", data=path, **small), progress=False) for path in sys.argv[1:3]]
print(len({films.fingerprint for films in sets}), len(sets[0]))
config = configure("laptop", data=sys.argv[1], out=sys.argv[3], **small)
print(open_run(config, sets[0]).folder.is_dir(), runs._peak_memory_mb() > 1)
print({row["state"] for row in doctor.examine(slow=False) if row["group"] == "machine"} <= {"ok", "optional"})
try:
    import cxrkit.grading
except CxrkitError as problem:
    print(problem)
"""
    done = subprocess.run([sys.executable, "-c", code, folder, archive, tmp_path / "run"], capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr
    modules, films, run, machine, grader = done.stdout.splitlines()
    assert int(modules.split()[0]) > 60 and modules.endswith("True")
    assert (films, run, machine) == ("1 24", "True True", "True") and "inside WSL" in grader


def test_text_files_name_their_encoding():
    """Windows takes its own code page where none is named, and a film's name in another alphabet ends the run."""
    found = []
    for path in sorted((ROOT / "cxrkit").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("read_text", "write_text"):
                if not any(word.arg == "encoding" for word in node.keywords):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []
