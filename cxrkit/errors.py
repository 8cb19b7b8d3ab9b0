"""The one error type that users see: what is wrong, where, and the way out."""

import difflib


class CxrkitError(Exception):
    """A problem that the user can mend. The message is one or two plain lines; `cxrkit` exits with 2."""

    def _render_traceback_(self):
        """In a notebook, show the message alone: the way out must not stand below forty lines of ours (IPython's own hook)."""
        return [f"\033[31mcxrkit:\033[0m {self}"]


class MissingExtraError(CxrkitError):
    """A command needs a package that only an extra installs."""

    def __init__(self, package: str, extra: str):
        super().__init__(f"This needs the package '{package}'. Install it with: pip install \"cxrkit[{extra}]\"")


def nearest(name: str, known) -> str:
    """Return ' Did you mean …?' for the known name nearest to `name`, or '' when none is near."""
    match = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""
