"""The phantom: synthetic chest radiographs of children, made on the spot, with the truth about every pixel.

Nothing here was learnt from a patient. A few dozen parameters of anatomy and technique are drawn at random and
`phantom_render` draws the film. Pneumonia is lobar consolidation ("bacteria") or interstitial texture ("virus"), with its mask.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from .. import locate
from ..errors import CxrkitError
from ..files import atomic_path
from . import phantom_render
from .dataset import TABLE_COLUMNS, Dataset
from .phantom_render import BLOCK, THICKNESS, render_block

DRAWING = 1  # names the films in a run's fingerprint: raise it when a change here or in phantom_render changes them
FILM_SEED = 2018  # the data set's own seed: `config.seed` changes the split and the training, never the films
SUBTYPES = ("", "bacteria", "virus")
BRANCHES = (9, 20, 44)  # vessels a lung: from the hilum, their children, their grandchildren

# Lowest and highest value; drawn from a beta(2, 2) law between them. Lengths in half image sides, angles in radians.
PATIENT = {
    "body_width": (0.80, 0.96), "thickness": (0.85, 1.20), "neck": (0.26, 0.38), "head": (-0.06, 0.24), "stretch": (0.93, 1.10),
    "chest_width": (0.66, 0.80), "apex": (-0.72, -0.52), "dome": (0.08, 0.20), "left_drop": (0.00, 0.07),
    "heart_x": (0.05, 0.15), "heart_lift": (0.08, 0.20), "heart_size": (0.80, 1.25), "heart_tilt": (0.35, 0.95),
    "mediastinum": (0.095, 0.145), "thymus": (-0.09, 0.10), "aorta": (0.00, 0.04), "trachea": (0.028, 0.045),
    "spine_width": (0.065, 0.090), "spine_curve": (-0.05, 0.05), "vertebra_pitch": (0.105, 0.130), "vertebra_phase": (0.0, 1.0),
    "rib_pitch": (0.125, 0.160), "rib_width": (0.34, 0.52), "rib_slope": (0.08, 0.30), "rib_count": (8.0, 12.0),
    "bone_density": (0.70, 1.35), "clavicle_rise": (-0.06, 0.12), "arm_width": (0.20, 0.30), "vessel_density": (0.45, 1.45),
}
FILM = {
    "tilt": (-0.18, 0.18), "shift_x": (-0.16, 0.16), "shift_y": (-0.15, 0.13), "zoom": (0.92, 1.24), "yaw": (-0.12, 0.12),
    "diaphragm": (0.34, 0.58), "arm": (-0.05, 0.55), "bubble_x": (0.18, 0.42), "bubble_size": (0.06, 0.19),
    "bubble_depth": (-0.05, 0.40), "bowel": (0.0, 1.0), "hardness": (1.0, 1.35), "exposure": (-0.14, 0.20),
    "contrast": (3.2, 5.6), "brightest": (0.80, 1.02), "scatter": (0.04, 0.30), "blur": (0.002, 0.009), "noise": (0.002, 0.020),
    "grid": (-0.012, 0.012), "border": (-0.6, 0.4),
}
COLLIMATION = {"left": 0.16, "right": 0.16, "top": 0.10, "bottom": 0.10}  # at most; most films are opened past the edge


@dataclasses.dataclass(frozen=True)
class Phantom:
    """Rendered films: `images` uint8 [n, size, size], `masks` bool alike, `labels` int64 [n], `subtype` index into SUBTYPES [n],
    `severity` float32 [n] (0 = no pneumonia), `parameters` {name: float32 [n, …]} and, where asked for, thickness `maps`."""

    images: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    subtype: np.ndarray
    severity: np.ndarray
    parameters: dict
    maps: dict


def make_phantom(n: int, size: int, seed: int = 0, shortcut: float = 0.0, pneumonia: float = 0.5, maps: bool = False) -> Phantom:
    """Make `n` films of `n` different patients.

    Parameters
    ----------
    n, size : number of films, pixels a side.
    seed : the same seed gives the same bytes with the same NumPy on the same machine; elsewhere the mathematical library may
        differ in the last bit, which moves single pixels by one grey level.
    shortcut : 0-1, the share of films whose side marker follows the label (large L: pneumonia; small R: normal), not chance.
    pneumonia : share of films with pneumonia.
    maps : keep the thickness maps (lung, heart, bone, vessel, and air: the lung less vessels and opacities).

    Returns
    -------
    Phantom. Introduced in notebook 00.

    Raises
    ------
    CxrkitError where a share lies outside 0-1, or there is no film to make.
    """
    if not (0 <= shortcut <= 1 and 0 <= pneumonia <= 1):
        raise CxrkitError(f"shortcut and pneumonia are shares from 0 to 1, not {shortcut} and {pneumonia}.")
    if n < 1 or size < 16:
        raise CxrkitError(f"A phantom needs at least 1 film of 16 pixels a side, not {n} of {size}.")
    rng = np.random.Generator(np.random.PCG64(seed))
    subtype = np.where(rng.random(n) < pneumonia, np.where(rng.random(n) < 0.65, 1, 2), 0)
    p = sample_patients(rng, n) | sample_films(rng, n) | sample_lesions(rng, subtype)
    p |= sample_markers(rng, subtype, shortcut)
    return render(p, subtype, size, seed, maps)


def render(p: dict, subtype: np.ndarray, size: int, seed: int, maps: bool = False) -> Phantom:
    """Draw the films that the parameters `p` describe, block by block; `seed` feeds texture and noise."""
    n = len(subtype)
    p = p | {"cos": np.cos(p["tilt"]), "sin": np.sin(p["tilt"])}
    images, masks = np.empty((n, size, size), np.uint8), np.empty((n, size, size), bool)
    kept = {name: np.empty((n, size, size), np.float32) for name in THICKNESS} if maps else {}

    def draw(number):
        rows = slice(number * BLOCK, (number + 1) * BLOCK)
        rng = np.random.Generator(np.random.PCG64([seed, number]))
        images[rows], masks[rows], drawn = render_block({k: v[rows] for k, v in p.items()}, size, rng, maps)
        for name, value in drawn.items():
            kept[name][rows] = value

    # A block a thread; inside, many small products, where BLAS's own threads would only get in the way.
    with threadpool_limits(1, user_api="blas"), concurrent.futures.ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 1))) as pool:
        list(pool.map(draw, range(-(-n // BLOCK))))
    return Phantom(images, masks, (subtype > 0).astype(np.int64), subtype, p["severity"], p, kept)


def _between(rng, n, table):
    return {k: (low + (high - low) * rng.beta(2, 2, n)).astype(np.float32) for k, (low, high) in table.items()}


def sample_patients(rng: np.random.Generator, n: int) -> dict:
    """Anatomy of `n` patients: what stays the same from film to film."""
    p = _between(rng, n, PATIENT)
    p["thymus"] = np.clip(p["thymus"], 0, None)
    p["chest_width"] = np.minimum(p["chest_width"], p["body_width"] - 0.09)
    p |= _branches(rng, n)
    return p


def _branches(rng, n):
    """Vessel trees of both lungs as [n, branches, (x0, y0, angle, length, bend, calibre)], three generations."""
    def noise(count, low, high):
        return rng.uniform(low, high, (n, 2, count)).astype(np.float32)

    def bundle(*parts):
        return np.stack(np.broadcast_arrays(*parts), -1).astype(np.float32)

    sides = np.array([-1, 1], np.float32)[None, :, None]
    first = BRANCHES[0]
    fan = np.linspace(-1.35, 1.45, first, dtype=np.float32) + noise(first, -0.16, 0.16)
    lines = [bundle(0.13 * sides + noise(first, -0.02, 0.02) + 0.02, 0.0 + noise(first, -0.08, 0.06), fan,
                    noise(first, 0.30, 0.55), noise(first, -0.5, 0.5), noise(first, 0.5, 1.2))]
    for count, share in ((BRANCHES[1], 0.62), (BRANCHES[2], 0.60)):
        mother = lines[-1][np.arange(n)[:, None, None], np.arange(2)[None, :, None],
                           rng.integers(0, lines[-1].shape[2], (n, 2, count))]
        t = noise(count, 0.25, 0.95)
        turn = mother[..., 2] + mother[..., 4] * t
        reach = mother[..., 3] * t
        lines.append(bundle(mother[..., 0] + sides * reach * np.cos(turn), mother[..., 1] + reach * np.sin(turn),
                            turn + rng.choice(np.array([-1, 1], np.float32), (n, 2, count)) * noise(count, 0.25, 0.75),
                            mother[..., 3] * noise(count, 0.35, share + 0.2), noise(count, -0.6, 0.6),
                            mother[..., 5] * noise(count, 0.35, 0.75)))
    for line in lines:  # angles are measured outwards: mirror those of the image's left lung
        line[:, 0, :, 2] = np.pi - line[:, 0, :, 2]
        line[:, 0, :, 4] *= -1
    return {f"branch{i}": line.reshape(n, -1, 6) for i, line in enumerate(lines)}


def sample_films(rng: np.random.Generator, n: int) -> dict:
    """Positioning and technique of `n` films: what changes from film to film, whatever the label."""
    p = _between(rng, n, FILM)
    p["bubble_depth"] = np.clip(p["bubble_depth"], 0, None)
    p["grid"] = np.clip(p["grid"], 0, None)
    p["border"] = np.where(rng.random(n) < 0.12, 0.95, np.clip(p["border"], 0, 0.06)).astype(np.float32)
    for edge, most in COLLIMATION.items():
        p[edge] = np.where(rng.random(n) < 0.22, rng.uniform(0.01, most, n), -1).astype(np.float32)
    return p


def sample_lesions(rng: np.random.Generator, subtype: np.ndarray) -> dict:
    """Opacities for films of the given subtypes: up to three foci (bacteria) or interstitial texture (virus)."""
    n = len(subtype)
    severity = rng.uniform(0.7, 1.0, n).astype(np.float32) * (subtype > 0)
    side = np.repeat(rng.choice([-1.0, 1.0], (n, 1)), 3, 1)
    side[:, 2] *= -1  # the third focus is on the other side
    many = np.stack([np.ones(n), rng.random(n) < 0.70, rng.random(n) < 0.35], 1)
    focus = np.stack([
        side, rng.uniform(0.30, 0.85, (n, 3)), rng.uniform(0.28, 0.88, (n, 3)),
        rng.uniform(0.17, 0.30, (n, 3)) * (0.80 + 0.6 * severity[:, None]), rng.uniform(0.05, 0.16, (n, 3)),
        many * (0.40 + 0.60 * severity[:, None]) * (subtype == 1)[:, None],
    ], -1).astype(np.float32)
    return {
        "severity": severity, "focus": focus, "spread": rng.uniform(0.48, 0.82, n).astype(np.float32),
        "interstitial": ((0.55 + 0.85 * severity) * (subtype == 2)).astype(np.float32),
    }


def sample_markers(rng: np.random.Generator, subtype: np.ndarray, shortcut: float = 0.0) -> dict:
    """Side markers; with probability `shortcut` a film's marker follows its label (see `make_phantom`)."""
    n = len(subtype)
    follows = rng.random(n) < shortcut
    sick = np.where(follows, subtype > 0, rng.random(n) < 0.3)  # large L or small R
    missing = (rng.random(n) < 0.08) & ~follows
    height = np.where(sick, rng.uniform(0.14, 0.18, n), rng.uniform(0.09, 0.12, n))
    p = {
        "marker_letter": sick, "marker_size": height, "marker_level": np.where(missing, 0, rng.uniform(0.85, 1.0, n)),
        "marker_x": np.where(sick, 1, -1) * rng.uniform(0.80, 0.93, n), "marker_y": rng.uniform(-0.90, 0.15, n),
    }
    return {k: np.asarray(v, np.float32) for k, v in p.items()}


# The data set ------------------------------------------------------------------------------------------------------

TEST_SHARE, SICK = 0.25, {"train": 0.74, "test": 0.62}  # as in ChestXray-2017, whose training part holds more pneumonia
BACTERIAL = {"train": 0.65, "test": 0.62}
FILMS_A_PATIENT = (0.55, 0.22, 0.11, 0.06, 0.04, 0.02)  # shares of patients with 1, 2, … 6 films


def load_phantom(config) -> Dataset:
    """Make the phantom data set: `config.phantom_images` films at `config.stored_size` pixels, with masks.

    The films depend on these two numbers only, not on `config.seed`. Names follow ChestXray-2017: `personN` starts anew for
    each subtype, so the number alone is not a patient. `split` is the official train or test; no patient is in both.
    A few exact and near duplicates are planted inside the splits, one exact pair under two names of patients.
    `width` and `height` are the drawn size, `bytes` that of the film as a JPEG of quality 90, `sha256` of the pixels.
    Films and masks are drawn once, in seconds, and kept in the cache folder for the next call.

    Introduced in notebook 01.
    """
    from .splits import patient_key

    rng = np.random.Generator(np.random.PCG64(FILM_SEED))
    roster = _roster(rng, config.phantom_images)
    patient = np.array([row["number"] for row in roster])
    of_patient = np.zeros(patient.max() + 1, np.int64)
    of_patient[patient] = [row["subtype"] for row in roster]
    p = {k: v[patient] for k, v in (sample_patients(rng, len(of_patient)) | sample_lesions(rng, of_patient)).items()}
    fading = rng.uniform(0.8, 1.1, len(roster)).astype(np.float32)  # films of one patient are days apart
    p |= {k: p[k] * fading for k in ("severity", "interstitial")}
    p["focus"][..., 5] *= fading[:, None]
    subtype = of_patient[patient]
    p |= sample_films(rng, len(roster)) | sample_markers(rng, subtype)

    def draw():
        made = render(p, subtype, config.stored_size, FILM_SEED)
        _plant_duplicates(made, roster)
        return made.images, made.masks

    images, masks = _kept(config.phantom_images, config.stored_size, draw)
    labels = (subtype > 0).astype(np.int64)
    table = pd.DataFrame({
        "path": [row["path"] for row in roster],
        "split": [row["split"] for row in roster],
        "label": labels,
        "subtype": [SUBTYPES[s] for s in subtype],
        "patient": [patient_key(row["path"].rsplit("/", 1)[-1])[0] for row in roster],
        "width": config.stored_size,
        "height": config.stored_size,
        "bytes": [_jpeg_bytes(image) for image in images],
        "sha256": [hashlib.sha256(image.tobytes()).hexdigest() for image in images],
    })[list(TABLE_COLUMNS)]
    return Dataset("phantom", images, labels, table, masks=masks, drawn_as=f"drawing {DRAWING}, seed {FILM_SEED}")


def _kept(n, size, draw):
    """Return what `draw()` returns, (images, masks), from the cache folder where the same program has left it there."""
    program = b"".join(Path(file).read_bytes() for file in (__file__, phantom_render.__file__))
    key = hashlib.sha256(program + f"{n} films, {size} px, NumPy {np.__version__}".encode()).hexdigest()[:24]
    path = locate.cache_folder() / "phantom" / f"{key}.npz"
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # not there yet, or damaged: drawn anew
        with np.load(path, allow_pickle=False) as kept:
            return kept["images"], kept["masks"]
    images, masks = draw()
    with contextlib.suppress(OSError, CxrkitError):  # a convenience: where the cache cannot be written, films are drawn at each call
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial:
            np.savez(partial, images=images, masks=masks)
    return images, masks


def _roster(rng, n):
    """Who is filmed how often, and the file names: a list of {split, subtype, number (of the patient, from 0), path}."""
    test = round(n * TEST_SHARE)
    roster, patients = [], 0
    numbers = [iter(rng.permutation(n) + 1), iter(rng.permutation(n // 2) + 1), iter(rng.permutation(n // 2) + 1)]
    films = [0, 0, 0]
    for split, total in (("train", n - test), ("test", test)):
        sick = round(total * SICK[split])
        bacterial = round(sick * BACTERIAL[split])
        for subtype, wanted in enumerate((total - sick, bacterial, sick - bacterial)):
            while wanted:
                count = min(wanted, 1 + int(rng.choice(6, p=FILMS_A_PATIENT)))
                number = next(numbers[subtype])
                series = "NORMAL2-" if rng.random() < 0.5 else ""
                for film in range(1, count + 1):
                    films[subtype] += 1
                    if subtype:
                        name = f"PNEUMONIA/person{number}_{SUBTYPES[subtype]}_{films[subtype]}.jpeg"
                    else:
                        name = f"NORMAL/{series}IM-{number:04d}-0001{f'-{film:04d}' if count > 1 else ''}.jpeg"
                    roster.append({"split": split, "subtype": subtype, "number": patients, "path": f"{split}/{name}"})
                wanted -= count
                patients += 1
    return roster


def _plant_duplicates(made, roster):
    """Overwrite a few films with copies of another of the same split and subtype, in place."""
    pairs = [(i - 1, i) for i in range(1, len(roster)) if roster[i]["number"] == roster[i - 1]["number"]]
    pairs = [pair for k, pair in enumerate(pairs) if not k or pair[0] not in pairs[k - 1]]  # no film in two pairs
    inside = {s: [p for p in pairs if roster[p[1]]["split"] == s] for s in ("train", "test")}
    exact, near = inside["train"][::9][:4] + inside["test"][:1], inside["train"][4::9][:5] + inside["test"][2:4]
    lone = [i for i in range(1, len(roster) - 1) if roster[i]["number"] not in (roster[i - 1]["number"], roster[i + 1]["number"])
            and roster[i]["split"] == "train" and roster[i]["subtype"] == 0]
    exact += [tuple(lone[:2])] if len(lone) > 1 else []  # one film under the names of two patients
    for source, copy in exact + near:
        made.images[copy], made.masks[copy] = made.images[source], made.masks[source]
    for k, (_, copy) in enumerate(near):
        if k % 2:  # moved by a pixel
            made.images[copy], made.masks[copy] = np.roll(made.images[copy], 1, 1), np.roll(made.masks[copy], 1, 1)
        else:  # printed a little lighter
            made.images[copy] = np.clip(made.images[copy] * 1.04 + 4, 0, 255).astype(np.uint8)


def _jpeg_bytes(image):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=90)
    return file.tell()
