"""Import structlog without rich, which it takes along wherever it is installed.

It would draw tracebacks with it, which a daemon's log shall not have; here they stay plain. rich,
Pygments and what they need are 4 MB in every daemon. The package's `__init__` imports this module
before anything else, and afterwards rich is there for whoever asks for it.
"""

import sys

_RICH = "rich"
_is_ours = _RICH not in sys.modules
if _is_ours:
    sys.modules[_RICH] = None  # type: ignore[assignment]  # importing it fails, as if it were absent
try:
    import structlog
finally:
    if _is_ours:
        del sys.modules[_RICH]

__all__ = ["structlog"]
