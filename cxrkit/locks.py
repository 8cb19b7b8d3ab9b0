"""The lock of a threshold: written once, before the test split is opened, and kept beside what it belongs to."""

import datetime
import json
from pathlib import Path

from .errors import CxrkitError
from .files import locked, write_json

_TERMS = {"sensitivity": ("target_sensitivity",), "cost": ("cost_ratio", "prevalence"), "manual": ("value",)}  # what a rule's choice hangs on


def read_lock(path: Path, key: str) -> dict | None:
    """Return the lock of the model `key` in a lock file, with `looks`, or None."""
    locks = _read(path)
    return locks[key] | {"looks": len(locks)} if key in locks else None


def write_lock(path: Path, key: str, rule: str, value: float, target_sensitivity: float, cost_ratio: float = 10.0,
               prevalence: float | None = None) -> dict:
    """Lock a threshold for the model `key`, or return the lock that holds already.

    Parameters
    ----------
    path : the lock file; it holds one lock a model.
    key : what names the model.
    rule : a rule of `choose_threshold`, or "manual" for a value that was set by hand.
    value : the threshold, 0-1.
    target_sensitivity, cost_ratio, prevalence : what the rules go by, kept so that another can apply them.

    Returns
    -------
    {"rule", "value", "target_sensitivity", "cost_ratio", "prevalence", "model", "locked", "looks"}; `looks` counts the models
    of the file, each of which has met the test split.

    Raises
    ------
    CxrkitError when another choice was locked for the same model: another rule, other terms of that rule, another value by hand.
    """
    with locked(path.with_name(f".{path.name}.lock")):  # two who press the button at once
        return _write_lock(path, key, rule, value, target_sensitivity, cost_ratio, prevalence)


def _write_lock(path, key, rule, value, target_sensitivity, cost_ratio, prevalence):
    locks = _read(path)
    new = {"rule": rule, "value": float(value), "target_sensitivity": target_sensitivity, "cost_ratio": cost_ratio, "prevalence": prevalence}
    old = locks.get(key)
    if old is None:
        locks[key] = new | {"model": key, "locked": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}
        write_json(path, locks)
    elif _choice(old) != _choice(new):
        raise CxrkitError(
            f"This model's threshold was locked at {old['value']:.4f} by the rule {_words(old)} and the test split was revealed; "
            f"{_words(new)} would be a second choice with the test in view.\n"
            f"Keep that lock, or use another run folder (out=...) and report both looks. The lock is {path}."
        )
    return locks[key] | {"looks": len(locks)}


def _read(path):
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as problem:
        raise CxrkitError(f"{path} is damaged ({problem}), so nobody can say whether the test split was revealed.\n"
                          "Bring the file back from a copy, or use another run folder (out=...).") from problem


def _choice(lock):
    """The rule and the terms that it goes by; the value of a rule may differ in its last digits between machines."""
    terms = {"cost_ratio": 10.0, "prevalence": None} | lock  # older files have neither
    return lock["rule"], *(terms[name] for name in _TERMS.get(lock["rule"], ()))


def _words(lock):
    terms = {"cost_ratio": 10.0, "prevalence": None} | lock
    said = {"sensitivity": f" (target {terms['target_sensitivity']})", "cost": f" (ratio {terms['cost_ratio']:g})", "manual": f" ({terms['value']:.4f})"}
    return f"'{lock['rule']}'{said.get(lock['rule'], '')}"
