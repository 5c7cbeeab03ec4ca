"""Take a picture of a page, such as: python tests/browser/screenshot.py reports/miniature/index.html page.png --dark"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from helpers import chromium


def main() -> None:
    parser = argparse.ArgumentParser(description="Take a picture of a page in the browser of the tests.")
    parser.add_argument("page", help="a file, with a fragment if one is wanted, such as explorer/index.html#pope/2")
    parser.add_argument("picture", type=Path, help="the PNG file to write")
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--height", type=int, help="of the first screen; by default the whole page is taken")
    parser.add_argument("--dark", action="store_true")
    chosen = parser.parse_args()
    program = chromium.find()
    if program is None:
        raise SystemExit("there is no Chrome or Chromium: run `make browser`")
    path, _, fragment = chosen.page.partition("#")
    size = {"width": chosen.width, "height": chosen.height or 900}
    with chromium.launched(program) as browser:
        page = browser.new_page(viewport=size, color_scheme="dark" if chosen.dark else "light")
        page.goto(f"{Path(path).resolve().as_uri()}#{fragment}")
        page.screenshot(path=chosen.picture, full_page=chosen.height is None)


if __name__ == "__main__":
    main()
