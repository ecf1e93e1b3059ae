"""What watches a fleet's nodes goes on, whatever strangers write to it and whoever waits."""

import os
import signal
import socket
from pathlib import Path
from typing import Any, cast

import pytest

from ambientd.adapters.service_manager import ServiceManager
from ambientd.daemon import fleet as fleet_module
from ambientd.daemon.fleet import Fleet
from ambientd.daemon.fleet_folders import FleetFolders, FleetPlan
from ambientd.daemon.restarts import Fate
from ambientd.daemon.zygote import Zygote
from ambientd.errors import ConfigError, UnreachableError


class Endless:
    """A socket to which somebody writes faster than anybody reads."""

    def __init__(self) -> None:
        self.read = 0

    def recvmsg(self, *_: object) -> tuple[bytes, list[object], int, None]:
        self.read += 1
        assert self.read < 1_000_000
        return b"READY=1", [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, bytes(12))], 0, None

    def fileno(self) -> int:
        return -1


class Folders:
    """Only the first node has a folder, and nobody invites another; one folder is half there."""

    half: int | None = None

    def exists(self, number: int) -> bool:
        return number == 1

    def has_joined(self, _: int) -> bool:
        return True

    def bring(self, number: int) -> None:
        if number == self.half:
            raise ConfigError("is not empty; choose a new folder")
        raise UnreachableError("nobody answers")


class NoZygote:
    """Forks nobody."""

    def fork(self, *_: object) -> int:
        return 1 << 30


def fleet_of(
    root: Path, told: object, folders: object = None, nodes: int = 2, together: int = 1
) -> Fleet:
    return Fleet(
        FleetPlan(root=root, nodes=nodes, together=together),
        cast("FleetFolders", folders or Folders()),
        cast("Zygote", NoZygote()),
        cast("socket.socket", told),
        lambda _: 0,
        ServiceManager.of({}),
    )


def test_one_who_writes_without_end_does_not_keep_it_from_its_nodes(tmp_path: Path) -> None:
    told = Endless()
    fleet_of(tmp_path, told)._hear()
    assert told.read == fleet_module._WORDS_MAX


def test_a_node_that_waits_for_another_to_start_again_does_not_end_the_fleet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(fleet_module.log, "warning", lambda _, **words: said.append(words))
    watched = fleet_of(tmp_path, Endless())
    watched._start_some()
    assert list(watched._running.values()) == [1]
    (pid,) = watched._running
    del watched._running[pid], watched._starting[pid]
    watched._on_ended(1, -signal.SIGKILL)
    assert watched._given_up == set()
    for _ in range(3):
        watched._start_some()
    assert [words["node"] for words in said] == ["node2"], "said once"
    assert not watched._is_over()
    while (fate := watched._restarts.on_ended(1, 1, now=0)) is Fate.WAITS:
        pass
    assert fate is Fate.GIVEN_UP
    watched._restarts.take_due(now=1 << 60)
    watched._waiting.clear()
    watched._waiting.append(2)
    with pytest.raises(UnreachableError):
        watched._start_some()
    for each in (watched._wake_read, watched._wake_write):
        os.close(each)


def test_a_folder_that_is_half_there_holds_up_no_other_node(tmp_path: Path) -> None:
    folders = Folders()
    folders.half = 2
    watched = fleet_of(tmp_path, Endless(), folders, nodes=3)
    watched._start_some()
    assert watched._given_up == {2}
    assert list(watched._waiting) == [3]
    for each in (watched._wake_read, watched._wake_write):
        os.close(each)


class AllFolders:
    """Every folder is there."""

    def __init__(self) -> None:
        self.newcomers: set[int] = set()

    def exists(self, _: int) -> bool:
        return True

    def has_joined(self, number: int) -> bool:
        return number not in self.newcomers


def test_the_nodes_of_a_process_are_ready_end_and_start_again_as_one(tmp_path: Path) -> None:
    watched = fleet_of(tmp_path, Endless(), AllFolders(), nodes=10, together=4)
    watched._crews = {5: watched._crews[5], 9: watched._crews[9]}
    watched._waiting.clear()
    watched._waiting.extend(watched._crews)
    watched._start_some()
    (pid,) = watched._running  # the last that was started, as all have one id here
    watched._running[pid] = 5
    watched._on_word(pid, b"READY=1")
    assert watched._ready == {5, 6, 7, 8}
    watched._on_ended(5, -signal.SIGKILL)
    assert watched._restarts.take_due(now=1 << 60) == (5,)
    watched._on_ended(9, 2)
    assert watched._given_up == {9, 10}, "a wrong config ends all of its process"
    for each in (watched._wake_read, watched._wake_write):
        os.close(each)


class Zygotes:
    """Forks nobody, under a new id each time."""

    def __init__(self) -> None:
        self.last = 1 << 30

    def fork(self, *_: object) -> int:
        self.last += 1
        return self.last


def test_the_next_nodes_start_when_the_last_are_of_the_cluster(tmp_path: Path) -> None:
    folders = AllFolders()
    folders.newcomers = set(range(5, 13))
    watched = fleet_of(tmp_path, Endless(), folders, nodes=12, together=4)
    watched._zygote = cast("Zygote", Zygotes())

    def started() -> list[int]:
        watched._start_some()
        return sorted(watched._running.values())

    def be_ready(number: int) -> None:
        watched._on_word(next(p for p, n in watched._running.items() if n == number), b"READY=1")

    assert started() == [1, 2, 3, 4]
    for number in (1, 2, 3):
        be_ready(number)
    assert started() == [1, 2, 3, 4], "not beside the last of the committee"
    be_ready(4)
    assert started() == [1, 2, 3, 4, 5], "those that share a process one at a time"
    be_ready(5)
    assert started() == [1, 2, 3, 4, 5], "ready, and of no cluster yet"
    folders.newcomers -= {5, 6, 7}
    assert started() == [1, 2, 3, 4, 5]
    folders.newcomers -= {8}
    assert started() == [1, 2, 3, 4, 5, 9]
    watched._starting = dict.fromkeys(watched._starting, 0.0)
    assert watched._starting
    watched._start_some()
    assert not watched._starting, "whoever never joins holds up no other for ever"
    for each in (watched._wake_read, watched._wake_write):
        os.close(each)
