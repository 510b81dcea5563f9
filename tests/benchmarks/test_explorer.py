"""An explorer of 5,000 images, and maps: python -m pytest -n 0 tests/benchmarks/test_explorer.py"""

import time

import numpy as np
import pytest

from rotnet_keras import (
    attach_head,
    conv_blocks_extractor,
    extract_features,
    features_by_depth,
    save_explorer,
    umap_points,
)

LIMITS = {"megabytes": 15, "seconds to ready": 4, "milliseconds to hover": 100}


@pytest.fixture
def explorer(splits, tmp_path):
    """Three networks at each depth, with random weights, which make no difference here."""
    images, labels = splits.test.images[:5000], splits.test.labels[:5000]
    networks = {
        name: conv_blocks_extractor(splits.image_shape, (32, 64, 128), seed=seed)
        for seed, name in enumerate(("random", "rotation-pretrained", "fine-tuned"))
    }
    logits = extract_features(attach_head(networks["fine-tuned"], splits.num_classes), images)
    return save_explorer(
        tmp_path / "explorer.html",
        features_by_depth(networks, images),
        images,
        labels,
        splits.class_names,
        logits=logits,
        rotation_accuracies=np.arange(5000) % 5 / 4,
    )


def test_size_and_speed(put, explorer, open_page):
    start = time.perf_counter()
    page = open_page(explorer)
    page.wait_for_selector("body[data-ready]")
    figures = {
        "megabytes": explorer.stat().st_size / 1e6,
        "seconds to ready": time.perf_counter() - start,
        "milliseconds to hover": 1000 * max(times := list(hovers(page))),
    }
    for unit, value in figures.items():
        put("explorer of 5,000 images", value, unit, most=LIMITS[unit])
    put(f"median of {len(times)} hovers", 1000 * np.median(times), "milliseconds")
    put("while points move", frames(page), "frames a second")


def hovers(page, count=50):
    """Seconds from a movement of the mouse to a point until its card is painted."""
    places = page.evaluate(
        """(count) => {
            const find = (name) => Bokeh.documents[0].get_model_by_name(name);
            const { x_range, y_range } = find("plot"), { x, y } = find("points").data;
            const box = document.getElementById("plot").getBoundingClientRect();
            const part = (value, { start, end }) => (value - start) / (end - start);
            return Array.from({ length: count }, (_, i) => [
                box.left + part(x[97 * i], x_range) * box.width,
                box.bottom - part(y[97 * i], y_range) * box.height,
            ]);
        }""",
        count,
    )
    for left, top in places:
        page.mouse.move(1, 1)
        page.wait_for_selector("#card", state="hidden")
        page.evaluate(
            """() => {
                const painted = (then) => requestAnimationFrame(() => setTimeout(then));
                const told = (moved) => (done) => painted(() => done(
                    document.getElementById("card").hidden ? null : performance.now() - moved));
                window.hovered = new Promise((done) => addEventListener(
                    "pointermove", ({ timeStamp }) => told(timeStamp)(done), { once: true }));
            }"""
        )
        page.mouse.move(left, top)
        yield page.evaluate("hovered") / 1000


def frames(page):
    """How many pictures a second the browser draws while all points go to another map."""
    return page.evaluate(
        """async () => {
            let count = 0, moving = true;
            const step = () => { count += 1; moving && requestAnimationFrame(step); };
            const menu = document.getElementById("network");
            menu.selectedIndex = 2;
            const start = performance.now();
            menu.dispatchEvent(new Event("change"));
            requestAnimationFrame(step);
            while (document.body.dataset.moving !== "false") {
                await new Promise((done) => setTimeout(done, 5));
            }
            moving = false;
            return count / ((performance.now() - start) / 1000);
        }"""
    )


def test_maps_of_10000_images(put, splits, tmp_path):
    network = conv_blocks_extractor(splits.image_shape, (32, 64, 128))
    features = extract_features(network, splits.test.images)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        umap_points(features, cache=tmp_path)
        seconds.append(time.perf_counter() - start)
    put(f"a map of {len(features):,} images", seconds[0], "s", most=60)
    put("the same map again", seconds[1], "s", most=1)
