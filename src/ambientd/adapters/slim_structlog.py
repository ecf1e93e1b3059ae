"""Import structlog without what it takes along wherever it is installed: rich, greenlet, asyncio.

With rich it would draw tracebacks, which a daemon's log shall not have; here they stay plain. Of
asyncio it needs nothing until somebody logs from one of its loops, and gets the real one then. All
three are 6 MB in every daemon. The package's `__init__` imports this module before anything else,
and afterwards they are there for whoever asks for them.
"""

import importlib
import sys
import types

_ABSENT = ("rich", "greenlet")
_LATER = "asyncio"


class _Later(types.ModuleType):
    """A module that is imported when the first thing is asked of it."""

    def __getattr__(self, name: str) -> object:
        return getattr(importlib.import_module(self.__name__), name)


_put: dict[str, types.ModuleType | None] = {**dict.fromkeys(_ABSENT), _LATER: _Later(_LATER)}
_put = {name: module for name, module in _put.items() if name not in sys.modules}
# None makes an import fail, as if the package were absent.
sys.modules.update(_put)  # type: ignore[arg-type]
try:
    import structlog
finally:
    for _name in _put:
        del sys.modules[_name]

__all__ = ["structlog"]
