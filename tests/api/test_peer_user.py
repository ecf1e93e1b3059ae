"""A program asks no daemon but root's and its own user's."""

import ctypes
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from ambientd.api import peer_user as users
from ambientd.api.client import Client
from ambientd.api.operations import STATUS
from ambientd.api.peer_user import check_daemon, is_root_or_own, peer_user
from ambientd.api.requests import GetStatus
from ambientd.client.links import LocalLink
from ambientd.errors import UnreachableError

NOBODY, SOMEBODY = 65_534, 4_294_000_000
INTO_A_USER_NAMESPACE = 0x1000_0000

pytestmark = [
    pytest.mark.net,
    pytest.mark.skipif(sys.platform != "linux", reason="SO_PEERCRED is Linux's"),
]
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


def in_a_child(user: int, deed: Callable[[], None]) -> None:
    """Do something as another user in a process of its own, which ends well or says why not."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        fault = ""
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            deed()
        except BaseException as error:  # noqa: BLE001 - told to the parent
            fault = repr(error)
        os.write(writing, fault.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        assert said.read() == ""


def listening_as(user: int, path: Path) -> socket.socket:
    """Give a socket at which another user listens, though we have it, too."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    path.chmod(0o777)
    in_a_child(user, listening.listen)
    return listening


@pytest.fixture
def anywhere() -> Iterator[Path]:
    """Give a path at which any user may ask: pytest's own folders are one user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "x.sock"


def test_the_system_says_whose_the_other_end_is() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_user(ours) == os.getuid()
        check_daemon(ours, Path("x.sock"))


@as_root
@pytest.mark.parametrize("user", [NOBODY, SOMEBODY])
def test_nothing_is_asked_of_another_users_socket(anywhere: Path, user: int) -> None:
    def ask() -> None:
        with Client(anywhere) as client, pytest.raises(UnreachableError) as refused:
            client.call(STATUS, GetStatus())
        said = f"user {user} answers at {anywhere}, and not root or this user (1000): nothing was"
        assert str(refused.value).startswith(said)
        with pytest.raises(UnreachableError, match="ls -l"):
            trio.run(LocalLink(anywhere).call, STATUS, GetStatus())

    with listening_as(user, anywhere) as listening:
        in_a_child(1_000, ask)
        for _ in range(2):
            connection, _ = listening.accept()
            with connection:
                assert connection.recv(1) == b""


@as_root
@pytest.mark.parametrize(("user", "asker"), [(0, NOBODY), (NOBODY, NOBODY), (NOBODY, 0)])
def test_roots_and_ones_own_is_asked_and_root_asks_anybody(
    anywhere: Path, user: int, asker: int
) -> None:
    def ask() -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(anywhere))
            assert peer_user(connection) == user
            check_daemon(connection, anywhere)

    with listening_as(user, anywhere):
        in_a_child(asker, ask)


def into_a_namespace_that_maps_nobody() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(INTO_A_USER_NAMESPACE):
        raise OSError(ctypes.get_errno(), "no user namespace")


@pytest.fixture
def _namespaces() -> None:
    try:
        in_a_child(1_000, into_a_namespace_that_maps_nobody)
    except AssertionError:
        pytest.skip("this system gives a user no namespace")


@as_root
@pytest.mark.usefixtures("_namespaces")
@pytest.mark.parametrize("user", [NOBODY, SOMEBODY])
def test_the_number_of_all_who_have_none_in_a_namespace_is_not_ones_own(
    anywhere: Path, user: int
) -> None:
    def ask() -> None:
        into_a_namespace_that_maps_nobody()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(anywhere))
            assert peer_user(connection) == os.getuid() == NOBODY
            assert not is_root_or_own(NOBODY)
            with pytest.raises(UnreachableError, match="uid_map"):
                check_daemon(connection, anywhere)

    with listening_as(user, anywhere):
        in_a_child(1_000, ask)


@as_root
def test_where_there_are_no_namespaces_nobody_is_a_user_like_others(
    anywhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "_MAP_AT", anywhere.parent / "uid_map")

    def ask() -> None:
        assert is_root_or_own(NOBODY)

    in_a_child(NOBODY, ask)
