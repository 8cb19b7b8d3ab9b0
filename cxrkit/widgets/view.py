"""One view of the lab: controls on top, the state in a sentence, panels below. It draws the state and knows no statistics."""

import html

import ipywidgets
from IPython.display import display

from .style import CSS


class View:
    """Controls and panels that one cell shows.

    Parameters
    ----------
    lab : the ThresholdLab that holds the settings. name : class of the view, "cx-NAME", for tests and style sheets.
    controls : widgets. panels : functions lab -> HTML text, one drawing each; drawn again when the lab says so.
    still : lab -> (matplotlib Figure, text): what is shown where no kernel answers.
    above : widgets that stand between the sentence and the panels.
    """

    def __init__(self, lab, name, controls, panels, still, above=()):
        self.lab, self.name, self._panels, self._still = lab, name, panels, still
        self.boxes = [ipywidgets.HTML() for _ in panels]
        self.sentence = ipywidgets.HTML()
        controls = ipywidgets.Box(list(controls))
        controls.add_class("cx-controls")
        grid = ipywidgets.Box(self.boxes)
        grid.add_class("cx-panels")
        style = ipywidgets.HTML(CSS, layout=ipywidgets.Layout(height="0", margin="0", overflow="hidden"))
        self.widget = ipywidgets.VBox([style, controls, self.sentence, *above, grid])
        self.widget.add_class("cxrkit-lab")
        self.widget.add_class(f"cx-{name}")
        self.draw()

    def draw(self):
        """Bring sentence and panels up to the lab's state; text that stays the same is not sent."""
        sentence = f'{self.lab.banner}<p class="cx-sentence" role="status">{html.escape(self.lab.state.sentence, quote=False)}</p>'
        _put(self.sentence, sentence)
        for box, panel in zip(self.boxes, self._panels):
            _put(box, panel(self.lab))

    def _ipython_display_(self):
        """Show the live view with a picture of its present state in the same bundle, for pages without a kernel."""
        figure, words = self._still(self.lab)
        self.lab.attach(self)
        bundle = {
            "application/vnd.jupyter.widget-view+json": {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id},
            "text/plain": words,
        }
        metadata = {}
        if figure is None:
            bundle["text/html"] = f"<p>{html.escape(words, quote=False)}</p>"
        else:
            bundle["image/png"], metadata["image/png"] = _png(figure), {"alt": words}
        display(bundle, raw=True, metadata=metadata)
        print(f"As drawn at first: {words}")


def _put(box, text):
    if box.value != text:
        box.value = text


def _png(figure):
    """A figure as PNG of 256 colours, base64: a committed notebook stays small."""
    import base64
    import io

    import matplotlib.pyplot as plt
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", bbox_inches="tight")
    plt.close(figure)  # the inline backend would show it once more
    Image.open(drawn).convert("RGB").quantize(256).save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()
