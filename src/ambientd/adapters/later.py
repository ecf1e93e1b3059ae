"""Modules that are imported when the first thing is asked of them."""

import importlib
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager


class Later(types.ModuleType):
    """A module that is not there yet; whoever asks it for something gets that of the real one."""

    def __getattr__(self, name: str) -> object:
        # Another thread may ask while this still is in the real one's place.
        if sys.modules.get(self.__name__) is self:
            sys.modules.pop(self.__name__, None)
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def put_in_place(modules: dict[str, types.ModuleType | None]) -> Iterator[None]:
    """Let imports within the block find these, unless the real ones are there; None is absent."""
    put = {name: module for name, module in modules.items() if name not in sys.modules}
    # None makes an import fail, as if the package were absent.
    sys.modules.update(put)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name, module in put.items():
            if name in sys.modules and sys.modules[name] is module:
                del sys.modules[name]
