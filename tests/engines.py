"""Which engines a test runs on: all that are installed here.

`AMBIENT_ENGINES=wasmtime,wasmer,wasmi` says which must be: one that is named there and missing
fails the tests that use it, so that a build that went wrong is never a green run.
"""

import os

from ambientd.adapters.engines import ENGINE_NAMES, installed

_REQUIRED = "AMBIENT_ENGINES"


def engines() -> list[str]:
    """Name the engines to test: the installed ones and those that must be, in a fixed order."""
    required = {name.strip() for name in os.environ.get(_REQUIRED, "").split(",")} - {""}
    unknown = required.difference(ENGINE_NAMES)
    if unknown:
        msg = f"{_REQUIRED} names {sorted(unknown)}; there are {', '.join(ENGINE_NAMES)}"
        raise ValueError(msg)
    return [name for name in ENGINE_NAMES if name in required or name in installed()]
