"""What answers is loaded once somebody wants it: a caller, or a certificate that is to be kept."""

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing

from ambientd.adapters.certificate_files import CertificateFiles
from ambientd.daemon import front_door
from ambientd.daemon.front_door import Front, answer_owner
from ambientd.ledger.entries import EvidenceEntry
from ambientd.ledger.events import NodeConvicted
from ambientd.model.base import NodeId
from ambientd.node.effect import Told
from ambientd.runtime.news import News

CULPRIT = NodeId(b"c" * 32)
CONVICTED = Told(NodeConvicted(CULPRIT, "lie"), 1, 0)


class Ledger:
    """A ledger in which nobody was convicted, or one node."""

    def __init__(self) -> None:
        self.entries: dict[bytes, EvidenceEntry] = {}

    def items(self) -> dict[bytes, EvidenceEntry]:
        return self.entries

    def conviction(self, node: NodeId) -> EvidenceEntry | None:
        return self.entries.get(node)


class Desk:
    """What answers, and how often it was loaded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers = trio.Event()
        monkeypatch.setattr(front_door, "_front_desk", lambda: self)

    async def answer(self, *_: object) -> None:
        self.answers.set()
        await trio.sleep_forever()


def front_of(folder: Path, ledger: Ledger) -> Front:
    config = SimpleNamespace(
        is_slim=True, tells_unasked=False, api=SimpleNamespace(socket=str(folder / "socket"))
    )
    places = SimpleNamespace(data_dir=folder, certificates=folder / "certificates")
    parts = SimpleNamespace(news=News(), node=SimpleNamespace(ledger=ledger))
    made: Any = SimpleNamespace(config=config, places=places)
    return Front(made, cast("Any", parts), cast("Any", None), cast("Any", None), (), 0)


def evidence() -> EvidenceEntry:
    return EvidenceEntry(culprit=CULPRIT, kind="lie", task=None, receipt=None, verdicts=())


@pytest.mark.parametrize("why", ["a caller", "a conviction", "one from before"])
async def test_a_slim_node_loads_what_answers_once_it_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    desk, ledger = Desk(monkeypatch), Ledger()
    front = front_of(tmp_path, ledger)
    if why == "one from before":
        ledger.entries[CULPRIT] = evidence()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(answer_owner, front)
            await trio.testing.wait_all_tasks_blocked()
            assert why == "one from before" or not desk.answers.is_set()
            with socket.socket(socket.AF_UNIX) as caller:
                if why == "a caller":
                    caller.connect(str(front.socket))
                elif why == "a conviction":
                    front.parts.news.tell(CONVICTED)
                await desk.answers.wait()
            nursery.cancel_scope.cancel()


async def test_one_whose_certificate_is_kept_wakes_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, ledger = Desk(monkeypatch), Ledger()
    ledger.entries[CULPRIT] = evidence()
    front = front_of(tmp_path, ledger)
    CertificateFiles(tmp_path / "certificates").keep(CULPRIT, b"a certificate")
    async with trio.open_nursery() as nursery:
        await nursery.start(answer_owner, front)
        await trio.sleep(0.2)
        assert not desk.answers.is_set()
        nursery.cancel_scope.cancel()
