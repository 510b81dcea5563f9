"""Copy the repository's address from setup.cfg into badges, install cells and links to tables, into
the citation and the guide to contributing.

python notebooks/stamp_address.py          writes it
python notebooks/stamp_address.py --check  says which files differ, and exits with 1 if any does
"""

import configparser
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
# An owner/name behind the fixed part of a badge, an install cell, a link to a file, a citation's
# address, a clone, or the badge of the tests.
ADDRESS = re.compile(
    r"(?P<before>colab\.research\.google\.com/github/|git\+https://github\.com/"
    r"|raw\.githubusercontent\.com/|repository-code: https://github\.com/"
    r"|git clone https://github\.com/|\(https://github\.com/(?=[\w.-]+/[\w.-]+/actions/))"
    r"[\w.-]+/[\w.-]+?(?=/blob/|/main/|/actions/|[\"'\\\s@]|\.git\b)"
)


def stamped(text, repository):
    """Return the text with every address pointing to `repository`, "owner/name"."""
    return ADDRESS.sub(rf"\g<before>{repository}", text)


def main(check=False):
    """Stamp or check all files that hold the address; return the exit status."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    repository = setup["metadata"]["url"].removeprefix("https://github.com/")
    differing = []
    places = ("README.md", "CITATION.cff", ".github/CONTRIBUTING.md", "notebooks/[0-9]*.ipynb")
    for path in [path for place in places for path in sorted(ROOT.glob(place))]:
        text = path.read_text(encoding="utf-8")
        if not ADDRESS.search(text):
            sys.exit(f"{path.name} holds no address to stamp")
        if stamped(text, repository) == text:
            continue
        differing.append(path.name)
        if not check:
            if path.suffix == ".ipynb":
                json.loads(stamped(text, repository))  # never write a broken notebook
            path.write_text(stamped(text, repository), encoding="utf-8")
    if differing:
        print("differing:" if check else "stamped:", *differing)
    return int(check and bool(differing))


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
