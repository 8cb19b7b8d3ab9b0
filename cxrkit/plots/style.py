"""One look for all figures: small, legible, the same in light and in print."""

import functools

import matplotlib.pyplot as plt
import seaborn as sns

_PALETTE = sns.color_palette("colorblind").as_hex()
NORMAL, PNEUMONIA = _PALETTE[0], _PALETTE[3]  # blue, vermilion
SERIES = [  # colour, line style, marker of the first, second … curve in a figure
    (_PALETTE[0], "-", "o"), (_PALETTE[3], "--", "s"), (_PALETTE[2], "-.", "^"), (_PALETTE[4], ":", "D"),
    (_PALETTE[5], (0, (5, 1, 1, 1)), "v"),
]
GREY = "0.45"
REFERENCE = {"color": GREY, "linewidth": 1, "linestyle": (0, (1, 3))}  # chance, perfection: what a curve is held against
POINT = {"marker": "X", "color": "black", "markersize": 10, "linestyle": "none"}  # the one place of a curve that is spoken of
THRESHOLD = {"color": "black", "linestyle": "--"}  # where the present choice stands

_STYLE = {
    "figure.dpi": 100,  # a committed notebook stays small
    "figure.facecolor": "white",  # legible on a dark page as well
    "font.size": 10, "axes.titlesize": 10.5, "axes.labelsize": 10, "legend.fontsize": 9,
    "xtick.labelsize": 9, "ytick.labelsize": 9, "figure.titlesize": 12,
    "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": "0.9", "axes.axisbelow": True,
    "legend.frameon": True, "legend.framealpha": 0.9, "legend.edgecolor": "0.8",
    "lines.linewidth": 1.8, "lines.markersize": 5,
}


def styled(draw):
    """Decorator: draw in the house style and leave the reader's own matplotlib settings as they were."""

    @functools.wraps(draw)
    def wrapper(*args, **kwargs):
        with plt.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return wrapper


def titled(text, phantom):
    """Return a figure title that says so where the films are phantoms."""
    return f"{text} (phantom)" if phantom else text


def fraction_axes(axis, xlabel, ylabel, square=True):
    """Prepare an axis on which both directions run from 0 to 1; `square`: alike in length, too."""
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=xlabel, ylabel=ylabel, aspect="equal" if square else "auto")
