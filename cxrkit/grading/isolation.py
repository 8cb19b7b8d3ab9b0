"""What stands between a student's code and this machine: bubblewrap, else unshare, else another user and limits.

Each is tried by really running a notebook in it before a submission is; what is claimed is what was seen.
"""

import contextlib
import dataclasses
import json
import os
import pwd
import shutil
import sys
from pathlib import Path

import filelock

from .. import config
from ..errors import CxrkitError

METHODS = ("bwrap", "unshare", "limits")
HOME = "/tmp/home"  # where a submission works, inside
KIT = Path(__file__).resolve().parent.parent
INSIDE = KIT / "grading" / "inside"
# What of cxrkit.checks a notebook needs; the judges stay outside, so that no answer can be asked of them.
CHECKS = ("__init__.py", "plain.py", "tasks.py", "desk.py", "worlds.py", "hospital.py", "hints.py", "quizzes.py", "questions.py")
_LOCKS = Path("/var/run/cxrkit")  # root's alone
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "fonts", "mime.types", "alternatives")
_SENTENCES = {
    "bwrap": "bubblewrap: own process, network, IPC and mount namespaces, {user}, a read-only minimal file system, no network",
    "unshare": "unshare: own process, network, IPC and mount namespaces, {user}, a read-only minimal file system, no network",
    "limits": "limits only: {user}, limits on time, memory, files and processes",
}
_WARNING = (
    "Limits alone, no walls: a notebook can use the network and read every file that {user} can read, solutions and other submissions "
    "included. Walls need bubblewrap or unshare on Linux (Debian, Ubuntu: sudo apt install bubblewrap).")


@dataclasses.dataclass(frozen=True)
class Isolation:
    """`method` in force; `hidden`: folders that no submission may see; `sentence` for the report; `warning` or ""."""

    method: str
    hidden: tuple
    sentence: str
    warning: str = ""

    @property
    def namespaces(self) -> bool:
        return self.method != "limits"


def candidates(wanted: str, hidden) -> list[Isolation]:
    """Return the isolations that this system may have, best first; `wanted` is auto or one of METHODS."""
    if wanted not in ("auto", *METHODS):
        raise CxrkitError(f"--isolation: '{wanted}' is none of auto, {', '.join(METHODS)}.")
    found = []
    for method in METHODS if wanted == "auto" else (wanted,):
        if method != "limits" and not (sys.platform == "linux" and shutil.which(method) and shutil.which("setpriv")):
            continue
        root = os.geteuid() == 0
        user = "an unprivileged user" if method != "limits" or root else "your own user"
        warning = _WARNING.format(user="everybody" if root else "you") if method == "limits" else ""
        found.append(Isolation(method, tuple(str(Path(path).resolve()) for path in hidden), _SENTENCES[method].format(user=user), warning))
    return found


@contextlib.contextmanager
def free_user(slot: int):
    """Give the user id that a root grader drops to, None for others, and hold it meanwhile.

    Each running notebook has one of its own, also beside another grader: limits on processes count per user, and a notebook is ended with all of its user's.
    """
    if os.geteuid() != 0:
        yield None
        return
    number = 62_000 + slot
    while _known(number) or not (lock := _held(number)):
        number += 100
    try:
        yield number
    finally:
        lock.release()


def _held(number):
    """Return the lock of a user id, or None where another grader holds it."""
    with contextlib.suppress(OSError):  # no such folder can be made: then there is nothing to hold
        _LOCKS.mkdir(mode=0o700, exist_ok=True)
    lock = filelock.FileLock(_LOCKS / f"{number}.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        return None
    except OSError:
        pass
    return lock


def _known(number):
    try:
        return bool(pwd.getpwuid(number))
    except KeyError:
        return False


def command(isolation: Isolation, uid: int | None, room: int) -> list[str]:
    """Return the command line that starts the agent in its isolation; `room`: bytes that all its files together may take."""
    agent = [sys.executable, str(INSIDE / "agent.py")]
    if isolation.method == "limits":
        return agent
    drop = ["setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"]
    if uid is not None:
        drop += [f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    stack = layers(isolation.hidden, room)
    if isolation.method == "unshare":
        user = [] if uid is not None else ["--user", "--map-root-user"]
        return ["setpriv", "--pdeathsig=KILL", "unshare", *user, "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child",
                sys.executable, "-I", str(INSIDE / "jail.py"), json.dumps(stack), *drop, *agent]
    start = ["bwrap", "--die-with-parent", "--new-session", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    if uid is None:
        return [*start, "--unshare-user", "--uid", "65534", "--gid", "65534", *_bwrap_layers(stack), "--chdir", "/tmp", "--", *agent]
    # A real root makes the namespaces without a user namespace and then becomes nobody: Python may lie where only root may look.
    capabilities = [word for name in ("SETUID", "SETGID", "SETPCAP") for word in ("--cap-add", f"CAP_{name}")]
    return [*start, *capabilities, *_bwrap_layers(stack), "--chdir", "/tmp", "--", *drop, *agent]


def layers(hidden, room: int) -> list[tuple]:
    """Return the file system that a submission sees, (kind, path, extra) from the ground up.

    Kinds: bind (read-only), link, cover (an empty folder), room (a writable tmpfs of `extra` bytes), device, proc.
    """
    stack = [("room", "/tmp", room)]  # first: the kit or Python may lie under it
    stack += [("bind", tree, None) for tree in ("/usr", "/nix/store") if Path(tree).is_dir()]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/", name)
        if path.is_symlink():
            stack.append(("link", str(path), os.readlink(path)))
        elif path.is_dir():
            stack.append(("bind", str(path), None))
    stack += [("bind", f"/etc/{name}", None) for name in _ETC if Path("/etc", name).exists()]
    own = list(dict.fromkeys((sys.base_prefix, sys.prefix, str(Path(sys.executable).resolve().parent.parent))))
    stack += [("bind", path, None) for path in own]
    secret = [*hidden, *filter(None, [str(config.checkout() or "")])]
    covers = [where for path in secret for tree in [row[1] for row in stack if row[0] == "bind"] for where in _within(path, tree)]
    stack += [("cover", path, None) for path in dict.fromkeys(covers)]
    stack += [("bind", path, None) for path in own if any(Path(path).is_relative_to(cover) for cover in covers)]
    stack += [("bind", str(KIT), None), ("cover", str(KIT / "checks"), None), ("cover", str(KIT / "grading"), None)]
    stack += [("bind", str(KIT / "checks" / name), None) for name in CHECKS if (KIT / "checks" / name).exists()]
    stack += [("bind", str(INSIDE / "agent.py"), None), ("proc", "/proc", None)]
    stack += [("device", f"/dev/{name}", None) for name in ("null", "zero", "full", "random", "urandom")]
    return [*stack, ("link", "/dev/fd", "/proc/self/fd"), ("room", "/dev/shm", room)]


def _within(path, tree):
    """Return where a secret path shows under a bound tree: one path, or none."""
    secret, bound = Path(path).resolve(), Path(tree).resolve()
    return [str(Path(tree) / secret.relative_to(bound))] if secret != bound and secret.is_relative_to(bound) else []


def _bwrap_layers(stack):
    words = []
    for kind, path, extra in stack:
        for parent in reversed(Path(path).parents[:-1]):  # a folder that bwrap makes by itself cannot be listed, and Python lists to import
            words += ["--perms", "0755", "--dir", str(parent)]
        words += {
            "bind": ["--ro-bind", path, path], "link": ["--symlink", extra, path], "cover": ["--perms", "0755", "--size", "1000000", "--tmpfs", path],
            "room": ["--perms", "1777", "--size", str(extra), "--tmpfs", path], "device": ["--dev-bind", path, path], "proc": ["--proc", path],
        }[kind]
    return [*words, "--remount-ro", "/"]
