"""Public names of a package that are imported when they are first used, so that importing the package takes milliseconds."""

import importlib
import sys


def lazy_names(package: str, home: dict[str, str]):
    """Return (`__getattr__`, `__dir__`, `__all__`) for a package whose public names live in its modules.

    Parameters
    ----------
    package : the package's `__name__`.
    home : {public name: the module of the package that defines it}.
    """

    def __getattr__(name):
        if name not in home:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(f".{home[name]}", package), name)

    def __dir__():
        return sorted([*vars(sys.modules[package]), *home])

    return __getattr__, __dir__, sorted(home)
