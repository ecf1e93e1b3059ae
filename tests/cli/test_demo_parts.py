"""The parts of a demonstration that need no mesh; the whole is under tests/mesh."""

import os
import signal
import time
from pathlib import Path

import msgspec
import pytest

from ambientd.api import anchor_replies, replies
from ambientd.api.cluster import ClusterPlan, create_cluster
from ambientd.api.local_daemons import DaemonsError, LocalDaemons
from ambientd.cli.demo import accuracy_of, replicas_of
from ambientd.cli.demo_stage import EventFeed, signals_as_interrupts, stage_folder, undisturbed
from ambientd.cli.demo_story import Story
from ambientd.config.places import Places, socket_path_for
from ambientd.errors import ConfigError
from tests.fakes.desk_node import LIAR, NODE, DeskNode, served
from tests.own_ports import own_port


@pytest.mark.parametrize(
    ("output", "labels", "accuracy"),
    [
        (bytes([1, 2, 3, 4]), bytes([1, 2, 3, 5]), 0.75),
        (b"1234", b"1\n2\n3\n4\n", 1.0),
        (bytes([9, 0]), b"9 1", 0.5),
    ],
)
def test_accuracy_is_the_share_of_digits_that_agree(
    output: bytes, labels: bytes, accuracy: float
) -> None:
    assert accuracy_of(output, labels) == accuracy


@pytest.mark.parametrize(("output", "labels"), [(b"", b"1"), (b"12", b"1"), (b"", b"")])
def test_what_cannot_be_compared_is_no_accuracy(output: bytes, labels: bytes) -> None:
    with pytest.raises(DaemonsError):
        accuracy_of(output, labels)


def test_a_liar_that_chance_spares_meets_a_task_for_all() -> None:
    assert [replicas_of(number, 4) for number in (1, 3, 4, 12)] == [2, 2, 3, 3]
    assert [replicas_of(12, nodes) for nodes in (1, 2, 3, 16)] == [1, 2, 2, 11]


def test_no_file_stays_behind_unless_asked(tmp_path: Path) -> None:
    with stage_folder(None, keep=False) as root:
        (root / "x").write_text("x")
    assert not root.exists()
    with stage_folder(str(tmp_path / "mine"), keep=False) as root:
        root.mkdir()
    assert not root.exists()
    with stage_folder(str(tmp_path / "mine"), keep=True) as root:
        root.mkdir()
        (root / "x").touch()
    assert (root / "x").exists()
    with pytest.raises(ConfigError, match="not empty"), stage_folder(str(root), keep=False):
        pass
    assert (root / "x").exists()
    (root / "x").unlink()
    with stage_folder(str(root), keep=False):
        (root / "y").touch()
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_being_told_to_end_cleans_up_as_an_interrupt_does(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), signals_as_interrupts():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_a_clean_up_is_not_interrupted() -> None:
    with undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)


def event(kind: str, **fields: str | int | float | None) -> replies.Event:
    return replies.Event(time_ms=0, kind=kind, text="as the daemon says", fields=dict(fields))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (event("task_admitted", escrow_msat=2500), "2.5 sat in escrow"),
        (event("task_assigned", slot=1, node=NODE), f"slot 1 assigned to node1 ({NODE[:12]})"),
        (event("task_committed", slot=0, node=LIAR), f"slot 0: {LIAR[:12]} has sealed"),
        (event("task_revealed", slot=0, node=NODE), "has opened its answer"),
        (event("task_disputed"), "the answers differ"),
        (event("referee_spoke", node=NODE), "referee node1"),
        (
            event(
                "liar_named",
                node=NODE,
                evidence="abcd",
                reputation_before=0.25,
                reputation_after=0,
            ),
            f"LIAR NAMED: node1 ({NODE[:12]}), reputation 0.250 -> 0.000; evidence abcd",
        ),
        (event("liar_named"), "LIAR NAMED: a node; evidence in the receipt"),
        (event("task_paid", node=NODE, amount_msat=1000), "is paid 1 sat"),
        (event("task_paid", node=NODE), "is paid the fee"),
        (event("task_refunded", amount_msat=1000), "1 sat of the escrow go back"),
        (event("task_energy", node=NODE, millijoules=1500, source="rapl"), "1.500 J (rapl)"),
        (
            event("task_energy", node=NODE, millijoules=1500, source="model:a", modelled=True),
            "1.500 J modelled, not measured (model:a)",
        ),
        (
            event("task_energy", node=NODE, millijoules=None),
            f"energy of node1 ({NODE[:12]}): unknown",
        ),
        (event("task_released", slot=2, node=NODE, reason="was late"), "it was late"),
        (event("batch_closed", size=3, root="ab" * 32), "size 3 closed under root abababababab"),
        (event("anchor_sent", txid="t", op_return="r"), "transaction t sent, OP_RETURN r"),
        (event("anchor_confirmed", height=9, confirmations=2), "block 9 (regtest), 2 of 6"),
        (event("something_new"), "as the daemon says"),
    ],
)
def test_every_step_has_its_words(
    capsys: pytest.CaptureFixture[str], told: replies.Event, words: str
) -> None:
    story = Story(as_json=False)
    story.names = {NODE: "node1"}
    story.happened(told)
    assert words in capsys.readouterr().out
    story = Story(as_json=True)
    story.happened(told)
    line = msgspec.json.decode(capsys.readouterr().out)
    assert line["event"] == told.kind
    assert line["seconds"] >= 0


def test_an_anchor_is_told_from_the_mempool_to_the_block(
    capsys: pytest.CaptureFixture[str],
) -> None:
    anchor = anchor_replies.AnchorInfo(
        size=1, root="ab" * 32, state="broadcast", txid="t", op_return="414d4231" + "ab" * 32
    )
    story = Story(as_json=False)
    story.anchor_sent(anchor)
    story.anchor_confirmed(msgspec.structs.replace(anchor, height=102, confirmations=3))
    out = capsys.readouterr().out
    assert f"Bitcoin transaction t sent, OP_RETURN 414d4231{'ab' * 32}\n" in out
    assert "in Bitcoin block 102 (regtest), 3 of 6 confirmations" in out


def test_the_last_line_of_a_story_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    Story(as_json=True).done({"receipt": "r", "accuracy": 0.9}, ["words"])
    line = msgspec.json.decode(capsys.readouterr().out)
    assert line == {"event": "done", "receipt": "r", "accuracy": 0.9}
    Story(as_json=False).done({}, ["words"])
    assert capsys.readouterr().out == "\nwords\n"


@pytest.mark.net
def test_events_come_to_whoever_waits(tmp_path: Path) -> None:
    from ambientd.api.client import Client

    path = tmp_path / "s"
    with served(path, DeskNode().handlers()):
        feed = EventFeed(Client(path))
        assert [told.kind for told in feed.wait(60.0)] == ["task_assigned"]
        feed.close()
        until_s = time.monotonic() + 60
        while not feed.is_over():
            assert time.monotonic() < until_s, "it still waits for what comes"
        assert list(feed.wait(0)) == []


@pytest.mark.net
def test_a_mesh_is_not_ready_while_a_node_takes_no_work(tmp_path: Path) -> None:
    founded = create_cluster(tmp_path, 1, ClusterPlan(base_port=own_port(), bitcoin="off"))
    mesh = LocalDaemons(founded)
    with (
        served(socket_path_for(founded.nodes[0].data_dir), DeskNode().handlers()),
        pytest.raises(DaemonsError, match=r"node1 is not ready .* evil.* takes no work"),
    ):
        mesh.wait_ready(0)


@pytest.mark.mesh
@pytest.mark.slow
def test_a_daemon_that_ends_early_is_named_with_its_last_words(tmp_path: Path) -> None:
    founded = create_cluster(tmp_path, 1, ClusterPlan(base_port=own_port(), bitcoin="off"))
    Places(founded.nodes[0].data_dir).config.write_text("[nodes]\n")
    mesh = LocalDaemons(founded)
    mesh.start()
    try:
        with pytest.raises(DaemonsError, match=r"node1 ended with status 2: .*did you mean 'node'"):
            mesh.wait_ready(60.0)
    finally:
        assert mesh.stop()
