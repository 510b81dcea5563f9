import numpy as np

from rotnet_keras import save_explorer, show_html

POINTS = np.array([[i % 4, i // 4] for i in range(12)], "float64")
IMAGES = np.zeros((12, 9, 9, 1), "uint8")
LABELS = np.arange(12) % 3
NAMES = ["Bag", "<img src=x onerror=alert(1)>", "</script><b>$x_1$"]


def test_a_notebook_cell_shows_the_page(tmp_path, open_page):
    path = save_explorer(tmp_path / "a.html", {"features": POINTS}, IMAGES, LABELS, NAMES)
    cell = tmp_path / "cell.html"
    assert repr(show_html(path)) == "<a.html, shown in notebooks>"
    shown = show_html(path, height=500)._repr_html_()
    cell.write_text(f"<!DOCTYPE html>{shown}<p>what comes after</p>")
    opened = open_page(cell)
    assert opened.get_by_text("what comes after").is_visible()
    inside = opened.frame_locator("iframe")
    inside.locator("body[data-ready]").wait_for()
    assert inside.locator("#legend .name").all_inner_texts() == NAMES
    assert opened.locator("iframe").bounding_box()["height"] == 500
