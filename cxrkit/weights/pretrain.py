"""Pretrain EfficientNetV2S on phantom films and write the bundled weights.

    python -m cxrkit.weights.pretrain --minutes 60

The network never sees a pneumonia label. Every film is new, and half of them hold opacities; nobody says which. From the film
the network must read off
  - the anatomy and technique that it was drawn from (heart size, rib spacing, tilt, noise, …), and coarse maps, from its
    pooled features;
  - fine maps of the thickness of lung, heart, bone and vessel, of the air that the lung holds and how uneven it is, from each
    place of three of its layers, so that the early layers are taught directly too.
An opacity counts as missing air in these maps, nothing more.
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

WEIGHTS = Path(__file__).with_name("efficientnetv2-s_phantom.weights.h5")
BATCH = 32
RENDERED, SEEN = 96, 64  # pixels a side: drawn at, shown at, as in the demo profile
FIRST_SEED = 20_000_000  # far from the seeds of the data set and the tests
CELLS, COARSE = 8, 4  # a side of the fine maps, and of the coarse ones that the pooled features must hold
MAPS = {"lung": 2, "heart": 1, "bone": 1, "vessel": 1, "air": 4, "unevenness of the air": 4}  # weight of each
PLACES = {"block3d_add": 8, "block5i_add": 4, "top_activation": 2}  # layers read out, and their places a side at 64 px
SHARES = {"parameters": 0.15, "coarse": 0.30, "block3d_add": 0.10, "block5i_add": 0.20, "top_activation": 0.25}  # of the loss
LEFT_OUT = {"vertebra_phase", "bowel", "border", "cos", "sin", "severity", "interstitial", "spread"}  # unreadable, or pneumonia's


def films(seed: int, n: int):
    """Draw `n` new films.

    Returns images uint8 [n, 96, 96], parameters float32 [n, k] and maps float32 [n, 6, 8, 8] in the order of MAPS, both raw.
    """
    from cxrkit.data.phantom import make_phantom

    phantom = make_phantom(n, RENDERED, seed=FIRST_SEED + seed, maps=True)
    parameters = np.stack([phantom.parameters[name] for name in readable(phantom)], 1)
    drawn = phantom.maps | {"unevenness of the air": np.log(_edges(phantom.maps["air"]) + 0.01)}
    return phantom.images, parameters, _means(np.stack([drawn[name] for name in MAPS], 1), CELLS)


def _edges(image):
    """How much each pixel differs from the one above and the one to its left."""
    return np.abs(np.diff(image, axis=1, prepend=0)) + np.abs(np.diff(image, axis=2, prepend=0))


def _means(maps, cells):
    """Means of maps [n, k, s, s] over cells x cells squares, float32 [n, k, cells, cells]."""
    n, kinds, size, _ = maps.shape
    return maps.reshape(n, kinds, cells, size // cells, cells, size // cells).mean((3, 5), dtype=np.float32)


def readable(phantom) -> list:
    """The parameters that can be read off a film, by name."""
    return sorted(k for k, v in phantom.parameters.items() if v.ndim == 1 and k not in LEFT_OUT)


def batch(step: int, scale: dict):
    """The batch of a training step: films as the network sees them, and what it must answer, standardised."""
    images, parameters, maps = films(1000 + step, BATCH)
    return shown(images, step), answers(parameters, maps, scale)


def shown(images, step: int) -> np.ndarray:
    """Films [n, 96, 96] resized and with their exposure jittered, float32 [n, 64, 64, 3], 0-255."""
    from PIL import Image

    rng = np.random.Generator(np.random.PCG64([7, step]))
    images = np.stack([Image.fromarray(i).resize((SEEN, SEEN), Image.Resampling.BILINEAR) for i in images])
    n = len(images)
    gain, shift, gamma = (rng.uniform(a, b, (n, 1, 1)) for a, b in ((0.8, 1.2), (-25, 25), (0.8, 1.25)))
    film = np.clip(255 * (images / 255.0) ** gamma * gain + shift, 0, 255).astype(np.float32)
    return np.repeat(film[..., None], 3, -1)


def answers(parameters, maps, scale: dict) -> dict:
    """Standardised targets by the name of their read-out: "parameters" [n, k], "coarse" [n, 6 maps x 16 cells], and for each
    layer of PLACES [n, places, places, 6 maps x parts], a place answering for its share of the 8 x 8 cells."""
    maps = np.clip((maps - scale["map_centre"]) / scale["map_spread"], -5, 5)
    n, kinds = maps.shape[:2]
    given = {
        "parameters": np.clip((parameters - scale["centre"]) / scale["spread"], -4, 4).astype(np.float32),
        "coarse": _means(maps, COARSE).reshape(n, -1),
    }
    for layer, places in PLACES.items():
        parts = CELLS // places
        split = maps.reshape(n, kinds, places, parts, places, parts).transpose(0, 2, 4, 1, 3, 5)
        given[layer] = split.reshape(n, places, places, -1)
    return given


def scales() -> dict:
    """Means and standard deviations of the targets, from films that are never trained on."""
    parts = [films(i, 64) for i in range(12)]
    parameters, maps = (np.concatenate([p[i] for p in parts]) for i in (1, 2))
    return {"centre": parameters.mean(0), "spread": parameters.std(0), "map_centre": maps.mean((0, 2, 3))[:, None, None],
            "map_spread": maps.std((0, 2, 3))[:, None, None]}


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
    """The backbone with its read-outs, all linear: pooled features to parameters and coarse maps, each place to its cells."""
    import keras

    backbone = backbone_alone()
    pooled = keras.layers.GlobalAveragePooling2D()(backbone.output)
    read = {
        "parameters": keras.layers.Dense(parameters, name="parameters")(pooled),
        "coarse": keras.layers.Dense(len(MAPS) * COARSE**2, name="coarse")(pooled),
    }
    for layer, places in PLACES.items():
        wide = len(MAPS) * (CELLS // places) ** 2
        read[layer] = keras.layers.Conv2D(wide, 1, name=f"read_{layer}")(backbone.get_layer(layer).output)
    return keras.Model(backbone.input, read)


def copy_backbone(source, target):
    """Give the weights of `source` to the layers of the same name in `target`."""
    names = {layer.name for layer in source.layers}
    for layer in target.layers:
        if layer.name in names and layer.get_weights():  # activations and the like have none
            layer.set_weights(source.get_layer(layer.name).get_weights())


def losses() -> dict:
    """The loss of each read-out: Huber's, maps weighted as MAPS says; named, so that a checkpoint finds them again."""
    import keras

    def loss_of(name, weights):
        def loss(truth, guess):
            off = keras.ops.abs(truth - guess)
            off = keras.ops.where(off < 1, 0.5 * off**2, off - 0.5)
            return keras.ops.mean(off * weights, axis=-1)

        loss.__name__ = f"loss_{name}"
        return loss

    def of_maps(cells):
        weights = np.repeat(np.array(list(MAPS.values()), np.float32), cells)
        return weights / weights.mean()

    cells = {"coarse": COARSE**2} | {layer: (CELLS // places) ** 2 for layer, places in PLACES.items()}
    return {"parameters": loss_of("parameters", 1.0)} | {name: loss_of(name, of_maps(n)) for name, n in cells.items()}


def train(minutes: float, rate: float, folder: Path, start: Path | None):
    """Train for `minutes`, from the checkpoint in `folder` if there is one, else from the weights `start` if given."""
    import keras

    folder.mkdir(parents=True, exist_ok=True)
    saved, noted = folder / "model.keras", folder / "state.json"
    scale = scales()
    state = {"step": 0, "seconds": 0.0, "loss": None}
    if noted.exists():
        state = json.loads(noted.read_text(encoding="utf-8"))
        model = keras.models.load_model(saved, custom_objects={f"loss_{name}": loss for name, loss in losses().items()})
        print(f"going on from step {state['step']}", flush=True)
    else:
        keras.utils.set_random_seed(0)
        model = build(len(scale["centre"]))
        if start is not None:
            backbone = backbone_alone()
            backbone.load_weights(start)
            copy_backbone(backbone, model)
        model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-4, clipnorm=1.0), jit_compile=False,
                      loss=losses(), loss_weights=SHARES)

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


def settle_statistics(model, batches: int = 100) -> None:
    """Replace the running statistics of batch normalisation by plain means over new films, with the weights as they are now.

    The running ones follow the last ten batches, and a place of the last map is a mean over few pixels: one odd batch moves
    them far. Source of the idea: "precise" statistics, Wu & Johnson 2021 (arXiv:2105.07576).
    """
    import keras

    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for number in range(batches):
        for layer in layers:
            layer.momentum = number / (number + 1)
        images, _, _ = films(500_000 + number, BATCH)
        model(shown(images, number), training=True)


def explained(model, scale) -> dict:
    """Share of the variance of each target that the network reads off 256 films that it was not trained on, at 64 px."""
    from cxrkit.data.phantom import make_phantom

    images, parameters, maps = films(900, 256)
    truth = answers(parameters, maps, scale)
    guess = model.predict(shown(images, 0), verbose=0)
    read = {}
    for name, true in truth.items():
        names = readable(make_phantom(1, 16)) if name == "parameters" else list(MAPS)
        missed, spread = ((part**2).mean(0).reshape(-1, len(names), true.shape[-1] // len(names)).sum((0, 2))
                          for part in (true - guess[name], true - true.mean(0)))
        read[name] = dict(zip(names, (1 - missed / spread).round(2).tolist(), strict=True))
    return read


def _save(model, state, saved, noted):
    model.save(saved.with_name("next.keras"))
    os.replace(saved.with_name("next.keras"), saved)
    noted.with_suffix(".tmp").write_text(json.dumps(state), encoding="utf-8")
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
    ask.add_argument("--minutes", type=float, default=60, help="training time; the learning rate reaches zero at its end")
    ask.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate")
    ask.add_argument("--start", type=Path, help="backbone weights to start from instead of random ones")
    ask.add_argument("--checkpoint", type=Path, default=Path("runs/pretrain"), help="folder of the checkpoint")
    ask.add_argument("--out", type=Path, default=WEIGHTS)
    asked = ask.parse_args()
    model, scale = train(asked.minutes, asked.rate, asked.checkpoint, asked.start)
    settle_statistics(model)
    print(json.dumps(explained(model, scale)), flush=True)
    backbone = backbone_alone()
    copy_backbone(model, backbone)
    write_half(backbone, asked.out)
    print(f"written: {asked.out} ({asked.out.stat().st_size / 1e6:.1f} MB)", flush=True)


if __name__ == "__main__":
    main()
