"""Speed against other ways to the same end: python -m pytest -n 0 tests/benchmarks/test_speed.py

Each test times our way and the other ways in turns, so that a busy machine slows all, and
compares the best of several rounds.
"""

import concurrent.futures
import multiprocessing
import time
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from rotnet_keras import attach_head, load_splits, rotate_batch, rotation_dataset
from rotnet_keras.models import two_conv_extractor

BATCH_SIZE = 64  # different images; the batch holds their four rotations
LEARNING_RATE = 2e-3
TARGET = 0.97
CHECK_EVERY = 200  # updates between two looks at the held-out accuracy
MOST_CHECKS = 40
LAYOUTS = ("contiguous_format", "channels_last")  # PyTorch's
STEPS_PER_CALL = 20  # Keras's steps_per_execution: less Python between two steps


@pytest.fixture(scope="module")
def splits():
    return load_splits("fashion_mnist")  # 97% is a figure of the real data


def best_seconds(rounds, **ways):
    """Time every way in each round; return the best time of each."""
    best = dict.fromkeys(ways, np.inf)
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def count(dataset):
    return sum(len(images) for images, _ in dataset)


def test_pipeline(put, splits):
    """Batched transposes against tf.image.rot90 per image in flat_map, and against a copy."""
    images = splits.unlabelled
    few = images[:10_000]
    scale = len(images) / len(few)

    def four_rotations(image):
        turned = tf.stack([tf.image.rot90(image, k) for k in range(4)])
        return tf.data.Dataset.from_tensor_slices((turned, tf.range(4)))

    per_image = tf.data.Dataset.from_tensor_slices(few).shuffle(len(few), seed=0)
    per_image = per_image.flat_map(four_rotations).batch(4 * BATCH_SIZE).prefetch(tf.data.AUTOTUNE)
    batched = rotation_dataset(images, batch_size=BATCH_SIZE)
    streamed = rotation_dataset(
        tf.data.Dataset.from_tensor_slices(images),
        batch_size=BATCH_SIZE,
        shuffle_buffer=len(images),
    )
    places = tf.data.Dataset.range(len(images)).shuffle(len(images), seed=0).batch(BATCH_SIZE)
    held = tf.constant(images)
    copied = places.map(
        lambda place: (tf.concat([tf.gather(held, place)] * 4, 0), place),
        num_parallel_calls=tf.data.AUTOTUNE,
    ).prefetch(tf.data.AUTOTUNE)
    assert (count(per_image), count(batched)) == (4 * len(few), 4 * len(images))
    ways = {"batched": batched, "streamed": streamed, "per image": per_image, "copied": copied}
    seconds = best_seconds(5, **{name: partial(count, way) for name, way in ways.items()})
    rot90, copy = scale * seconds["per image"], seconds["copied"]
    put("pipeline: images", 4 * len(images) / seconds["batched"], "a second")
    put("its speed to rot90 per image", rot90 / seconds["batched"], "times", least=12)
    put("of a stream", rot90 / seconds["streamed"], "times", least=12)
    put("to the same batches not turned", copy / seconds["batched"], "times", least=0.5)


def test_training_is_not_held_up_by_the_pipeline(put, splits):
    """`fit` fed by rotation_dataset against `fit` on arrays rotated beforehand."""
    images = splits.unlabelled[:10_000]
    rotated, labels = (part.numpy() for part in rotate_batch(images))
    dataset = rotation_dataset(images, batch_size=BATCH_SIZE)
    models = {name: compiled_keras_model(images.shape[1:]) for name in ("pipeline", "arrays")}

    def fit_pipeline():
        models["pipeline"].fit(dataset, epochs=1, verbose=0, shuffle=False)

    def fit_arrays():
        models["arrays"].fit(rotated, labels, batch_size=4 * BATCH_SIZE, epochs=1, verbose=0)

    fit_pipeline(), fit_arrays()  # trace both
    seconds = best_seconds(12, pipeline=fit_pipeline, arrays=fit_arrays)
    ratio = seconds["arrays"] / seconds["pipeline"]
    put("fit fed by the pipeline to fit on turned arrays", ratio, "times", least=0.95)


def test_seconds_to_97_percent_against_pytorch(put, splits):
    """The same network, first weights, batches, optimiser and learning rates in both."""
    pytest.importorskip("torch")
    held_out, truth = (part.numpy() for part in rotate_batch(splits.validation.images[:5000]))
    data = (splits.unlabelled, held_out, truth)
    runs = {"keras": alone(keras_seconds, *data)}
    for layout in LAYOUTS:
        runs[f"pytorch {layout}"] = alone(torch_seconds, *data, layout)
    for name, run in runs.items():
        put(f"97% of rotations, {name}: {run['updates']} updates", run["seconds"], "s")
    for layout in LAYOUTS:
        ratio = runs["keras"]["seconds"] / runs[f"pytorch {layout}"]["seconds"]
        put(f"97% of rotations, Keras to PyTorch {layout}", ratio, "of its seconds", most=0.5)


def alone(function, *arguments):
    """Call a function in a new process: two frameworks' thread pools in one slow each other."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def compiled_keras_model(image_shape, **options):
    model = attach_head(two_conv_extractor(image_shape, seed=0), 4, seed=0)
    model.compile(
        keras.optimizers.Adam(LEARNING_RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **options,
    )
    return model


class StopAtTarget(keras.callbacks.Callback):
    """Stop `fit` at the first look that finds the held-out accuracy reached."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = logs["val_accuracy"] >= TARGET


def keras_seconds(images, held_out, truth):
    """Seconds to the target from the first update on; tracing is left out, as it is paid once."""
    model = compiled_keras_model(images.shape[1:], steps_per_execution=STEPS_PER_CALL)
    first_weights = model.get_weights()
    batches = rotation_dataset(images, batch_size=BATCH_SIZE, seed=0).repeat()
    looks = tf.data.Dataset.from_tensor_slices((held_out, truth)).batch(1000).cache()
    options = {"validation_data": looks, "callbacks": [StopAtTarget()]}
    options |= {"verbose": 0, "shuffle": False}
    model.fit(batches, steps_per_epoch=STEPS_PER_CALL, epochs=1, **options)
    model.set_weights(first_weights)
    for variable in model.optimizer.variables:
        if "learning_rate" not in variable.path:
            variable.assign(tf.zeros_like(variable))
    start = time.perf_counter()
    history = model.fit(batches, steps_per_epoch=CHECK_EVERY, epochs=MOST_CHECKS, **options)
    seconds = time.perf_counter() - start
    assert history.history["val_accuracy"][-1] >= TARGET
    return {"seconds": seconds, "updates": CHECK_EVERY * len(history.epoch)}


def torch_seconds(images, held_out, truth, layout):
    """The same loop in PyTorch, from the same first weights, in one of its two memory layouts."""
    import torch

    layout = {"memory_format": getattr(torch, layout)}
    images, held_out = (
        torch.from_numpy(x.transpose(0, 3, 1, 2).copy()) for x in (images, held_out)
    )
    truth = torch.from_numpy(truth).long()
    model = torch_model(torch, images.shape[1:]).to(**layout)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, eps=1e-7)  # Keras's epsilon
    loss_of = torch.nn.CrossEntropyLoss()
    generator = torch.Generator().manual_seed(0)
    updates, start = 0, time.perf_counter()
    while updates < CHECK_EVERY * MOST_CHECKS:
        for chosen in torch.randperm(len(images), generator=generator).split(BATCH_SIZE):
            batch = images[chosen]
            batch = torch.cat([torch.rot90(batch, k, (2, 3)) for k in range(4)])
            labels = torch.arange(4).repeat_interleave(len(chosen))
            loss = loss_of(model((batch.float() / 255).to(**layout)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            updates += 1
            if updates % CHECK_EVERY == 0:
                with torch.no_grad():
                    parts = [(x.float() / 255).to(**layout) for x in held_out.split(1000)]
                    predicted = torch.cat([model(x).argmax(1) for x in parts])
                if (predicted == truth).float().mean() >= TARGET:
                    return {"seconds": time.perf_counter() - start, "updates": updates}
    raise AssertionError(f"{TARGET:.0%} were not reached in {updates} updates")


def torch_model(torch, image_shape):
    """`two_conv_extractor` with a rotation head, and the very weights that Keras drew for it."""
    source = compiled_keras_model((*image_shape[1:], image_shape[0]))
    nn = torch.nn
    side = source.get_layer("pool2").output.shape[1]
    model = nn.Sequential(
        *(nn.Conv2d(image_shape[0], 16, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * side * side, 16), nn.Linear(16, 4)),
    )
    kernels = {name: source.get_layer(name).kernel.numpy() for name in ("conv1", "conv2")}
    features = source.get_layer("features").kernel.numpy().reshape(side, side, 32, 16)
    with torch.no_grad():
        for index, value in (
            (0, kernels["conv1"].transpose(3, 2, 0, 1)),
            (3, kernels["conv2"].transpose(3, 2, 0, 1)),
            (7, features.transpose(3, 2, 0, 1).reshape(16, -1)),
            (8, source.get_layer("head").kernel.numpy().T),
        ):
            model[index].weight.copy_(torch.from_numpy(value.copy()))
            model[index].bias.zero_()
    return model


def test_both_networks_compute_the_same():
    """The comparison is of one network: its logits agree in both frameworks."""
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), "uint8")
    ours = compiled_keras_model((28, 28, 1)).predict(images, verbose=0)
    batch = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255
    theirs = torch_model(torch, (1, 28, 28))(batch).detach().numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
