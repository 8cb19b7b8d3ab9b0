"""What cxrkit is timed against: transfer learning as Keras's own guide writes it, with nothing tuned and nothing left out.

Files are read by `image_dataset_from_directory` in every epoch and prefetched; the backbone is called with `training=False`; flips and
small rotations are layers mapped over the data set; the frozen phase trains a new last layer, fine-tuning goes on at a low rate.
The form is that of keras.io's guide "Transfer learning & fine-tuning"; the backbone, its weights, the films, the batch and the size
are cxrkit's.
"""

from cxrkit.backend import keras


def datasets(folder, size: int, batch: int, augmented: bool):
    """Return (training, validation) tf.data sets of RGB films [b, size, size, 3], 0-255, from `folder`/train and `folder`/val."""
    import tensorflow as tf

    def read(split, shuffle):
        return keras.utils.image_dataset_from_directory(
            folder / split, label_mode="binary", image_size=(size, size), batch_size=batch, shuffle=shuffle, seed=0, verbose=False)

    train, val = read("train", True), read("val", False)
    if augmented:
        layers = keras.Sequential([keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.1)])
        train = train.map(lambda films, labels: (layers(films, training=True), labels), num_parallel_calls=tf.data.AUTOTUNE)
    return train.prefetch(tf.data.AUTOTUNE), val.prefetch(tf.data.AUTOTUNE)


def classifier(size: int, weights: str):
    """Return (model, its backbone, frozen): EfficientNetV2-B0, pooling, dropout, one logit.

    weights : a file's path; "imagenet", fetched by Keras; or "none", random.
    """
    named = weights if weights == "imagenet" else None
    backbone = keras.applications.EfficientNetV2B0(include_top=False, weights=named, input_shape=(size, size, 3))
    if weights not in ("imagenet", "none"):
        backbone.load_weights(weights)
    backbone.trainable = False
    films = keras.Input((size, size, 3))
    maps = backbone(films, training=False)
    logits = keras.layers.Dense(1)(keras.layers.Dropout(0.2)(keras.layers.GlobalAveragePooling2D()(maps)))
    return keras.Model(films, logits), backbone


def compile_frozen(model) -> None:
    """Ready for the frozen phase: a new last layer, Adam's default rate."""
    _compile(model, 1e-3)


def compile_fine_tuning(model, backbone) -> None:
    """Ready for fine-tuning: every layer may learn, at a low rate."""
    backbone.trainable = True
    _compile(model, 1e-5)


def _compile(model, rate):
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=keras.losses.BinaryCrossentropy(from_logits=True),
                  metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)])
