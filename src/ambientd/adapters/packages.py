"""Which version of a package is installed, read off the folder that every installer leaves.

`importlib.metadata` finds the same and much more; importing it takes 20 ms, which every worker
process and every command that starts one would pay.
"""

import os
import sys


def installed_version(package: str) -> str | None:
    """Return the version of the first such package on the path; None if there is none."""
    start, end = package.replace("-", "_") + "-", ".dist-info"
    for folder in sys.path:
        try:
            names = os.listdir(folder)
        except OSError:
            continue  # an archive, or a folder that is not there
        for name in names:
            if name.startswith(start) and name.endswith(end):
                return name.removeprefix(start).removesuffix(end)
    return None
