"""Import structlog without what it takes along wherever it is installed: rich, greenlet, asyncio.

With rich it would draw tracebacks, which a daemon's log shall not have; here they stay plain. Of
asyncio it needs nothing until somebody logs from one of its loops, and gets the real one then. All
three are 6 MB in every daemon. The package's `__init__` imports this module before anything else,
and afterwards they are there for whoever asks for them.
"""

from ambientd.adapters.later import Later, put_in_place

with put_in_place({"rich": None, "greenlet": None, "asyncio": Later("asyncio")}):
    import structlog

__all__ = ["structlog"]
