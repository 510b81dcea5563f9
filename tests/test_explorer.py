import numpy as np
import pytest
from explorer_data import BY_MODEL, GRID, LABELS, LOGITS, MAPS, NAMES, NASTY, greys

from rotnet_keras import save_explorer
from rotnet_keras.viewing import legends

PLOT = "Bokeh.documents[0].get_model_by_name('plot')"
ACROSS = f"(({{ start, end }}) => end - start)({PLOT}.x_range)"  # how much of the map is in view


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
    answer = f"{NAMES[LABELS[i]]} 91%, right" if i < 8 else f"{NAMES[0]} 91%, wrong"
    assert said(opened) == {
        "image": f"{i} (counted from 0)",
        "class": NAMES[LABELS[i]],
        "the model says": answer,
        "rotations predicted right": ["25%", "50%", "100%"][i % 3],
    }
    assert colour_of_picture(opened) == [20 * i] * 3 + [255]
    opened.mouse.move(2, 2)
    assert not opened.locator("#card").is_visible()


def test_menus_change_colours(opened):
    options = opened.locator("#colouring option").all_inner_texts()
    assert options == ["class", "predicted class", "error", "rotation accuracy"]
    by_class = column(opened, "colour")
    assert by_class == [legends.COLOURS[i] for i in LABELS]
    assert column(opened, "shape") == [legends.SHAPES[i] for i in LABELS]
    opened.select_option("#colouring", "predicted class")
    assert column(opened, "colour") == [legends.COLOURS[i] for i in LOGITS.argmax(axis=1)]
    opened.select_option("#colouring", "error")
    right, wrong = legends.RIGHT, legends.WRONG
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
    np.testing.assert_allclose(column(opened, "x"), column(opened, "x3"))


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
    menus = ["network", "depth", "colouring", "look"]
    assert reached == [*menus, "nearer", "farther", "whole", "map"]
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


def ink(page, left, top):
    """The colour that is painted at a place of the screen in which points are small pictures."""
    program = """([left, top]) => {
        const sheet = document.getElementById("thumbnails"), box = sheet.getBoundingClientRect();
        const copy = new OffscreenCanvas(sheet.width, sheet.height).getContext("2d");
        copy.drawImage(sheet, 0, 0);
        return Array.from(copy.getImageData(left - box.left, top - box.top, 1, 1).data);
    }"""
    return page.evaluate(program, [left, top])


def test_few_images_are_small_pictures_in_frames_of_their_colour(opened):
    for i in (0, 5, 11):
        left, top = pixels(opened, i)
        assert ink(opened, left, top) == [20 * i] * 3 + [255]
        frame = bytes.fromhex(legends.COLOURS[LABELS[i]][1:])
        assert ink(opened, left, top + 24) == [*frame, 255]  # 22 of the picture, 3 of the frame
        assert ink(opened, left, top + 27) == [0] * 4
    left, top = pixels(opened, 5)
    opened.mouse.move(left + 20, top - 20)  # a picture is met wherever it is
    assert said(opened)["image"] == "5 (counted from 0)"
    ring = opened.locator("#ring").bounding_box()
    assert (ring["width"], ring["height"]) == (54, 54)
    card = opened.locator("#card").bounding_box()
    assert card["x"] > left + 25
    opened.get_by_role("button", name="Bag").click()
    assert ink(opened, *pixels(opened, 5))[3] == 255
    assert opened.locator("#count").inner_text() == "8 of 12 images"
    opened.select_option("#look", "marks")
    assert not opened.locator("#thumbnails").is_visible()
    opened.mouse.move(2, 2)
    opened.mouse.move(left + 20, top - 20)
    assert not opened.locator("#card").is_visible()


def test_small_pictures_at_the_border_of_the_map_are_whole(page):
    opened = page(width=390, height=780, is_mobile=True, has_touch=True)
    frame = opened.locator("#map").bounding_box()
    for i in (0, 3, 8, 11):
        left, top = pixels(opened, i)
        assert frame["x"] + 25 <= left <= frame["x"] + frame["width"] - 25
        assert frame["y"] + 25 <= top <= frame["y"] + frame["height"] - 25


@pytest.mark.parametrize(("count", "looks"), [(299, ["pictures", "marks"]), (300, ["marks"])])
def test_many_images_are_marks(tmp_path, open_page, count, looks):
    points, labels = np.random.default_rng(0).normal(size=(count, 2)), np.arange(count) % 3
    images = np.zeros((count, 60, 60, 1), "uint8")
    path = save_explorer(tmp_path / "a.html", {"a": points}, images, labels, NAMES)
    opened = open_page(path)
    opened.wait_for_selector("body[data-ready]")
    assert opened.locator("#look option").all_inner_texts() == looks
    assert opened.locator("#look").is_visible() == (count < 300)
    assert opened.locator("#thumbnails").is_visible() == (count < 300)


def test_the_card_names_the_file_the_part_and_who_speaks(page):
    files = [f"{NASTY}/{i}.png" for i in range(12)]
    named = {"names": files, "parts": ["test"] * 8 + ["labelled"] * 4, "speaker": "<b>tuned</b>"}
    opened = page(told=BY_MODEL | named)
    opened.mouse.move(*pixels(opened, 11))
    assert said(opened) == {
        "picture": f"{NASTY}/11.png",
        "class": NAMES[2],
        "<b>tuned</b> says": "Bag 91%, wrong",
        "rotations predicted right": "100%",
        "part of the data": "labelled",
    }
    opened.select_option("#colouring", "part of the data")
    assert opened.locator("#legend .name").all_inner_texts() == ["test", "labelled"]
    assert opened.locator("#legend .number").all_inner_texts() == ["8", "4"]


def test_images_without_a_label_are_grey_and_neither_right_nor_wrong(tmp_path, open_page):
    labels = np.where(np.arange(12) < 10, LABELS, -1)
    path = save_explorer(tmp_path / "a.html", MAPS, greys(), labels, NAMES, logits=LOGITS)
    opened = open_page(path)
    opened.wait_for_selector("body[data-ready]")
    assert opened.locator("#legend .name").all_inner_texts() == [*NAMES, "no label"]
    assert opened.locator("#legend .number").all_inner_texts() == ["4", "3", "3", "2"]
    assert column(opened, "colour")[10:] == ["#C8C8C8"] * 2
    opened.mouse.move(*pixels(opened, 11))
    assert said(opened)["class"] == "no label"
    assert said(opened)["the model says"] == "Bag 91%"
    opened.select_option("#colouring", "error")
    assert opened.locator("#legend .name").all_inner_texts() == ["right", "wrong", "no label"]
    assert opened.locator("#legend .number").all_inner_texts() == ["9", "1", "2"]


@pytest.mark.parametrize(("opens_on", "network"), [(None, "random"), ("fine-tuned", "fine-tuned")])
def test_it_opens_on_the_last_depth_of_the_network_asked_for(page, opens_on, network):
    opened = page(told={"opens_on": opens_on})
    assert opened.locator("#network").input_value() == network
    assert opened.locator("#depth").input_value() == "block 2"
    number = 1 if opens_on is None else 3
    assert column(opened, "x") == column(opened, f"x{number}")
    assert column(opened, "y") == column(opened, f"y{number}")
