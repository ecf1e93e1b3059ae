"""Nodes that share a process are ready when all are, and each of them is told to stop."""

import os
import signal
import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from ambientd.adapters.service_manager import READY, STOPPING, ServiceManager
from ambientd.daemon import together
from ambientd.daemon.together import Company, run_together


async def test_nobody_is_said_to_be_ready_before_all_are_and_all_are_told_to_stop(
    tmp_path: Path,
) -> None:
    ended: list[signal.Signals] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.setblocking(False)
        company = Company(3)

        async def one() -> None:
            ended.append(await company.stand_by())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(company.watch, ServiceManager(str(tmp_path / "notify")))
            nursery.start_soon(one)
            nursery.start_soon(one)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(BlockingIOError):
                heard.recv(64)
            nursery.start_soon(one)
            await trio.testing.wait_all_tasks_blocked()
            assert heard.recv(64) == READY.encode()
            os.kill(os.getpid(), signal.SIGTERM)
        assert heard.recv(64) == STOPPING.encode()
    assert ended == [signal.SIGTERM] * 3


async def test_one_that_fails_takes_the_others_of_its_process_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off: list[str] = []

    async def node(folder: Path, _: str, stand_by: together.StandBy, nodes: int) -> None:
        assert nodes == 3
        if folder.name == "node6":
            raise OSError("the disk is gone")
        try:
            await stand_by()
        finally:
            cut_off.append(folder.name)

    monkeypatch.setattr(together, "run_daemon", node)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with pytest.RaisesGroup(OSError):
        await run_together([tmp_path / f"node{number}" for number in (5, 6, 7)], "")
    assert set(cut_off) <= {"node5", "node7"}


async def test_they_can_be_told_to_stop_before_all_are_ready(tmp_path: Path) -> None:
    company = Company(2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(company.watch, ServiceManager())
        nursery.start_soon(company.stand_by)
        await trio.testing.wait_all_tasks_blocked()
        os.kill(os.getpid(), signal.SIGTERM)  # would end the process, and this test with it
        assert await company.stand_by() is signal.SIGTERM
    assert company.is_told


async def test_few_join_at_a_time_and_one_that_never_does_keeps_no_other_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    began: dict[str, float] = {}
    folders = [tmp_path / f"node{number}" for number in range(12)]
    for folder in folders:
        folder.mkdir()
        (folder / "invitation.token").touch()

    async def node(folder: Path, _: str, stand_by: together.StandBy, _nodes: int) -> None:
        began[folder.name] = trio.current_time()
        await trio.sleep(0.95)
        if folder.name != "node0":
            (folder / "invitation.token").unlink()
        if len(began) == len(folders):
            everybody.cancel()
        await stand_by()

    monkeypatch.setattr(together, "run_daemon", node)
    monkeypatch.setattr(together, "JOINING_MAX", 2)
    start = trio.current_time()
    with trio.CancelScope() as everybody:
        await run_together(folders, "")
    assert [round(each - start) for each in began.values()] == [0, *range(11)]
