"""A fake node behind a real socket, and ambientctl called in this process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ambientd.cli.main import main
from tests.fakes.desk_node import DeskNode, served

Ctl = Callable[..., tuple[int, str, str]]


@pytest.fixture
def node() -> DeskNode:
    return DeskNode()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "n"
    folder.mkdir()
    return folder


@pytest.fixture
def live(node: DeskNode, data_dir: Path) -> Iterator[Path]:
    with served(data_dir / "ambientd.sock", node.handlers()):
        yield data_dir


@pytest.fixture
def ctl(data_dir: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ctl:
    monkeypatch.setenv("AMBIENT_DATA_DIR", str(data_dir))

    def call(*words: str | Path) -> tuple[int, str, str]:
        try:
            code = main([str(word) for word in words])
        except SystemExit as leaving:
            code = int(str(leaving.code or 0))
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call
