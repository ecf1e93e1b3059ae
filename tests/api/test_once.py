"""Idempotency keys: done once, told again, bound to who asks for what, also after a restart."""

import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import trio
import trio.testing

from ambientd.adapters.line_file import LineFile
from ambientd.api import once as module
from ambientd.api.callers import CALLER
from ambientd.api.once import KEPT_MS, Once, done_once
from ambientd.api.operations import OPERATIONS, OperationError
from ambientd.api.registry_values import Unpinned
from ambientd.api.replies import Account, AccountMoved
from ambientd.api.requests import TransferCredits
from ambientd.api.routes import Method
from ambientd.api.under_key import KEYED, Keyed, came_before, fixed_ms, request_hash
from ambientd.codec.digest import tagged
from ambientd.errors import StoreError
from ambientd.ledger.events import Transferred
from ambientd.model.base import NodeId
from ambientd.node.effect import Told
from ambientd.runtime.news import News

OWN, OTHER = NodeId(bytes(32)), NodeId(b"\1" * 32)
REQUEST = TransferCredits(to="b", amount_msat=5)
Asked = Callable[..., Awaitable[Any]]


class Bank:
    """A ledger that takes transfers of one node; what is said at one time counts once."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.records: list[int] = []
        """What was proposed, as the times it said."""
        self.fails = ""
        self.is_cut_off = False
        """Whether it ends before the ledger's answer is known, as when a program is killed."""
        self.loses_record = False
        self.waits: trio.Event | None = None

    def last_ms(self) -> int:
        return self.taken[-1] if self.taken else 0

    def move(self) -> None:
        """Move something that no key was given for."""
        self.taken.append(self.last_ms() + 1_000)

    async def transfer(self, request: TransferCredits) -> AccountMoved:
        if self.fails:
            raise OperationError(self.fails, "no")
        said_ms = await fixed_ms(self.last_ms() + 7)
        if self.waits is not None:
            await self.waits.wait()
        if came_before(self.last_ms()) is None:
            self.records.append(said_ms)
            if self.is_cut_off and self.loses_record:
                raise KeyboardInterrupt
            if said_ms > self.last_ms():
                self.taken.append(said_ms)
            if self.is_cut_off:
                raise KeyboardInterrupt
        return AccountMoved(
            kind="transfer", amount_msat=request.amount_msat, to="b", account=an_account()
        )


def an_account() -> Account:
    return Account(
        node="a", name="n", balance_msat=1, bond_msat=0, waiting_msat=0, due_ms=None, held_by="",
        escrow_msat=0, tombstoned=False, time_ms=0, unvested_msat=0, vests_ms=None,
    )  # fmt: skip


class Failing(LineFile):
    """Lines on a disk that takes them, and forces none of them down while it `is_faulty`."""

    is_faulty = False

    def sync(self) -> None:
        if self.is_faulty:
            raise StoreError("a fault")
        super().sync()


class Full(LineFile):
    """Lines on a disk that is full."""

    def append(self, line: bytes) -> None:
        raise StoreError(f"no space for {len(line)} bytes")


class Node:
    """A daemon's memory of keys over a bank; another over the same file is its next life."""

    def __init__(self, folder: Path, bank: Bank) -> None:
        self.now_ms = 1
        self.bank = bank
        lines = LineFile(folder / "keys")
        self.once = Once(OWN, lines, lambda: self.now_ms, bank.last_ms)
        self.once._look()
        self.handlers = done_once({"account.transfer": bank.transfer}, self.once)

    async def ask(
        self, key: str = "k", request: TransferCredits = REQUEST, caller: str = "token x"
    ) -> Any:
        CALLER.set(caller)
        KEYED.set(Keyed(key, msgspec.msgpack.encode(request)) if key else None)
        return await cast("Awaitable[Any]", self.handlers["account.transfer"](request))


async def cut_off(folder: Path, bank: Bank, *, loses_record: bool = False) -> Node:
    """Give a node that ended before it knew what the ledger makes of what was asked of it."""
    bank.is_cut_off, bank.loses_record = True, loses_record
    node = Node(folder, bank)
    with pytest.raises(KeyboardInterrupt):
        await node.ask()
    bank.is_cut_off = False
    return node


async def test_the_same_key_pays_once_and_is_answered_alike_in_this_life_and_the_next(
    tmp_path: Path,
) -> None:
    bank = Bank()
    node = Node(tmp_path, bank)
    first = await node.ask()
    assert await node.ask() == first
    assert await Node(tmp_path, bank).ask() == first
    assert len(bank.taken) == 1
    await node.ask("")
    await node.ask("")
    assert len(bank.taken) == 3, "without a key everything counts"


async def test_a_key_is_of_one_caller_and_of_one_request(tmp_path: Path) -> None:
    bank = Bank()
    node = Node(tmp_path, bank)
    await node.ask()
    for life in (node, Node(tmp_path, bank)):
        with pytest.raises(OperationError, match="another request before") as refused:
            await life.ask(request=TransferCredits(to="b", amount_msat=6))
        assert refused.value.code == "reused_key"
    await node.ask(caller="token y")
    assert len(bank.taken) == 2


async def test_a_key_of_an_older_versions_file_still_stands_for_the_bytes_it_came_with(
    tmp_path: Path,
) -> None:
    bank = Bank()
    row = OPERATIONS["account.transfer"]
    request = b"hash of the bytes"
    (tmp_path / "keys").write_bytes(
        msgspec.json.encode(
            {
                "name": tagged("ambient/idempotency-key/2", b"token x", b"k").hex(),
                "mark": tagged("ambient/idempotency-mark/1", row.name.encode(), request).hex(),
                "asked_ms": 1,
                "stand": "done",
                "answer": base64.b64encode(
                    msgspec.msgpack.encode(await bank.transfer(REQUEST))
                ).decode(),
            }
        )
        + b"\n"
    )
    paid = len(bank.taken)
    node = Node(tmp_path, bank)
    CALLER.set("token x")
    for as_bytes in (request, b"others"):
        KEYED.set(Keyed("k", await request_hash(REQUEST), as_bytes))
        asking = cast("Awaitable[Any]", node.handlers["account.transfer"](REQUEST))
        if as_bytes == request:
            assert (await asking).amount_msat == 5
        else:
            with pytest.raises(OperationError, match="another request before"):
                await asking
    assert len(bank.taken) == paid


async def test_what_a_request_says_is_hashed_and_not_what_it_leaves_to_its_default() -> None:
    class Before(msgspec.Struct):
        to: str

    class After(msgspec.Struct):
        note: str = ""
        words: dict[str, int] = msgspec.field(default_factory=dict)
        to: str = "nobody"

    assert await request_hash(Before("b")) == await request_hash(After(to="b"))
    assert await request_hash(After(to="b")) != await request_hash(After(to="b", note="x"))
    ways = [After(words={"x": 1, "y": 2}), After(words={"y": 2, "x": 1})]
    assert len({await request_hash(each) for each in ways}) == 1
    large = [After(note="x" * 100_000), After(note="x" * 100_000), After(note="x" * 100_001)]
    assert len({await request_hash(each) for each in large}) == 2


@pytest.mark.parametrize("key", ["", "x" * 65, "\n", "ä", "a b", " "])
async def test_what_is_no_key_is_refused(tmp_path: Path, key: str) -> None:
    node = Node(tmp_path, Bank())
    KEYED.set(Keyed(key, b""))
    with pytest.raises(OperationError, match="1 to 64 printable") as refused:
        await cast("Awaitable[Any]", node.handlers["account.transfer"](REQUEST))
    assert refused.value.code == "malformed"


@pytest.mark.parametrize("loses_record", [False, True])
async def test_a_daemon_that_is_killed_before_it_answers_pays_once(
    tmp_path: Path, loses_record: bool
) -> None:
    bank = Bank()
    await cut_off(tmp_path, bank, loses_record=loses_record)
    assert (await Node(tmp_path, bank).ask()).amount_msat == 5
    assert len(bank.taken) == 1
    assert len(set(bank.records)) == 1, "the very same record"


async def test_where_nobody_saw_whether_a_move_came_before_another_it_is_not_paid_again(
    tmp_path: Path,
) -> None:
    bank = Bank()
    await cut_off(tmp_path, bank)
    bank.move()
    with pytest.raises(OperationError, match="cannot tell whether") as refused:
        await Node(tmp_path, bank).ask()
    assert refused.value.code == "outcome_unknown"
    assert len(bank.taken) == 2


@pytest.mark.parametrize("comes", [False, True])
async def test_who_saw_the_ledger_move_on_knows_whether_the_earlier_move_came(
    tmp_path: Path, comes: bool
) -> None:
    bank, news = Bank(), News()
    await cut_off(tmp_path, bank, loses_record=True)
    node = Node(tmp_path, bank)
    async with trio.open_nursery() as nursery:
        await nursery.start(node.once.run, news)
        if comes:  # the record was on its way, and others have proposed it
            bank.taken.append(bank.records[0])
            for said_ms in (bank.records[0], 5):
                news.tell(Told(Transferred(OWN, OTHER, 5, said_ms), 1, 0))
                news.tell(Told(Transferred(OTHER, OWN, 5, said_ms), 1, 0))
        bank.move()
        news.tell(Told(Transferred(OWN, OTHER, 1, bank.last_ms()), 2, 0))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    if comes:
        assert (await node.ask()).amount_msat == 5
    else:
        for life in (lambda: node, lambda: node, lambda: Node(tmp_path, bank)):
            with pytest.raises(OperationError, match="nothing was moved") as refused:
                await life().ask()
            assert refused.value.code == "rejected"
    assert len(bank.taken) == (2 if comes else 1)


async def test_who_has_yet_to_hear_what_the_ledger_took_is_not_told_that_nothing_was_moved(
    tmp_path: Path,
) -> None:
    bank = Bank()
    node = await cut_off(tmp_path, bank, loses_record=True)
    bank.taken.append(bank.records[0])
    bank.move()  # the ledger has both, and is telling neither until they are on disk
    with pytest.raises(OperationError, match="is being written") as refused:
        await node.ask()
    assert refused.value.code == "under_way"
    for said_ms in bank.taken:
        node.once._heard(Transferred(OWN, OTHER, 5, said_ms))
    assert (await node.ask()).amount_msat == 5
    assert len(bank.taken) == 2


async def test_of_a_state_that_was_taken_whole_nobody_waits_for_news(
    tmp_path: Path, autojump_clock: object
) -> None:
    bank = Bank()
    node = await cut_off(tmp_path, bank, loses_record=True)
    async with trio.open_nursery() as nursery:
        await nursery.start(node.once.run, News())
        bank.move()
        await trio.sleep(3 * module.UNTOLD_S)
        nursery.cancel_scope.cancel()
    with pytest.raises(OperationError, match="cannot tell whether") as refused:
        await node.ask()
    assert refused.value.code == "outcome_unknown"


async def test_a_time_that_may_not_be_on_disk_is_brought_there_before_a_record_says_it(
    tmp_path: Path,
) -> None:
    bank = Bank()
    node = Node(tmp_path, bank)
    lines = Failing(tmp_path / "keys")
    node.once._lines = lines
    lines.load()
    lines.is_faulty = True
    for _ in range(2):
        with pytest.raises(StoreError):
            await node.ask()
    assert bank.records == []
    lines.is_faulty = False
    await node.ask()
    assert bank.records == [7]


async def test_a_disk_that_is_full_keeps_nobody_from_hearing_what_the_ledger_took(
    tmp_path: Path,
) -> None:
    bank, news = Bank(), News()
    node = await cut_off(tmp_path, bank, loses_record=True)
    node.once._lines = Full(tmp_path / "keys")
    async with trio.open_nursery() as nursery:
        await nursery.start(node.once.run, news)
        bank.taken.append(bank.records[0])
        news.tell(Told(Transferred(OWN, OTHER, 5, bank.records[0]), 1, 0))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [each.stand for each in node.once._entries.values()] == ["taken"]


async def test_what_is_under_way_is_not_begun_again(tmp_path: Path) -> None:
    bank = Bank()
    bank.waits = trio.Event()
    node = Node(tmp_path, bank)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.ask)
        while not bank.waits.statistics().tasks_waiting:
            await trio.sleep(0.005)
        with pytest.raises(OperationError, match="under way") as refused:
            await node.ask()
        assert refused.value.code == "under_way"
        bank.waits.set()
    assert len(bank.taken) == 1


@pytest.mark.parametrize("code", ["rejected", "unavailable", "invalid", "internal"])
async def test_what_failed_before_anything_was_done_leaves_its_key_free(
    tmp_path: Path, code: str
) -> None:
    bank = Bank()
    bank.fails = code
    node = Node(tmp_path, bank)
    with pytest.raises(OperationError, match="no"):
        await node.ask()
    bank.fails = ""
    other = TransferCredits(to="c", amount_msat=1)
    assert (await node.ask(request=other)).amount_msat == 1


async def test_a_key_is_kept_for_a_day(tmp_path: Path) -> None:
    bank = Bank()
    node = Node(tmp_path, bank)
    await node.ask()
    node.now_ms += KEPT_MS
    await node.ask()
    assert len(bank.taken) == 1
    node.now_ms += 1
    await node.ask()
    assert len(bank.taken) == 2


async def test_keys_have_a_most_and_their_file_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 5)
    monkeypatch.setattr(module, "_LINES_OVER", 20)
    bank = Bank()
    node = Node(tmp_path, bank)
    for number in range(50):
        await node.ask(f"k{number}")
    assert len(bank.taken) == 50
    assert len((tmp_path / "keys").read_bytes().splitlines()) <= 27
    again = Node(tmp_path, bank)
    await again.ask("k49")
    assert len(bank.taken) == 50
    await again.ask("k1")
    assert len(bank.taken) == 51, "the oldest made room"


async def test_who_may_do_less_makes_nobodys_payment_be_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 5)
    bank = Bank()
    node = Node(tmp_path, bank)
    await node.ask("paid")

    async def nothing(_: Any) -> Unpinned:
        return Unpinned(publisher="p", name="m", version="1")

    handler = done_once({"module.unpin": nothing}, node.once)["module.unpin"]
    for number in range(20):
        CALLER.set("token y")
        KEYED.set(Keyed(f"k{number}", b""))
        await cast("Awaitable[Any]", handler(REQUEST))
    await node.ask("paid")
    assert len(bank.taken) == 1
    assert len(node.once._entries) <= 6


async def test_a_torn_line_and_one_that_does_not_read_cost_nothing_else(tmp_path: Path) -> None:
    bank = Bank()
    await Node(tmp_path, bank).ask()
    with (tmp_path / "keys").open("ab") as file:
        file.write(b'{"name": 5}\n{"name": "torn')
    await Node(tmp_path, bank).ask()
    assert len(bank.taken) == 1


def test_every_operation_that_changes_something_takes_a_key_and_no_other_does() -> None:
    async def nothing(_: Any) -> None:
        pass

    plain: dict[str, Any] = dict.fromkeys(OPERATIONS, nothing)
    once = Once(OWN, cast("Any", LineFile(Path("/dev/null"))), lambda: 0, lambda: 0)
    heeding = {name for name, handler in done_once(plain, once).items() if handler is not nothing}
    assert heeding == {name for name, row in OPERATIONS.items() if row.route.changes}
    assert {"account.transfer", "peg.withdraw", "peg.return", "cluster.invite", "backup.create",
            "fl.start", "module.publish", "member.ask", "owner.set"} <= heeding  # fmt: skip
    looking = {name for name, row in OPERATIONS.items() if row.route.method is Method.POST}
    assert looking - heeding == {
        *("task.quote", "receipt.verify", "headers.verify", "split.verify", "blame.verify"),
        *("proof.verify", "peg.quote", "peg.return.quote", "task.logs", "task.material"),
    }
