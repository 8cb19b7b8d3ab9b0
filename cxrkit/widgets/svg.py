"""The few SVG parts that the lab's panels are made of, as text: axes, lines, bars, marks.

Colours are classes that style.CSS maps to the page's own light or dark theme; line style, hatching and words say the same.
"""

import itertools
from html import escape

import numpy as np

WIDTH, HEIGHT = 320, 236
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 10, 38
_numbers = itertools.count()


def fresh_id() -> str:
    """Return an id that no other panel of this process has."""
    return f"cxrkit-{next(_numbers)}"


class Axes:
    """A frame with a linear x and y; everything drawn is collected in `parts`.

    Parameters
    ----------
    x, y : (lowest, highest) value. xticks, yticks : {value: text}. xlabel, ylabel : text.
    """

    def __init__(self, x, y, xticks, yticks, xlabel, ylabel):
        self._x, self._y = x, y
        left, bottom, right, top = self.x(x[0]), self.y(y[0]), self.x(x[1]), self.y(y[1])
        self.parts = [f'<path class="cx-grid" d="{"".join(f"M{left:.1f} {self.y(v):.1f}H{right:.1f}" for v in yticks)}"/>']
        self.parts += [f'<text class="cx-tick" x="{self.x(v):.1f}" y="{bottom + 14:.1f}" text-anchor="middle">{t}</text>' for v, t in xticks.items()]
        self.parts += [f'<text class="cx-tick" x="{left - 5:.1f}" y="{self.y(v) + 4:.1f}" text-anchor="end">{t}</text>' for v, t in yticks.items()]
        self.parts.append(f'<path class="cx-axis" d="M{left:.1f} {top:.1f}V{bottom:.1f}H{right:.1f}"/>')
        middle = (top + bottom) / 2
        self.parts.append(f'<text class="cx-label" x="{(left + right) / 2:.1f}" y="{HEIGHT - 5}" text-anchor="middle">{xlabel}</text>')
        self.parts.append(f'<text class="cx-label" x="11" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 11 {middle:.1f})">{ylabel}</text>')

    def x(self, value):
        """Return the position of an x value, pixels."""
        return LEFT + (value - self._x[0]) / (self._x[1] - self._x[0]) * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        """Return the position of a y value, pixels; values beyond the frame are put on its edge."""
        share = (np.clip(value, *self._y) - self._y[0]) / (self._y[1] - self._y[0])
        return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)

    def path(self, xs, ys) -> str:
        """Return the path data of a line through points."""
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(self.x(np.asarray(xs, float)), self.y(np.asarray(ys, float))))

    def line(self, xs, ys, kind):
        """Draw a line through points in the look of the class `kind`."""
        self.parts.append(f'<path class="{kind}" d="{self.path(xs, ys)}"/>')

    def upright(self, value, kind="cx-threshold"):
        """Draw a line from bottom to top at an x value."""
        self.parts.append(f'<path class="{kind}" d="M{self.x(value):.1f} {TOP}V{HEIGHT - BOTTOM}"/>')

    def band(self, low, high, kind="cx-band"):
        """Fill the stretch between two x values."""
        left = self.x(low)
        self.parts.append(f'<rect class="{kind}" x="{left:.1f}" y="{TOP}" width="{max(self.x(high) - left, 1):.1f}" height="{HEIGHT - BOTTOM - TOP}"/>')

    def cross(self, x, y, size=6):
        """Mark the operating point, with a halo so that it stands out on any line."""
        a, b = self.x(x), self.y(y)
        data = f"M{a - size:.1f} {b - size:.1f}L{a + size:.1f} {b + size:.1f}M{a - size:.1f} {b + size:.1f}L{a + size:.1f} {b - size:.1f}"
        self.parts.append(f'<path class="cx-halo" d="{data}"/><path class="cx-cross" d="{data}"/>')

    def dot(self, x, y, kind="cx-dot", size=3.5):
        """Mark a point; `kind` cx-square draws a square, everything else a disc."""
        a, b = self.x(x), self.y(y)
        if kind == "cx-square":
            self.parts.append(f'<rect class="cx-square" x="{a - size:.1f}" y="{b - size:.1f}" width="{2 * size:.1f}" height="{2 * size:.1f}"/>')
        else:
            self.parts.append(f'<circle class="{kind}" cx="{a:.1f}" cy="{b:.1f}" r="{size}"/>')

    def text(self, x, y, words, anchor="start", kind="cx-note"):
        """Write at a position given in pixels."""
        self.parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>')

    def svg(self, title) -> str:
        """Return the finished drawing; `title` is what a screen reader says of it."""
        return picture("".join(self.parts), title)


def picture(content, title, height=HEIGHT) -> str:
    """Return content as one image with a spoken name."""
    return f'<svg class="cx-svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title, quote=True)}">{content}</svg>'


def bar_path(counts, up: bool, half: float) -> str:
    """Return the path of a histogram over 0-1 that grows up or down from the middle; heights are logarithmic.

    counts : int [bins]; half : pixels that the largest of all bars may take for `counts` already scaled to 0-1.
    """
    width = (WIDTH - LEFT - RIGHT) / len(counts)
    middle, sign = (HEIGHT - BOTTOM + TOP) / 2, -1 if up else 1
    return "".join(
        f"M{LEFT + k * width + 0.5:.1f} {middle:.1f}v{sign * half * share:.1f}h{width - 1:.1f}v{-sign * half * share:.1f}z"
        for k, share in enumerate(counts) if share > 0)
