import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.crash_points import memory_folder


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where nothing waits for a disk."""
    folder = memory_folder(tmp_path)
    yield folder
    if folder != tmp_path:
        shutil.rmtree(folder)
