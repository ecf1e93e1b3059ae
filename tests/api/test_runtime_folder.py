"""The folder for sockets goes with the last of them, and nobody talks to a stranger's."""

import socket
import threading
from pathlib import Path

import pytest

from ambientd.api.client import Client
from ambientd.api.operations import STATUS
from ambientd.api.requests import GetStatus
from ambientd.api.socket_file import SocketFile
from ambientd.client.links import LocalLink
from ambientd.config.places import runtime_dir
from ambientd.errors import UnreachableError

pytestmark = pytest.mark.net


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return runtime_dir()


def test_the_runtime_folder_goes_with_the_last_socket_in_it(folder: Path) -> None:
    with SocketFile(folder / "one.sock"):
        with SocketFile(folder / "other.sock"):
            assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.exists()
    assert not folder.exists()


def test_a_runtime_folder_with_what_others_left_in_it_stays(folder: Path) -> None:
    with SocketFile(folder / "one.sock"):
        (folder / "another").touch()
    assert [each.name for each in folder.iterdir()] == ["another"]


def test_a_folder_that_the_owner_chose_stays(folder: Path, tmp_path: Path) -> None:
    chosen = tmp_path / "chosen"
    chosen.mkdir(mode=0o700)
    with SocketFile(chosen / "one.sock"):
        pass
    assert chosen.exists()


def test_whoever_starts_while_the_last_one_leaves_has_its_socket(folder: Path) -> None:
    faults: list[BaseException] = []

    def come_and_go(name: str) -> None:
        try:
            for _ in range(200):
                with SocketFile(folder / name), socket.socket(socket.AF_UNIX) as caller:
                    caller.connect(str(folder / name))
        except BaseException as error:  # noqa: BLE001 - the test's own thread raises it
            faults.append(error)

    threads = [threading.Thread(target=come_and_go, args=(f"{n}.sock",)) for n in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert faults == []
    assert not folder.exists()


async def test_nobody_asks_a_daemon_whose_folder_may_be_anybodys(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    path = folder / "x.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        with Client(path) as client, pytest.raises(UnreachableError, match="not this user's"):
            client.call(STATUS, GetStatus())
        link = LocalLink(path)
        with pytest.raises(UnreachableError, match="not this user's"):
            await link.call(STATUS, GetStatus())
        await link.aclose()
