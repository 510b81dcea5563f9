"""README's still of the explorer: python notebooks/draw_explorer.py results/explorer.html

The page is that of `python -m rotnet_keras --explorer`; it needs Chromium. One image is shown that
the fine-tuned network predicts wrong.
"""

import pathlib
import shutil
import sys

from playwright.sync_api import sync_playwright

OUTPUT = pathlib.Path(__file__).parent / "figures" / "explorer.png"
SIZE = {"width": 1000, "height": 700}
SHOWN = {"network": "fine-tuned on labels", "depth": "pool2"}  # what the menus say
# Where the points lie, from the upper left corner of the page.
PLACES = """() => {
  const page = Bokeh.documents[0], plot = page.get_model_by_name("plot");
  const { x, y } = page.get_model_by_name("points").data;
  const box = document.getElementById("plot").getBoundingClientRect();
  const across = (value, range) => (value - range.start) / (range.end - range.start);
  return Array.from(x, (_, i) => [
    box.left + across(x[i], plot.x_range) * box.width,
    box.top + (1 - across(y[i], plot.y_range)) * box.height,
  ]);
}"""


def is_wrong(page):
    """Whether the card is there and says that the prediction is wrong."""
    card = page.locator("#card")
    return card.is_visible() and ", wrong" in card.inner_text()


def main(source):
    """Open the page, look for an image that is predicted wrong, and keep what is seen."""
    with sync_playwright() as playwright:
        program = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, device_scale_factor=1.5, reduced_motion="reduce")
        page.goto(pathlib.Path(source).resolve().as_uri())
        page.wait_for_selector("body[data-ready]")
        for menu, choice in SHOWN.items():
            page.locator(f"#{menu}").select_option(label=choice)
        page.wait_for_timeout(2000)
        for place in page.evaluate(PLACES):
            page.mouse.move(*place)
            page.wait_for_timeout(30)
            if is_wrong(page):
                break
        else:
            sys.exit("no image is predicted wrong on this page")
        box = page.locator("#map").bounding_box()
        below = box["y"] + box["height"] + 12
        page.screenshot(path=OUTPUT, clip={"x": 0, "y": 0, "width": SIZE["width"], "height": below})
        browser.close()
    print(f"{OUTPUT.name}: {OUTPUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
