"""Pretrain EfficientNetV2S on phantom films, from nothing, and write the bundled weights.

    python -m cxrkit.weights.pretrain --minutes 90

The network never sees a pneumonia label. Every film is new, and carries up to three foreign patches: a veil, a weave or a
piece of another film, anywhere on it. From the film the network must read off
  - the anatomy and technique that it was drawn from (heart size, rib spacing, tilt, noise, …), from its pooled features;
  - for each of nine parts of each place of its last map: thickness of lung, heart, bone and vessel, brightness, detail,
    how much of which patch lies there, and how much air the lung still holds and how unevenly. Half of the films have
    opacities; in those two maps they count as missing air. Nobody says which films are called ill.
The learning rate follows the clock, so that the schedule ends on time whatever else the machine is doing; a run that is
stopped goes on from its last checkpoint.
"""

import argparse
import json
import math
import multiprocessing
import os
import time
from pathlib import Path
from queue import Full

import numpy as np
from scipy.ndimage import gaussian_filter

WEIGHTS = Path(__file__).with_name("efficientnetv2-s_phantom.weights.h5")
BATCH = 32
RENDERED, SEEN = 96, (64, 64, 64, 96)  # drawn at 96 px, mostly shown at 64
FIRST_SEED = 20_000_000  # far from the seeds of the data set and the tests
STRIDE, PARTS = 32, 3  # the last map has one place for 32 x 32 pixels; it answers for 3 x 3 parts of it
THICKNESS = ("lung", "heart", "bone", "vessel", "air")
MAPS = dict.fromkeys((*THICKNESS, "brightness", "detail", "unevenness of the air"), 1) | dict.fromkeys(("veil", "weave", "piece"), 2)
MAPS |= {"air": 8, "unevenness of the air": 8}  # weights
PARAMETER_SHARE = 0.15  # of the loss
LEFT_OUT = {"vertebra_phase", "bowel", "border", "cos", "sin", "severity", "interstitial", "spread"}  # unreadable, or pneumonia's


def films(seed: int, n: int):
    """Draw `n` new films with foreign patches.

    Returns images uint8 [n, 96, 96], parameters float32 [n, k] and maps float32 [n, 11, 96, 96] in the order of MAPS, both raw.
    """
    from cxrkit.data.phantom import make_phantom

    phantom = make_phantom(n, RENDERED, seed=FIRST_SEED + seed, maps=True)
    images, patches = add_patches(phantom.images, np.random.Generator(np.random.PCG64([11, seed])))
    film = images.astype(np.float32) / 255
    detail, uneven = np.log(_edges(film) + 0.02), np.log(_edges(phantom.maps["air"]) + 0.01)
    parameters = np.stack([phantom.parameters[name] for name in readable(phantom)], 1)
    return images, parameters, np.stack([*(phantom.maps[name] for name in THICKNESS), film, detail, uneven, *patches], 1)


def _edges(image):
    """How much each pixel differs from the one above and the one to its left."""
    return np.abs(np.diff(image, axis=1, prepend=0)) + np.abs(np.diff(image, axis=2, prepend=0))


def readable(phantom) -> list:
    """The parameters that can be read off a film, by name."""
    return sorted(k for k, v in phantom.parameters.items() if v.ndim == 1 and k not in LEFT_OUT)


def add_patches(images: np.ndarray, rng: np.random.Generator):
    """Put up to three soft-edged foreign patches on each film; return the films and the cover by kind, float32 [3, n, s, s]."""
    n, size = images.shape[:2]
    at = (np.arange(size) + 0.5) / size * 2 - 1
    out, cover = images.astype(np.float32), np.zeros((3, n, size, size), np.float32)
    for i in range(n):
        for _ in range(rng.integers(0, 4)):
            kind, radius = rng.integers(3), rng.uniform(0.10, 0.42)
            x, y = at[None] - rng.uniform(-0.75, 0.75), at[:, None] - rng.uniform(-0.75, 0.75)
            squeeze, turn = rng.uniform(0.6, 1.6), rng.uniform(0, np.pi)
            x, y = (np.cos(turn) * x + np.sin(turn) * y) * squeeze, (np.cos(turn) * y - np.sin(turn) * x) / squeeze
            ragged = gaussian_filter(rng.standard_normal((size, size)), 6) * 15
            edge = 1 / (1 + np.exp(-np.clip((1 - np.hypot(x, y) / radius + 0.2 * ragged) / rng.uniform(0.05, 0.3), -30, 30)))
            weave = gaussian_filter(rng.standard_normal((size, size)), scale := rng.uniform(0.6, 2.5)) * scale * 3.5
            if kind == 0:  # a veil: lighter or darker, a little blotchy
                out[i] += edge * rng.choice([-1, 1]) * rng.uniform(15, 60) * (1 + 0.3 * weave)
            elif kind == 1:  # a weave: texture without a change of brightness, blotches or ridges
                weave = weave if rng.random() < 0.5 else 0.8 - np.abs(weave) * 2
                out[i] += edge * rng.uniform(8, 30) * (weave - np.average(weave, weights=edge + 1e-6))
            else:  # a piece of another film, from another place
                piece = np.roll(images[rng.integers(n)], tuple(rng.integers(-size // 3, size // 3, 2)), (0, 1))
                out[i] += edge * (piece - out[i])
            cover[kind, i] = np.maximum(cover[kind, i], edge)
    return np.clip(out, 0, 255).astype(np.uint8), cover


def batch(step: int, scale: dict):
    """The batch of a training step: films as the network sees them, and what it must answer, standardised."""
    images, parameters, maps = films(1000 + step, BATCH)
    size = SEEN[step % len(SEEN)]
    return shown(images, size, step), answers(parameters, maps, size, scale)


def shown(images, size: int, step: int) -> np.ndarray:
    """Films [n, 96, 96] resized and with their exposure jittered, float32 [n, size, size, 3], 0-255."""
    from PIL import Image

    rng = np.random.Generator(np.random.PCG64([7, step]))
    if size != images.shape[1]:
        images = np.stack([Image.fromarray(i).resize((size, size), Image.Resampling.BILINEAR) for i in images])
    n = len(images)
    gain, shift, gamma = (rng.uniform(a, b, (n, 1, 1)) for a, b in ((0.8, 1.2), (-25, 25), (0.8, 1.25)))
    film = np.clip(255 * (images / 255.0) ** gamma * gain + shift, 0, 255).astype(np.float32)
    return np.repeat(film[..., None], 3, -1)


def answers(parameters, maps, size: int, scale: dict) -> dict:
    """Standardised targets: "parameters" [n, k], "maps" [n, places, places, 11 maps x 9 parts]."""
    n, kinds, places = len(maps), len(MAPS), size // STRIDE
    cells = places * PARTS
    edges = np.arange(cells + 1) * RENDERED / cells
    pixel = np.arange(RENDERED)
    mean = np.clip(np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel), 0, 1) * cells / RENDERED
    maps = (mean.astype(np.float32) @ maps @ mean.T.astype(np.float32) - scale["map_centre"]) / scale["map_spread"]
    maps = maps.reshape(n, kinds, places, PARTS, places, PARTS).transpose(0, 2, 4, 1, 3, 5).reshape(n, places, places, -1)
    parameters = (parameters - scale["centre"]) / scale["spread"]
    return {"parameters": np.clip(parameters, -4, 4).astype(np.float32), "maps": np.clip(maps, -5, 5).astype(np.float32)}


def scales() -> dict:
    """Means and standard deviations of the targets, from films that are never trained on."""
    parts = [films(i, 64) for i in range(12)]
    parameters, maps = (np.concatenate([p[i] for p in parts]) for i in (1, 2))
    centre, spread = maps.mean((0, 2, 3)), maps.std((0, 2, 3))
    centre[-3:], spread[-3:] = 0, 0.25  # the cover of patches is mostly 0
    return {"centre": parameters.mean(0), "spread": parameters.std(0), "map_centre": centre[:, None, None],
            "map_spread": spread[:, None, None]}


def _ahead(queue, step, scale, parent):
    """Draw every other batch from `step` on, ahead of the training process, for as long as it lives."""
    while True:
        drawn = batch(step, scale)
        while os.getppid() == parent:
            try:
                queue.put((step, *drawn), timeout=5)
                break
            except Full:
                continue
        else:
            return
        step += 2


def backbone_alone():
    """EfficientNetV2S without its classifier, any image size, random weights."""
    import keras

    return keras.applications.EfficientNetV2S(include_top=False, weights=None, input_shape=(None, None, 3))


def build(parameters: int):
    """The backbone with its two read-outs, both linear: pooled features to parameters, each place's features to its maps."""
    import keras

    backbone = backbone_alone()
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    return keras.Model(backbone.input, {
        "parameters": keras.layers.Dense(parameters, name="parameters")(pooled),
        "maps": keras.layers.Conv2D(len(MAPS) * PARTS**2, 1, name="maps")(backbone.output),
    })


def copy_backbone(source, target):
    """Give the weights of `source` to the layers of the same name in `target`."""
    names = {layer.name for layer in source.layers}
    for layer in target.layers:
        if layer.name in names - {"parameters", "maps"} and layer.get_weights():  # activations and the like have none
            layer.set_weights(source.get_layer(layer.name).get_weights())


def train(minutes: float, rate: float, folder: Path, start: Path | None):
    """Train for `minutes`, from the checkpoint in `folder` if there is one, else from the weights `start` if given."""
    import keras

    folder.mkdir(parents=True, exist_ok=True)
    saved, noted = folder / "model.keras", folder / "state.json"
    scale = scales()
    kinds = np.repeat(np.array(list(MAPS.values()), np.float32) / sum(MAPS.values()), PARTS**2) / PARTS**2

    def huber(off):
        off = keras.ops.abs(off)
        return keras.ops.where(off < 1, 0.5 * off**2, off - 0.5)

    def of_parameters(truth, guess):
        return PARAMETER_SHARE * keras.ops.mean(huber(truth - guess), axis=-1)

    def of_maps(truth, guess):
        return (1 - PARAMETER_SHARE) * keras.ops.sum(keras.ops.mean(huber(truth - guess), axis=(1, 2)) * kinds, axis=-1)

    state = {"step": 0, "seconds": 0.0, "loss": None}
    if noted.exists():
        state = json.loads(noted.read_text())
        model = keras.models.load_model(saved, custom_objects={"of_parameters": of_parameters, "of_maps": of_maps})
        print(f"going on from step {state['step']}", flush=True)
    else:
        keras.utils.set_random_seed(0)
        model = build(len(scale["centre"]))
        if start is not None:
            backbone = backbone_alone()
            backbone.load_weights(start)
            copy_backbone(backbone, model)
        model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-4, clipnorm=1.0), jit_compile=False,
                      loss={"parameters": of_parameters, "maps": of_maps})

    context = multiprocessing.get_context("spawn")
    queues = [context.Queue(4), context.Queue(4)]  # two processes draw every other batch
    drawers = [context.Process(target=_ahead, args=(queues[step % 2], step, scale, os.getpid()), daemon=True)
               for step in (state["step"], state["step"] + 1)]
    for drawer in drawers:
        drawer.start()
    before, began, last, recent = state["seconds"], time.time(), time.time(), []
    while (progress := state["seconds"] / (60 * minutes)) < 1:
        warm = min(1.0, (state["step"] + 1) / 150)
        model.optimizer.learning_rate = rate * warm * (0.5 + 0.5 * math.cos(math.pi * progress))
        step, x, y = queues[state["step"] % 2].get()
        recent.append(float(model.train_on_batch(x, y, return_dict=True)["loss"]))
        state = {"step": step + 1, "seconds": before + time.time() - began, "loss": float(np.mean(recent[-100:]))}
        if state["step"] % 25 == 0:
            speed = BATCH * len(recent) / (time.time() - began)
            print(f"step {state['step']}  {state['seconds'] / 60:.1f} min  loss {np.mean(recent[-25:]):.4f}  {speed:.1f} images/s",
                  flush=True)
        if time.time() - last > 240:
            _save(model, state, saved, noted)
            last = time.time()
    for drawer in drawers:
        drawer.terminate()
    if recent:
        _save(model, state, saved, noted)
    return model, scale


def explained(model, scale) -> dict:
    """Share of the variance of each target that the network reads off 256 films that it was not trained on, at 64 px."""
    from cxrkit.data.phantom import make_phantom

    images, parameters, maps = films(900, 256)
    truth = answers(parameters, maps, 64, scale)
    guess = model.predict(shown(images, 64, 0), verbose=0)
    spread = {k: np.where(truth[k].var(0) > 1e-3, truth[k].var(0), np.nan) for k in truth}  # at the border nothing varies
    left = {k: ((truth[k] - guess[k]) ** 2).mean(0) / spread[k] for k in truth}
    of_maps = 1 - np.nanmean(left["maps"].reshape(-1, len(MAPS), PARTS**2), (0, 2))
    return {"parameters": dict(zip(readable(make_phantom(1, 16)), (1 - left["parameters"]).round(2).tolist(), strict=True)),
            "maps": dict(zip(MAPS, of_maps.round(2).tolist(), strict=True))}


def _save(model, state, saved, noted):
    model.save(saved.with_name("next.keras"))
    os.replace(saved.with_name("next.keras"), saved)
    noted.with_suffix(".tmp").write_text(json.dumps(state))
    os.replace(noted.with_suffix(".tmp"), noted)


def write_half(backbone, path: Path):
    """Write a Keras `.weights.h5` whose kernels are float16; vectors (batch-norm statistics, biases) stay float32."""
    import h5py

    full, half = path.with_name("full.weights.h5"), path.with_name(path.name + ".tmp")
    backbone.save_weights(full)
    with h5py.File(full) as source, h5py.File(half, "w") as target:

        def copy(name, item):
            if isinstance(item, h5py.Group):
                copied = target.require_group(name)
            else:
                kind = np.float16 if item.ndim > 1 and item.dtype == np.float32 else item.dtype
                copied = target.create_dataset(name, data=item[()].astype(kind), track_times=False)
            copied.attrs.update(dict(item.attrs))

        target.attrs.update(dict(source.attrs))
        source.visititems(copy)
    full.unlink()
    os.replace(half, path)


def main():
    ask = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ask.add_argument("--minutes", type=float, default=90, help="training time; the learning rate reaches zero at its end")
    ask.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate")
    ask.add_argument("--start", type=Path, help="backbone weights to start from instead of random ones")
    ask.add_argument("--checkpoint", type=Path, default=Path("runs/pretrain"), help="folder of the checkpoint")
    ask.add_argument("--out", type=Path, default=WEIGHTS)
    asked = ask.parse_args()
    model, scale = train(asked.minutes, asked.rate, asked.checkpoint, asked.start)
    print(json.dumps(explained(model, scale)), flush=True)
    backbone = backbone_alone()
    copy_backbone(model, backbone)
    write_half(backbone, asked.out)
    print(f"written: {asked.out} ({asked.out.stat().st_size / 1e6:.1f} MB)", flush=True)


if __name__ == "__main__":
    main()
