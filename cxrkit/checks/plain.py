"""Plain values: the only thing that passes from a student's notebook to a judge.

A type is looked at with `type(value) is ...` and nothing of the value is called before that, so that an `__eq__` that always says
yes, a false `__class__` or a subclass with tricks is refused and not believed.
"""

import base64
import io
import json
import sys

import numpy as np

from ..errors import CxrkitError

DEPTH = 8  # lists within lists
ITEMS = 2_000_000  # scalars in one answer, elements of arrays included
TEXT = 100_000  # characters in one text
BYTES = 64_000_000  # of one answer as `dumps` writes it
_KINDS = "biufU"  # of arrays: bool, whole, float, text
_SCALARS = tuple({np.dtype(code).type for code in ("?", "b", "h", "i", "l", "q", "B", "H", "I", "L", "Q", "e", "f", "d", "U")})
_PANDAS_ARRAYS = ("StringArray", "ArrowStringArray", "BooleanArray", "IntegerArray", "FloatingArray", "NumpyExtensionArray")  # of `unique()`
_NPY = "__npy__"


class NotPlain(CxrkitError):
    """An answer that is no plain value; the message says which type stood where."""


def to_plain(value):
    """Return an answer as plain values: None, bool, int, float, str, lists, dicts with text keys, arrays of bool, int, float or text.

    Tuples become lists, sets sorted lists, a pandas Series or Index an array (or a list where it holds text), a DataFrame a dict of its columns.

    Raises
    ------
    NotPlain for any other type, for subclasses, for what is nested deeper than 8 or holds more than 2 million values.
    """
    return _plain(value, DEPTH, [ITEMS])


def _plain(value, depth, budget):
    kind = type(value)
    _spend(budget, 1)
    if value is None or kind is bool or kind is float:
        return value
    if kind is int:
        if not -(2**63) <= value < 2**64:
            raise NotPlain("a whole number beyond 64 bits")
        return value
    if kind is str:
        if len(value) > TEXT:
            raise NotPlain(f"a text of more than {TEXT:,} characters")
        return value.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be written down
    if kind in _SCALARS:
        return _plain(value.item(), depth, budget)
    if depth == 0:
        raise NotPlain(f"something nested deeper than {DEPTH}")
    if kind is np.ndarray:
        return _array(value, depth, budget)
    if kind is list or kind is tuple:
        return [_plain(item, depth - 1, budget) for item in value]
    if kind is set or kind is frozenset:
        return sorted((_plain(item, depth - 1, budget) for item in value), key=repr)
    if kind is dict:
        return {_key(key): _plain(item, depth - 1, budget) for key, item in value.items()}
    pandas = sys.modules.get("pandas")  # where nobody has loaded it, nothing can be of it
    if pandas is not None:
        if value is pandas.NA or value is pandas.NaT:
            return None
        arrays = tuple(getattr(pandas.arrays, name) for name in _PANDAS_ARRAYS if hasattr(pandas.arrays, name))
        if kind in (pandas.Series, pandas.Index, pandas.RangeIndex, pandas.Categorical, *arrays):
            return _plain(np.asarray(value), depth - 1, budget)
        if kind is pandas.DataFrame:
            return {_key(name): _plain(value[name], depth - 1, budget) for name in value.columns}
    raise NotPlain(f"something of the type '{_type_name(kind)}'")


def _array(value, depth, budget):
    if value.ndim == 0:
        return _plain(value.item(), depth - 1, budget)
    if value.dtype.kind == "O":
        return [_plain(item, depth - 1, budget) for item in value.tolist()]
    if value.dtype.kind not in _KINDS:
        raise NotPlain(f"an array of '{value.dtype}'")
    _spend(budget, value.size * max(1, value.dtype.itemsize // 8))
    wanted = np.dtype(np.float64) if value.dtype.kind == "f" and value.dtype.itemsize > 8 else value.dtype.newbyteorder("=")
    return np.array(value, dtype=wanted, order="C", subok=False)


def _key(key):
    if type(key) in (int, bool, float) or type(key) in _SCALARS:
        key = str(key)
    if type(key) is not str or key.startswith("__") or len(key) > 200:
        raise NotPlain("a dict whose keys are not short texts")
    return str.encode(key, "utf-8", "replace").decode()


def _spend(budget, count):
    budget[0] -= count
    if budget[0] < 0:
        raise NotPlain(f"more than {ITEMS:,} values")


def _type_name(kind) -> str:
    return type.__dict__["__name__"].__get__(kind)[:60]  # past a metaclass that would answer otherwise


def dumps(value) -> bytes:
    """Return `to_plain(value)` as bytes: JSON, arrays as npy (never pickled) in base64."""
    return json.dumps(_pack(to_plain(value))).encode()


def _pack(value):
    if type(value) is np.ndarray:
        file = io.BytesIO()
        np.lib.format.write_array(file, value, version=(1, 0), allow_pickle=False)
        return {_NPY: base64.b64encode(file.getvalue()).decode()}
    if type(value) is list:
        return [_pack(item) for item in value]
    if type(value) is dict:
        return {key: _pack(item) for key, item in value.items()}
    return value


def loads(data: bytes):
    """Return the plain value that `dumps` wrote; bytes from a hostile writer raise NotPlain and allocate no more than they hold."""
    if len(data) > BYTES:
        raise NotPlain(f"an answer of {len(data):,} bytes, more than {BYTES:,}")
    try:
        return to_plain(_unpack(json.loads(data), DEPTH))
    except NotPlain:
        raise
    except Exception as problem:  # json, base64 and NumPy's reader of headers raise many kinds, the tokenizer's among them
        raise NotPlain(f"bytes that are no answer ({type(problem).__name__})") from None


def _unpack(value, depth):
    if depth < 0:
        raise NotPlain(f"something nested deeper than {DEPTH}")
    if type(value) is list:
        return [_unpack(item, depth - 1) for item in value]
    if type(value) is dict:
        if _NPY in value:
            return _read_npy(base64.b64decode(value[_NPY], validate=True))
        return {key: _unpack(item, depth - 1) for key, item in value.items()}
    return value


def _read_npy(data):
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise NotPlain("an array of another format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    rest = len(data) - file.tell()
    count = 1
    for length in shape:
        count *= int(length)
    if dtype.kind not in _KINDS or dtype.hasobject or count * dtype.itemsize != rest:  # a header may claim any size
        raise NotPlain("an array whose header does not fit its bytes")
    flat = np.frombuffer(data, dtype, count, file.tell()) if count * dtype.itemsize else np.zeros(count if dtype.itemsize == 0 and count < ITEMS else 0, dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def call(function, arguments) -> dict:
    """Call a student's function on copies of plain arguments; return {"returned": plain} or {"raised": "TypeError: ..."}."""
    if not callable(function):
        return {"raised": f"NotPlain: a function is asked for, its name without brackets, not {_type_name(type(function))}"}
    try:
        return {"returned": to_plain(function(*[_copy(argument) for argument in arguments]))}
    except Exception as problem:  # whatever a student's code raises is an answer too
        text = str(problem) if type(problem) is not NotPlain else f"your function returned {problem}; an array is asked for, or plain numbers"
        return {"raised": f"{_type_name(type(problem))}: {' '.join(text.split())}"[:300]}


def _copy(argument):
    return argument.copy() if type(argument) in (np.ndarray, list, dict) else argument
