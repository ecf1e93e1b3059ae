"""What a service manager hears: ready, alive in time, stopping."""

import os
import signal
import socket
import threading
from pathlib import Path

import pytest
import trio

from ambientd.adapters.service_manager import ServiceManager
from ambientd.errors import ConfigError


def listening(address: str) -> socket.socket:
    """Give the end that a service manager reads."""
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(f"\0{address[1:]}" if address.startswith("@") else address)
    heard.settimeout(20)
    return heard


@pytest.mark.net
@pytest.mark.parametrize("abstract", [False, True])
def test_it_hears_of_the_beginning_of_life_and_of_the_end(tmp_path: Path, abstract: bool) -> None:
    address = f"@{tmp_path}" if abstract else f"{tmp_path}/notify"
    words: list[bytes] = []

    def listen(heard: socket.socket) -> None:
        """Stop the program at its second sign of life, and hear what it says then."""
        while b"STOPPING=1" not in words:
            words.append(heard.recv(100))
            if words[-2:] == [b"WATCHDOG=1"] * 2 and len(words) == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000"}
    with listening(address) as heard:
        manager_thread = threading.Thread(target=listen, args=(heard,))
        manager_thread.start()
        assert trio.run(ServiceManager.of(environment).stand_by) is signal.SIGTERM
        manager_thread.join()
    assert words[:3] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]


def test_a_program_that_nobody_manages_says_nothing() -> None:
    assert ServiceManager.of({"WATCHDOG_USEC": "30000000"}).patience_s is None
    ServiceManager.of({}).say("READY=1")


def test_a_manager_that_has_gone_holds_nothing_up(tmp_path: Path) -> None:
    ServiceManager.of({"NOTIFY_SOCKET": f"{tmp_path}/gone"}).say("READY=1")


def test_the_watch_over_another_process_is_not_ours() -> None:
    said = {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}
    assert ServiceManager.of(said, process=8).patience_s is None
    assert ServiceManager.of(said, process=7).patience_s == 30


@pytest.mark.parametrize(
    "said",
    [{"NOTIFY_SOCKET": "notify"}, {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}],
)
def test_what_no_manager_says_is_refused(said: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="unset it"):
        ServiceManager.of(said)
