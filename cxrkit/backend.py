"""Imports Keras once, with the start-up chatter of its backend kept out of the notebooks.

TensorFlow writes lines about CUDA, oneDNN and memory straight to the process's error stream when it is loaded and first used.
They are no errors, and students take them for some. Set CXRKIT_VERBOSE=1 to see them.
"""

import contextlib
import ctypes
import logging
import os
import platform
import sys


@contextlib.contextmanager
def _quiet():
    """Send what C++ code writes to the error stream nowhere; Python's exceptions pass as ever."""
    if os.environ.get("CXRKIT_VERBOSE"):
        yield
        return
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _keep_freed_memory() -> None:
    """Let the process keep what NumPy frees, on Linux.

    After TensorFlow's first use glibc hands every array above 128 kB back to the system, and fetching it again page by page
    makes array arithmetic four to five times slower (phantom films: 0.5 s for 256 before, 2.4 s after, 0.4 s with this).
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for option, size in ((-3, 32 << 20), (-1, 256 << 20)):  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, in bytes
            libc.mallopt(option, size)


with _quiet():
    import keras
    import numpy as np

    class _One(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, number):
            return (np.zeros((1, 1), "float32"),)

    # The first use finds the devices and sets up the input pipeline, with a line about each.
    keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]).predict(_One(), verbose=0)

_keep_freed_memory()
if not os.environ.get("CXRKIT_VERBOSE"):
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # "retracing" is how one network is compiled for two batch shapes

__all__ = ["keras"]
