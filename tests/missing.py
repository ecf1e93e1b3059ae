"""What a test needs and this machine may lack."""

import os
from typing import NoReturn

import pytest


def missing(message: str) -> NoReturn:
    """Skip the test, and say why; where AMBIENT_PROGRAMS says that all must be there, fail it."""
    if os.environ.get("AMBIENT_PROGRAMS") == "1":
        pytest.fail(message)
    pytest.skip(message)
