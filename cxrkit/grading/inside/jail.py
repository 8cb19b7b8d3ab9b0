"""Builds the file system that a submission sees, where bubblewrap is missing; runs in fresh namespaces made by `unshare`.

A standalone script: `jail.py LAYERS COMMAND...`, with LAYERS as JSON of `isolation.layers`. It becomes the first process of its
process namespace: when it ends, everything in there ends.
"""

import ctypes
import json
import os
import sys

MS_NOSUID, MS_NODEV, MS_BIND, MS_REC = 2, 4, 4096, 16384
MNT_DETACH = 2
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, ATTR_RDONLY, ATTR_NOSUID = 442, -100, 0x8000, 1, 2  # Linux 5.12, the same number on all processors
STAGES = ("/mnt", "/media", "/srv", "/var/tmp", "/tmp")  # a folder that every Linux has, to build the new root on

libc = ctypes.CDLL(None, use_errno=True)


def check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        sys.exit(f"jail: {what}: {os.strerror(number)}")


def mount(source, target, kind=None, flags=0, options=None):
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    check(libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]), f"mount {target}")


def read_only(target):
    attributes = (ctypes.c_uint64 * 4)(ATTR_RDONLY | ATTR_NOSUID, 0, 0, 0)
    check(libc.syscall(MOUNT_SETATTR, AT_FDCWD, os.fsencode(target), AT_RECURSIVE, attributes, ctypes.sizeof(attributes)), f"read-only {target}")


def place(target, like=None):
    """Make the empty file or folder that something is mounted on."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if like is None or os.path.isdir(like):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))


def free_stage(sources):
    """Return a folder under which none of the sources lies: what is mounted on it hides what it holds."""
    for stage in STAGES:
        if os.path.isdir(stage) and not any(source.startswith(stage + "/") for source in sources):
            return stage
    sys.exit(f"jail: {', '.join(STAGES)} are missing or in use")


def build(layers):
    """Lay the layers over each other under a new root, then make it the root."""
    stage = free_stage([form(path) for kind, path, _ in layers if kind == "bind" for form in (str, os.path.realpath)])
    mount("tmpfs", stage, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=16m")
    os.chdir(stage)  # after this, the stage is `.`
    for kind, path, extra in layers:
        target = stage + path
        if kind == "bind":
            place(target, path)
            mount(path, target, None, MS_BIND | MS_REC)
            read_only(target)
        elif kind == "link":
            os.symlink(extra, target)
        elif kind == "cover":
            place(target)
            mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
        elif kind == "room":
            place(target)
            mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, f"mode=1777,size={extra}")
        elif kind == "proc":
            place(target)
            mount("proc", target, "proc", MS_NOSUID | MS_NODEV)
        elif kind == "device":
            place(target, path)
            mount(path, target, None, MS_BIND)
    place(stage + "/old")
    check(libc.pivot_root(b".", b"old"), "pivot_root")
    os.chdir("/")
    check(libc.umount2(b"/old", MNT_DETACH), "umount old root")
    os.rmdir("/old")
    attributes = (ctypes.c_uint64 * 4)(ATTR_RDONLY, 0, 0, 0)
    check(libc.syscall(MOUNT_SETATTR, AT_FDCWD, b"/", 0, attributes, ctypes.sizeof(attributes)), "read-only /")


def main():
    build(json.loads(sys.argv[1]))
    child = os.fork()
    if child == 0:
        os.chdir("/tmp")
        os.execvp(sys.argv[2], sys.argv[2:])
    while True:
        ended, status = os.wait()
        if ended == child:
            os._exit(os.waitstatus_to_exitcode(status) % 256)


if __name__ == "__main__":
    main()
