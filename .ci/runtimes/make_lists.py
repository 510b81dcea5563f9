"""Cut what this package touches out of Colab's lists of package versions, and write one list each.

python .ci/runtimes/make_lists.py FOLDER  where FOLDER holds pip-freeze.cpu.txt, .gpu.txt, .tpu.txt

The lists are Google's, https://github.com/googlecolab/backend-info. Run it in an environment where
`pip install -r requirements.txt` was done: "touches" is read from what is installed there, this
package's dependencies, theirs and so on.
"""

import importlib.metadata
import pathlib
import sys

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

RUNTIMES = ("cpu", "gpu", "tpu")
TOUCHED = ["rotnet-keras[graph]", "jax", "ipykernel", "ipywidgets", "nbclient"]


def closure(requirements):
    """Names of all packages that these requirements lead to, as far as they are installed."""
    seen, todo = set(), [(Requirement(r), "") for r in requirements]
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        for wanted in (*sorted(requirement.extras), ""):
            if (name, wanted) in seen:
                continue
            seen.add((name, wanted))
            try:
                below = importlib.metadata.requires(name) or []
            except importlib.metadata.PackageNotFoundError:
                continue
            todo += [(Requirement(line), wanted) for line in below]
    return {name for name, _ in seen}


def main(folder):
    """Write `cpu.txt`, `gpu.txt` and `tpu.txt` beside this script."""
    touched = closure(TOUCHED)
    for runtime in RUNTIMES:
        lines = (pathlib.Path(folder) / f"pip-freeze.{runtime}.txt").read_text().splitlines()
        kept = [line for line in lines if canonicalize_name(line.partition("==")[0]) in touched]
        target = pathlib.Path(__file__).with_name(f"{runtime}.txt")
        target.write_text("\n".join(kept) + "\n", encoding="utf-8")
        print(f"{target.name}: {len(kept)} of {len(lines)} packages")


if __name__ == "__main__":
    main(*sys.argv[1:])
