import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

import rotnet_keras as rk
from rotnet_keras import features_by_depth, save_explorer
from rotnet_keras.viewing import explorer

# Twelve images on a grid of 4 × 3, in every map elsewhere, so that each can be pointed at.
GRID = np.array([[i % 4, i // 4] for i in range(12)], "float64")
MAPS = {
    "random": {"block 1": GRID, "block 2": GRID[::-1]},
    "fine-tuned": {"block 1": GRID * [1, 2] + [3, 0], "block 2": GRID[np.r_[6:12, 0:6]]},
}
LABELS = np.arange(12) % 3
NASTY = "<img src=x onerror=alert(1)>"
NAMES = ["Bag", NASTY, "</script><b>$x_1$"]
LOGITS = np.zeros((12, 3))
LOGITS[np.arange(12), np.where(np.arange(12) < 8, LABELS, 0)] = 3  # of the last four, 9 is right
TOLD = np.array([0.25, 0.5, 1.0] * 4)
BY_MODEL = {"logits": LOGITS, "rotation_accuracies": TOLD}
PLOT = "Bokeh.documents[0].get_model_by_name('plot')"
ACROSS = f"(({{ start, end }}) => end - start)({PLOT}.x_range)"  # how much of the map is in view


def greys(count=12, channels=1):
    """Images of one grey each, 20 brighter from one to the next."""
    return np.full((count, 9, 9, channels), 20 * np.arange(count)[:, None, None, None], "uint8")


@pytest.fixture
def page(tmp_path, open_page):
    def page(features=MAPS, told=BY_MODEL, *, channels=1, motion="reduce", **options):
        images = greys(channels=channels)
        path = save_explorer(tmp_path / "a.html", features, images, LABELS, NAMES, **told)
        opened = open_page(path, reduced_motion=motion, **options)
        opened.wait_for_selector("body[data-ready]")
        return opened

    return page


@pytest.fixture
def opened(page):
    return page()


def column(page, name, source="points"):
    """A column of the points as the browser has them."""
    program = "([s, n]) => Array.from(Bokeh.documents[0].get_model_by_name(s).data[n])"
    return page.evaluate(program, [source, name])


def pixels(page, i):
    """Where on the screen an image's point is."""
    box, ends = page.locator("#plot").bounding_box(), "({ start, end }) => [start, end]"
    ranges = page.evaluate(f"[{PLOT}.x_range, {PLOT}.y_range].map({ends})")
    (left, right), (bottom, top) = ranges
    x, y = (column(page, name)[i] for name in "xy")
    across, up = (x - left) / (right - left), (y - bottom) / (top - bottom)
    return box["x"] + across * box["width"], box["y"] + (1 - up) * box["height"]


def said(page):
    """What the card says, by the name of each line."""
    names, values = (page.locator(f"#card {kind}").all_inner_texts() for kind in ("dt", "dd"))
    return dict(zip(names, values, strict=True))


def colour_of_picture(page):
    program = "document.getElementById('picture').getContext('2d').getImageData(56, 56, 1, 1).data"
    return page.evaluate(f"Array.from({program})")


@pytest.mark.parametrize("i", [0, 5, 11])
def test_hovering_shows_the_image_its_class_and_what_the_model_says(opened, i):
    assert not opened.locator("#card").is_visible()
    opened.mouse.move(*pixels(opened, i))
    opened.wait_for_selector("#card:not([hidden])")
    answer = f"{NAMES[LABELS[i]]} (91%), right" if i < 8 else f"{NAMES[0]} (91%), wrong"
    assert said(opened) == {
        "image": f"{i} (counted from 0)",
        "class": NAMES[LABELS[i]],
        "the model says": answer,
        "rotations told right": ["25%", "50%", "100%"][i % 3],
    }
    assert colour_of_picture(opened) == [20 * i] * 3 + [255]
    opened.mouse.move(2, 2)
    assert not opened.locator("#card").is_visible()


def test_menus_change_colours(opened):
    options = opened.locator("#colouring option").all_inner_texts()
    assert options == ["class", "predicted class", "error", "rotation accuracy"]
    by_class = column(opened, "colour")
    assert by_class == [explorer.COLOURS[i] for i in LABELS]
    assert column(opened, "shape") == [explorer.SHAPES[i] for i in LABELS]
    opened.select_option("#colouring", "predicted class")
    assert column(opened, "colour") == [explorer.COLOURS[i] for i in LOGITS.argmax(axis=1)]
    opened.select_option("#colouring", "error")
    right, wrong = explorer.RIGHT, explorer.WRONG
    expected = [right if i < 8 or i == 9 else wrong for i in range(12)]
    assert column(opened, "colour") == [colour for colour, _ in expected]
    assert column(opened, "shape") == [shape for _, shape in expected]
    assert opened.locator("#legend .name").all_inner_texts() == ["right", "wrong"]
    assert opened.locator("#legend .number").all_inner_texts() == ["9", "3"]
    opened.select_option("#colouring", "rotation accuracy")
    assert len(set(column(opened, "colour"))) == 3
    shares = [f"{share}% of its rotations" for share in (25, 50, 100)]
    assert opened.locator("#legend .name").all_inner_texts() == shares


def test_menus_move_the_same_points(opened):
    assert opened.locator("#network option").all_inner_texts() == ["random", "fine-tuned"]
    assert opened.locator("#depth option").all_inner_texts() == ["block 1", "block 2"]
    seen = []
    for network in ("random", "fine-tuned"):
        for depth in ("block 1", "block 2"):
            opened.select_option("#network", network)
            opened.select_option("#depth", depth)
            points = np.array([column(opened, "x"), column(opened, "y")]).T
            # Wherever a map lies and however it is turned, who is beside whom is what it says.
            distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
            given = np.linalg.norm(MAPS[network][depth][:, None] - MAPS[network][depth], axis=-1)
            np.testing.assert_allclose(distances / distances.max(), given / given.max(), atol=1e-5)
            seen.append(points.tobytes())
    assert len(set(seen)) == 4


def test_points_are_on_their_way_for_a_moment(page):
    opened = page(told={}, motion="no-preference")
    start = column(opened, "x")
    opened.select_option("#network", "fine-tuned")
    opened.wait_for_selector("body[data-moving=true]")
    opened.wait_for_selector("body[data-moving=false]")
    assert column(opened, "x") != start
    np.testing.assert_allclose(column(opened, "x"), column(opened, "x2"))


def test_the_legend_hides_a_class_and_shows_it_again(opened):
    opened.get_by_role("button", name="Bag").click()
    gone = [value is None or np.isnan(value) for value in column(opened, "x")]
    assert gone == (LABELS == 0).tolist()
    assert opened.locator("#count").inner_text() == "8 of 12 images"
    button = opened.get_by_role("button", name="Bag")
    assert button.get_attribute("aria-pressed") == "false"
    opened.select_option("#colouring", "error")  # hidden by class, they stay so
    opened.get_by_role("button", name="wrong").click()
    assert opened.locator("#count").inner_text() == "5 of 12 images"
    opened.get_by_role("button", name="Show all").click()
    assert not np.isnan(np.array(column(opened, "x"), float)).any()
    assert opened.locator("#count").inner_text() == "12 of 12 images"


def test_with_all_hidden_the_arrow_keys_do_nothing(opened):
    for button in opened.locator("#legend button").all():
        button.click()
    assert opened.locator("#count").inner_text() == "0 of 12 images"
    opened.focus("#map")
    opened.keyboard.press("ArrowRight")
    assert not opened.locator("#card").is_visible()
    opened.get_by_role("button", name="Show all").click()
    opened.mouse.move(*pixels(opened, 0))
    assert said(opened)["image"] == "0 (counted from 0)"


def test_a_hidden_image_is_not_met(opened):
    place = pixels(opened, 0)
    opened.get_by_role("button", name="Bag").click()
    opened.mouse.move(*place)
    assert not opened.locator("#card").is_visible()


def test_the_keyboard_reaches_all(opened):
    reached = []
    while "map" not in reached[-1:] and len(reached) < 20:
        opened.keyboard.press("Tab")
        reached.append(opened.evaluate("document.activeElement.id"))
    assert reached == ["network", "depth", "colouring", "nearer", "farther", "whole", "map"]
    opened.keyboard.press("ArrowRight")
    first = said(opened)["image"]
    start = pixels(opened, int(first.split()[0]))
    opened.keyboard.press("ArrowRight")
    i = int(said(opened)["image"].split()[0])
    right, down = np.subtract(pixels(opened, i), start)
    assert right > 0
    assert abs(down) <= right
    whole = opened.evaluate(ACROSS)
    opened.keyboard.press("+")
    assert opened.evaluate(ACROSS) == pytest.approx(0.7 * whole)
    opened.keyboard.press("0")
    assert opened.evaluate(ACROSS) == pytest.approx(whole)
    opened.keyboard.press("Escape")
    assert not opened.locator("#card").is_visible()
    opened.get_by_role("button", name="Bag").focus()
    opened.keyboard.press("Space")
    assert opened.locator("#count").inner_text() == "8 of 12 images"


def test_the_arrow_keys_go_on_from_a_click(opened):
    opened.mouse.click(*pixels(opened, 5))
    assert said(opened)["image"] == "5 (counted from 0)"
    opened.keyboard.press("ArrowRight")
    assert said(opened)["image"] in ("4 (counted from 0)", "6 (counted from 0)")


def test_a_phone_shows_the_card_at_a_tap(page):
    opened = page(width=390, height=780, is_mobile=True, has_touch=True)
    assert opened.evaluate("document.documentElement.scrollWidth") == 390
    opened.touchscreen.tap(*pixels(opened, 4))
    opened.wait_for_selector("#card:not([hidden])")
    assert said(opened)["image"] == "4 (counted from 0)"
    card, frame = (opened.locator(name).bounding_box() for name in ("#card", "#map"))
    assert frame["x"] <= card["x"]
    assert card["x"] + card["width"] <= frame["x"] + frame["width"]
    sizes = [button.bounding_box()["height"] for button in opened.locator("button:visible").all()]
    assert min(sizes) >= 36  # what a finger meets


def test_names_stay_text(opened):
    assert opened.locator("#legend .name").all_inner_texts() == NAMES
    assert opened.locator("#legend img, #card img, b").count() == 0


def test_the_wheel_zooms_and_the_card_stays_at_its_point(opened):
    opened.mouse.click(*pixels(opened, 5))
    left, whole = pixels(opened, 6)[0], opened.evaluate(ACROSS)
    box = opened.locator("#card").bounding_box()
    opened.mouse.wheel(0, -300)
    opened.wait_for_function(f"{ACROSS} < 0.95 * {whole}")
    assert pixels(opened, 6)[0] - left > 10  # it was right of the pointer, and is further now
    assert said(opened)["image"] == "5 (counted from 0)"
    assert opened.locator("#card").bounding_box() == pytest.approx(box, abs=2)


def test_without_a_model_there_are_no_menus_for_it(page):
    opened = page({"features": GRID}, told={}, channels=3, motion="no-preference")
    for menu in ("network", "depth", "colouring"):
        assert not opened.locator(f"#{menu}").is_visible()
    opened.mouse.move(*pixels(opened, 3))
    assert said(opened) == {"image": "3 (counted from 0)", "class": "Bag"}


def picture_in(path, kind):
    stored = re.search(rf'src="data:image/{kind};base64,([^"]+)"', path.read_text())[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(stored))))


def facts_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="facts">(.*?)</script>', text, re.DOTALL)[1])


@pytest.mark.parametrize(("side", "channels", "kind"), [(9, 1, "png"), (64, 3, "jpeg")])
def test_the_picture_of_all_images(tmp_path, side, channels, kind):
    images = np.zeros((5, side, side, channels), "float32")
    images[3] = 200.4
    path = save_explorer(tmp_path / "a.html", {"a": GRID[:5]}, images, LABELS[:5], NAMES)
    picture, shown = picture_in(path, kind), min(side, 48)
    assert facts_of(path)["side"] == shown
    assert picture.shape[:2] == (3 * shown, 3 * shown)
    cells = picture.reshape(3, shown, 3, shown, -1).mean(axis=(1, 3, 4)).ravel()
    np.testing.assert_allclose(cells, np.where(np.arange(9) == 3, 200, 0), atol=2)


def test_the_colours_of_one_image_stay_out_of_the_next(tmp_path):
    images = np.zeros((4, 28, 28, 3), "uint8")
    images[[0, 3], ..., 0] = images[[1, 2], ..., 2] = 255  # red and blue
    path = save_explorer(tmp_path / "a.html", {"a": GRID[:4]}, images, LABELS[:4], NAMES)
    picture = picture_in(path, "jpeg").astype(int)
    rows = [np.concatenate(images[pair], axis=1) for pair in ([0, 1], [2, 3])]
    assert abs(picture - np.concatenate(rows)).max() < 20


def test_a_folder_that_is_not_there_is_said_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(explorer, "umap_points", None)
    with pytest.raises(OSError, match="path must lie in a folder that can be written, got"):
        save_explorer(tmp_path / "no" / "a.html", MAPS, greys(), LABELS, NAMES)


def test_features_are_laid_out_and_maps_taken_as_they_are(tmp_path, monkeypatch):
    asked = []

    def lay_out(features, *, seed, cache):
        asked.append((features.shape, seed, cache))
        return features[:, :2]

    monkeypatch.setattr(explorer, "umap_points", lay_out)
    wide = np.random.default_rng(0).normal(size=(12, 5))
    given = (tmp_path / "a.html", {"w": wide, "map": GRID}, greys(), LABELS, NAMES)
    path = save_explorer(*given, seed=3, cache=tmp_path)
    assert asked == [((12, 5), 3, tmp_path)]
    maps = [{"network": name, "depth": ""} for name in ("w", "map")]
    assert facts_of(path)["maps"] == maps


def test_features_of_each_depth_and_network():
    first, second = (rk.conv_blocks_extractor((16, 16, 1), (2, 3), seed=seed) for seed in (0, 1))
    images = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 1), "uint8")
    features = features_by_depth({"a": first, "b": second}, images)
    assert list(features) == ["a", "b"]
    assert list(features["a"]) == ["block1", "block2", "features"]
    for name, network in (("a", first), ("b", second)):
        whole = rk.extract_features(network, images)
        np.testing.assert_array_equal(features[name]["features"], whole)
        # (6, 4, 4, 3), of which the grid is all
        maps = rk.extract_features(rk.cut_at_block(network, 2), images)
        np.testing.assert_allclose(features[name]["block2"], maps.reshape(6, -1), atol=1e-6)
    other = rk.conv_blocks_extractor((16, 16, 1), (2,))
    with pytest.raises(ValueError, match="networks must have the same blocks, got"):
        features_by_depth({"a": first, "c": other}, images)


def test_many_shares_are_shown_in_tenths():
    places, entries = explorer._levels(np.linspace(0, 1, 200))
    names = [entry["name"] for entry in entries[:2]]
    assert names == ["0% of its rotations", "10% of its rotations"]
    assert len(entries) == 11
    assert (places.min(), places.max()) == (0, 10)
    assert len(explorer._levels(np.ones(3))[1]) == 1


def test_up_to_seventy_classes_look_different():
    _, entries = explorer._classes(np.zeros(1, int), [str(i) for i in range(70)])
    assert len({(entry["colour"], entry["shape"]) for entry in entries}) == 70


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "a.txt"}, r"path must end in \.html, got"),
        ({"features_by_name": {"a": {"x": GRID}, "b": {"y": GRID}}}, "the same depths of every"),
        ({"features_by_name": {"a": GRID[:5]}}, r"must hold arrays \(12, D\)"),
        ({"labels": LABELS + 1}, r"labels must lie in 0\.\.2"),
        ({"images": np.zeros((12, 8, 9, 1))}, "images must be square"),
        ({"logits": np.zeros((12, 2))}, r"logits must be \(12, 3\)"),
        ({"rotation_accuracies": TOLD + 1}, r"rotation_accuracies must lie in 0\.\.1"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_written(tmp_path, change, message):
    arguments = {"path": tmp_path / "a.html", "features_by_name": MAPS, "images": greys()}
    arguments |= {"labels": LABELS, "class_names": NAMES} | change
    with pytest.raises(ValueError, match=message):
        save_explorer(**arguments)
    assert not list(tmp_path.iterdir())
