"""Whoever waits for a daemon that cannot answer yet is told what for."""

from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from ambientd.api import replies, requests
from ambientd.api.quotes import Quote
from ambientd.api.replies import Trouble, TroubleKind
from ambientd.cli.main import main
from ambientd.cli.waiting import late_text
from tests.fakes.desk_node import DeskNode, served

pytestmark = pytest.mark.net

AWAY = Trouble(kind=TroubleKind.NO_QUORUM, text="no quorum is here", hint="see to node3")
OLD = Trouble(kind=TroubleKind.ANCHOR_LATE, text="a batch waits", hint="set a chain")


class Waiting(DeskNode):
    """Gives no price before it was asked how it is, so many times."""

    def __init__(self, troubles: tuple[Trouble, ...], times: int = 1) -> None:
        super().__init__()
        self._troubles = troubles
        self._left = times
        self._asked = trio.Event()

    async def status(self, request: requests.GetStatus) -> replies.Status:
        self._left -= 1
        if self._left == 0:
            self._asked.set()
        return replace(await super().status(request), troubles=self._troubles)

    async def quote(self, request: requests.QuoteTask) -> Quote:
        await self._asked.wait()
        return await super().quote(request)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "m.wasm"
    path.write_bytes(b"\0asm\1\0\0\0echo")
    return path


def test_what_holds_the_log_up_is_said_once_while_a_command_waits(
    data_dir: Path,
    module: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ambientd.api.client.SLOW_S", 0.01)
    monkeypatch.setattr("ambientd.api.client.AGAIN_S", 0.01)
    with served(data_dir / "ambientd.sock", Waiting((OLD, AWAY), times=3).handlers()):
        assert main(["--data-dir", str(data_dir), "run", str(module)]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "waiting" in line]
    assert said == ["still waiting: no quorum is here; see to node3"]


def test_a_daemon_that_answers_says_nothing_of_waiting(
    data_dir: Path, module: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(data_dir / "ambientd.sock", DeskNode().handlers()):
        assert main(["--data-dir", str(data_dir), "run", str(module)]) == 0
    assert "waiting" not in capsys.readouterr().err


def test_troubles_that_hold_nothing_up_are_not_what_is_waited_for(data_dir: Path) -> None:
    with served(data_dir / "s", Waiting((OLD,)).handlers()):
        assert "knows of nothing that holds the log up" in late_text(data_dir / "s")
    assert "does not even say how it is" in late_text(data_dir / "s"), "nobody is there any more"
