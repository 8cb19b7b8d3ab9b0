"""One live line of progress that stays one line in a saved notebook and in a terminal."""

import sys
import time


class Progress:
    """A bar with figures and the time left; `update` is cheap and draws at most four times a second.

    In a notebook the line is one output that replaces itself; in a terminal it is rewritten in place;
    in a log file only the last state is written. `done` of `total` were done before, by an earlier start: the time left is reckoned without them.
    """

    def __init__(self, title: str, total: int, done: int = 0):
        self.title, self.total, self.first, self.start, self.drawn = title, max(total, 1), done, time.perf_counter(), 0.0
        self._handle = None
        self._notebook = _in_notebook()

    def update(self, done: int, text: str = "") -> None:
        """Show that `done` of `total` is done, with figures in `text`."""
        now = time.perf_counter()
        if now - self.drawn < 0.25:
            return
        self.drawn = now
        spent = now - self.start
        left = f", {_minutes(spent / (done - self.first) * (self.total - done))} left" if done > self.first else ""
        filled = round(20 * done / self.total)
        self._draw(f"{self.title} |{'█' * filled}{'·' * (20 - filled)}| {done}/{self.total}{left}  {text}")

    def close(self, text: str = "") -> None:
        """Leave the one line that says what was done and how long it took."""
        self._draw(f"{self.title}: {text}{' in ' if text else ''}{_minutes(time.perf_counter() - self.start)}", last=True)

    def _draw(self, line, last=False):
        if self._notebook:
            from IPython.display import display

            content = {"text/plain": line}
            if self._handle is None:
                self._handle = display(content, raw=True, display_id=True)
            else:
                self._handle.update(content, raw=True)
        elif sys.stderr.isatty():
            sys.stderr.write("\r\033[K" + line[:200] + ("\n" if last else ""))
            sys.stderr.flush()
        elif last:
            print(line, file=sys.stderr)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _in_notebook() -> bool:
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None
