import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.crash_points import memory_folder
from tests.adapters.s3_server import serving


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where nothing waits for a disk."""
    folder = memory_folder(tmp_path)
    yield folder
    if folder != tmp_path:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A server of S3 with one bucket; what a program's environment says of it."""
    with serving(tmp_path_factory.mktemp("s3")) as told:
        yield told
