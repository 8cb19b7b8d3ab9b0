"""The lab's controls: each a fresh set of widgets tied to the lab's settings, so that several views move together.

ipywidgets gives a slider's handle no spoken name (upstream: https://github.com/leongersen/noUiSlider/issues/1223), so beside
every slider stands a number field that has one and does the same.
"""

import ipywidgets
import traitlets

RULES = {"half": "0.5", "youden": "Youden", "sensitivity": "sensitivity ≥ {target:g} %", "cost": "least cost"}
_NARROW, _WIDE = ipywidgets.Layout(width="13em"), ipywidgets.Layout(width="17em")
_AUTO = {"description_width": "initial"}


def threshold(lab):
    """A slider and a number field for the threshold."""
    slider = ipywidgets.FloatSlider(min=0, max=1, step=0.001, readout=False, description="threshold", style=_AUTO, layout=ipywidgets.Layout(width="24em"))
    number = ipywidgets.BoundedFloatText(min=0, max=1, step=0.001, description="or type it", style=_AUTO, layout=_NARROW)
    return [_slid(lab, "threshold", slider, "cx-threshold-slider"), _tied(lab, "threshold", number, "cx-threshold-number")]


def rules(lab):
    """A button for each rule, and the target that the rule `sensitivity` must reach."""
    buttons = []
    for rule, words in RULES.items():
        button = ipywidgets.Button(description=words.format(target=lab.target), tooltip=f"choose the threshold by the rule {rule}", layout=ipywidgets.Layout(width="auto"))
        button.add_class(f"cx-rule-{rule}")
        button.on_click(lambda _, rule=rule: lab.choose(rule))
        buttons.append(button)
        if rule == "sensitivity":
            lab.observe(lambda change, button=button: setattr(button, "description", RULES["sensitivity"].format(target=change["new"])), "target")
    target = ipywidgets.BoundedFloatText(min=50, max=100, step=1, description="target, %", style=_AUTO, layout=ipywidgets.Layout(width="9em"))
    row = ipywidgets.Box([ipywidgets.Label("rules:"), *buttons, _tied(lab, "target", target, "cx-target-number")])
    row.add_class("cx-rules")
    return [row]


def cost(lab):
    """A slider and a number field for what a missed pneumonia costs, in false alarms."""
    slider = ipywidgets.FloatSlider(min=1, max=100, step=1, readout=False, description="a miss costs", style=_AUTO, layout=_WIDE)
    number = ipywidgets.BoundedFloatText(min=1, max=100, step=1, description="false alarms", style=_AUTO, layout=ipywidgets.Layout(width="11em"))
    return [_slid(lab, "cost_ratio", slider, "cx-cost-slider"), _tied(lab, "cost_ratio", number, "cx-cost-number")]


def prevalence(lab):
    """A box to tick for the films' own mix; else a slider and a number field for the share of the ill, percent."""
    own = ipywidgets.Checkbox(description="prevalence as among these films", indent=False, layout=ipywidgets.Layout(width="auto"))
    slider = ipywidgets.FloatSlider(min=0.1, max=99.9, step=0.1, readout=False, description="prevalence", style=_AUTO, layout=_WIDE)
    number = ipywidgets.BoundedFloatText(min=0.1, max=99.9, step=0.1, description="prevalence, %", style=_AUTO, layout=ipywidgets.Layout(width="11.5em"))
    return [_tied(lab, "own_prevalence", own, "cx-prevalence-own"), _slid(lab, "prevalence_percent", slider, "cx-prevalence-slider"),
            _tied(lab, "prevalence_percent", number, "cx-prevalence-number")]


def split(lab):
    """A list of the splits that are open."""
    choice = ipywidgets.Dropdown(options=lab.splits, description="split", style=_AUTO, layout=ipywidgets.Layout(width="13em"))
    traitlets.dlink((lab, "splits"), (choice, "options"))
    return [_tied(lab, "split", choice, "cx-split")]


def bins(lab):
    """A list of bin counts for the calibration view."""
    choice = ipywidgets.Dropdown(options=[5, 10, 15, 20], description="bins", style=_AUTO, layout=ipywidgets.Layout(width="8em"))
    return [_tied(lab, "bins", choice, "cx-bins")]


def _tied(lab, name, widget, kind):
    traitlets.link((lab, name), (widget, "value"))
    widget.add_class(kind)
    return widget


def _slid(lab, name, slider, kind):
    """Tie a slider. A browser snaps what its slider is told to a step and sends that back: 0.123456 would become 0.123."""
    traitlets.dlink((lab, name), (slider, "value"))

    def moved(change):
        value = round(change["new"], 4)  # 0.41800000000000004 is how a browser counts steps
        if abs(value - getattr(lab, name)) > slider.step / 2 + 1e-9:
            setattr(lab, name, value)

    slider.observe(moved, "value")
    slider.add_class(kind)
    return slider
