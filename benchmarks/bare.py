"""The ceiling that gpu.py holds cxrkit against: each framework's own bare loop over one batch that is on the device already.

No input, no metrics, no callbacks, no numbers brought back before the end: what is left is the network. Each function takes a compiled
Keras model and returns a function of `steps` that gives the seconds that they took; a first call compiles, so time a later one.
"""

import time

import numpy as np

from cxrkit.backend import keras


def predicting(network, films):
    """Forward passes of `films` float32 [b, s, s, 1]."""
    make = {"tensorflow": _tensorflow_predict, "jax": _jax_predict, "torch": _torch_predict}[keras.backend.backend()]
    return _timed(make(network, keras.ops.convert_to_tensor(films)))


def training(network, films, labels):
    """Steps of training on `films` float32 [b, s, s, 1] and `labels` float32 [b, 1]; the network's weights may change."""
    make = {"tensorflow": _tensorflow_train, "jax": _jax_train, "torch": _torch_train}[keras.backend.backend()]
    return _timed(make(network, keras.ops.convert_to_tensor(films), keras.ops.convert_to_tensor(labels)))


def _timed(step):
    def seconds(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            last = step()
        value = keras.ops.convert_to_numpy(last)  # waits for the device; steps follow one another there
        taken = time.perf_counter() - start
        assert np.isfinite(value).all(), "the bare loop's numbers are not finite"
        return taken

    return seconds


# --- TensorFlow: tf.function, compiled by XLA where Keras would -----------------------------------------------------


def _tensorflow_predict(network, films):
    import tensorflow as tf

    forward = tf.function(lambda batch: network(batch, training=False), jit_compile=network.jit_compile)
    return lambda: forward(films)


def _tensorflow_train(network, films, labels):
    import tensorflow as tf

    loss_of, optimizer, weights = keras.losses.BinaryCrossentropy(from_logits=True), network.optimizer, network.trainable_variables

    @tf.function(jit_compile=network.jit_compile)
    def step(batch, truth):
        with tf.GradientTape() as tape:
            loss = loss_of(truth, network(batch, training=True))
            scaled = optimizer.scale_loss(loss)
        optimizer.apply(tape.gradient(scaled, weights), weights)
        return loss

    return lambda: step(films, labels)


# --- JAX: one jitted function of all state, through Keras's stateless calls -----------------------------------------


def _jax_predict(network, films):
    import jax

    learned, fixed = _copies(network.trainable_variables, network.non_trainable_variables)
    forward = jax.jit(lambda learned, fixed, batch: network.stateless_call(learned, fixed, batch, training=False)[0])
    return lambda: forward(learned, fixed, films)


def _jax_train(network, films, labels):
    import jax

    loss_of, optimizer = keras.losses.BinaryCrossentropy(from_logits=True), network.optimizer

    def objective(learned, fixed, state, batch, truth):
        logits, fixed = network.stateless_call(learned, fixed, batch, training=True)
        loss = loss_of(truth, logits)
        with keras.StatelessScope(state_mapping=list(zip(optimizer.variables, state))):
            return optimizer.scale_loss(loss), (loss, fixed)

    def step(learned, fixed, state, batch, truth):
        gradients, (loss, fixed) = jax.grad(objective, has_aux=True)(learned, fixed, state, batch, truth)
        learned, state = optimizer.stateless_apply(state, gradients, learned)
        return learned, fixed, state, loss

    compiled = jax.jit(step, donate_argnums=(0, 1, 2))
    now = _copies(network.trainable_variables, network.non_trainable_variables, optimizer.variables)

    def go_on():
        *now[:], loss = compiled(*now, films, labels)
        return loss

    return go_on


def _copies(*parts):
    """Arrays of their own: a compiled step, and Keras's `fit` too, gives those that it is handed back to the device."""
    import jax

    return [[jax.numpy.copy(variable.value) for variable in part] for part in parts]


# --- PyTorch: its own optimiser, loss and loss scaling around the same layers ---------------------------------------


def _torch_predict(network, films):
    import torch

    def forward():
        with torch.no_grad():
            return network(films, training=False)

    return forward


def _torch_train(network, films, labels):
    import torch

    weights = [variable.value for variable in network.trainable_variables]
    optimizer = torch.optim.AdamW(weights, lr=1e-5)
    half = keras.config.dtype_policy().name == "mixed_float16"
    scaler = torch.amp.GradScaler(films.device.type, enabled=half and films.device.type == "cuda")

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(films, training=True), labels)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

    return step
