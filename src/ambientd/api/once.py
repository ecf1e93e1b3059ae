"""Operations under an Idempotency-Key are done once, however often they are asked for.

A key belongs to who asks, and stands for one operation with one request for a day. Its answer is
kept and given again. While it is under way, and for another request, it is refused. What fails
before anything was done leaves the key free.

The entries lie in a file, a line a change. A daemon that ends in between knows the time that its
record said (see `under_key`), and finds in the ledger whether that came.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Protocol

import msgspec
import structlog
import trio
from msgspec.structs import replace

from ambientd.api.answering import Handler, failure_of
from ambientd.api.callers import CALLER
from ambientd.api.operation import Failure, Operation, OperationError
from ambientd.api.operations import OPERATIONS
from ambientd.api.under_key import ATTEMPT, KEYED, Keyed, unknown_outcome
from ambientd.codec.digest import tagged
from ambientd.errors import AmbientError, StoreError
from ambientd.ledger.events import BondAskedBack, BondRaised, Transferred
from ambientd.ledger.peg_events import PaymentVersioned, ReturnAsked
from ambientd.model.base import NodeId
from ambientd.runtime.news import News, Tidings

log = structlog.get_logger("ambientd.once")

KEY_CHARS_MAX = 64
KEPT_MS = 24 * 3_600_000
UNTOLD_S = 30.0
KEPT_MAX = 4096
"""Entries of tasks, and as many of all else; beyond them the oldest that has ended goes.

What moved money goes last: who may do less than that makes nobody's payment be forgotten.
"""
ANSWER_BYTES_MAX = 16 * 1024
"""What gives a longer answer moves no money, and can be done again."""
_LINES_OVER = 4096
_MOVES = (Transferred, BondRaised, BondAskedBack, PaymentVersioned, ReturnAsked)


class Stand(StrEnum):
    """How far an operation is that was asked for under a key."""

    OPEN = "open"
    TAKEN = "taken"  # the ledger has it, nobody was told
    DOUBTFUL = "doubtful"  # the ledger has moved on, unseen by this daemon
    DONE = "done"
    REFUSED = "refused"


_ENDED = frozenset({Stand.DONE, Stand.REFUSED})


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one key."""

    name: str
    mark: str
    """The hash of operation and request."""

    asked_ms: int
    stand: Stand = Stand.OPEN
    said_ms: int = 0
    payment: int = 0
    answer: bytes = b""
    is_task: bool = False


class Lines(Protocol):
    """Where entries lie: `adapters.line_file.LineFile`."""

    def load(self) -> list[bytes]:
        """Give the lines."""
        ...

    def append(self, line: bytes) -> None:
        """Add a line; raise StoreError."""
        ...

    def sync(self) -> None:
        """Force what was added to disk; raise StoreError."""
        ...

    def rewrite(self, lines: list[bytes]) -> None:
        """Put other lines in the place of all; raise StoreError."""
        ...


class Once:
    """Remembers what was asked for under keys."""

    def __init__(
        self, own: NodeId, lines: Lines, now: Callable[[], int], last_move_ms: Callable[[], int]
    ) -> None:
        self._own = own
        self._lines = lines
        self._now = now
        self._last_move_ms = last_move_ms
        self._entries: dict[str, Entry] = {}
        self._tasks: dict[str, Entry] = {}
        self._running: set[str] = set()
        self._heard_ms = 0
        self._count = 0
        self._writing = trio.Lock()
        for line in lines.load():
            self._count += 1
            try:
                entry = msgspec.json.decode(line, type=Entry)
            except msgspec.DecodeError as error:
                log.error("a line about an idempotency key does not read", reason=str(error))
                continue
            self._table_of(entry)[entry.name] = entry
        self._forget()

    def _table_of(self, entry: Entry) -> dict[str, Entry]:
        return self._tasks if entry.is_task else self._entries

    async def run(self, news: News, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:  # noqa: ANN401
        """Follow which moves of this node the ledger takes, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_again)
            while True:
                async with news.listen(self._is_own_move) as told:
                    self._look()
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
                    async for each in told:
                        self._heard(each.event)

    async def _look_again(self) -> None:
        """Wait for no news of what nobody tells: a state that was taken from others as a whole."""
        before_ms = -1
        while True:
            await trio.sleep(UNTOLD_S)
            last_ms = self._last_move_ms()
            if last_ms == before_ms and not self.has_heard(last_ms):
                self._look()
            before_ms = last_ms

    def _is_own_move(self, told: Tidings) -> bool:
        return isinstance(told.event, _MOVES) and told.event.node == self._own

    def _heard(self, event: Any) -> None:  # noqa: ANN401
        self._heard_ms = max(self._heard_ms, event.said_ms)
        for entry in self._unsettled():
            if entry.said_ms == event.said_ms:
                payment = getattr(event, "payment", 0)
                self._note(replace(entry, stand=Stand.TAKEN, payment=payment))

    def _look(self) -> None:
        """See what the ledger says of moves whose end this daemon may not have heard."""
        last_ms = self._last_move_ms()
        self._heard_ms = max(self._heard_ms, last_ms)
        for entry in self._unsettled():
            if entry.said_ms <= last_ms:
                stand = Stand.TAKEN if entry.said_ms == last_ms else Stand.DOUBTFUL
                self._note(replace(entry, stand=stand))

    def _unsettled(self) -> list[Entry]:
        return [e for e in self._entries.values() if e.said_ms and e.stand is Stand.OPEN]

    def has_heard(self, last_ms: int) -> bool:
        """Tell whether it was heard which moves there were up to the last one.

        The ledger is ahead of what it tells until that is on disk.
        """
        return self._heard_ms >= last_ms

    def _note(self, entry: Entry) -> None:
        """Keep what was heard; a full disk ends nothing here, the ledger is looked at again."""
        try:
            self._keep(entry)
        except StoreError as error:
            log.error("what came of an idempotency key is not on disk", reason=str(error))
            self._entries[entry.name] = entry

    def named(self, row: Operation[Any, Any], request: msgspec.Struct, keyed: Keyed) -> Any:  # noqa: ANN401
        """Give a request the name that its key stands for; the log takes that name once."""
        if getattr(request, row.route.names):
            msg = f"an Idempotency-Key and {row.route.names!r} say the same: give one of them"
            raise OperationError("invalid", msg)
        name, marks = _name(keyed), _marks(row, keyed)
        if self._known(self._tasks, name, marks) is None:
            self._keep(Entry(name=name, mark=marks[0], asked_ms=self._now(), is_task=True))
        return replace(request, **{row.route.names: bytes.fromhex(name)})

    async def perform(
        self,
        row: Operation[Any, Any],
        handler: Any,  # noqa: ANN401
        request: msgspec.Struct,
        keyed: Keyed,
    ) -> msgspec.Struct:
        """Do what is asked, unless it was done; give the answer, now or again."""
        name, marks = _name(keyed), _marks(row, keyed)
        entry = self._known(self._entries, name, marks)
        if name in self._running:
            msg = "what this Idempotency-Key was given for is still under way"
            raise OperationError("under_way", msg, "ask again, in the same words, in a second")
        if entry is not None and entry.stand in _ENDED:
            return _again(row, entry)
        if entry is None:
            entry = Entry(name=name, mark=marks[0], asked_ms=self._now())
            self._entries[name] = entry
        self._running.add(name)
        token = ATTEMPT.set(_Attempt(self, entry))
        try:
            answer: msgspec.Struct = await handler(request)
        except AmbientError as error:
            self._failed(name, failure_of(error))
            raise
        else:
            self._ended(name, Stand.DONE, msgspec.msgpack.encode(answer))
            return answer
        finally:
            ATTEMPT.reset(token)
            self._running.discard(name)
            left = self._entries.get(name)
            if left is not None and left.stand is Stand.OPEN and not left.said_ms:
                del self._entries[name]  # nothing has left this node

    def _known(self, table: dict[str, Entry], name: str, marks: tuple[str, str]) -> Entry | None:
        self._forget()
        entry = table.get(name)
        if entry is not None and entry.mark not in marks:
            msg = "this Idempotency-Key came with another request before"
            raise OperationError("reused_key", msg, "take a new key for a new request")
        return entry

    def _failed(self, name: str, failure: Failure) -> None:
        """Keep a refusal of what had left this node; all else may be tried again."""
        entry = self._entries[name]
        if failure.code == "rejected" and entry.said_ms and entry.stand is Stand.OPEN:
            self._ended(name, Stand.REFUSED, msgspec.msgpack.encode(failure))

    def _ended(self, name: str, stand: Stand, answer: bytes) -> None:
        entry = self._entries[name]
        if len(answer) <= ANSWER_BYTES_MAX or entry.said_ms:
            self._keep(replace(entry, stand=stand, answer=answer))

    def entry(self, name: str) -> Entry:
        """Give an entry as it is now."""
        return self._entries[name]

    async def fix(self, name: str, said_ms: int) -> None:
        """Keep a time so that it outlives a power cut; nothing leaves this node before."""
        async with self._writing:
            entry = self._entries[name]
            if entry.said_ms != said_ms:
                self._keep(replace(entry, said_ms=said_ms))
            await trio.to_thread.run_sync(self._lines.sync)

    def _keep(self, entry: Entry) -> None:
        self._lines.append(msgspec.json.encode(entry))
        self._table_of(entry)[entry.name] = entry
        self._count += 1
        if self._count > len(self._entries) + len(self._tasks) + _LINES_OVER:
            every = [*self._entries.values(), *self._tasks.values()]
            self._lines.rewrite([msgspec.json.encode(each) for each in every])
            self._count = len(every)

    def _forget(self) -> None:
        """Let go what is older than a day, and the oldest of too many that have ended."""
        since_ms = self._now() - KEPT_MS
        for table in (self._entries, self._tasks):
            while (oldest := next(iter(table.values()), None)) and oldest.asked_ms < since_ms:
                if oldest.name in self._running:
                    break
                del table[oldest.name]
            while len(table) > KEPT_MAX:
                ended = [e for e in table.values() if e.is_task or e.stand in _ENDED]
                if not ended:
                    break
                del table[next((e for e in ended if not e.said_ms), ended[0]).name]


class _Attempt:
    """One attempt, as its handler sees it."""

    def __init__(self, once: Once, entry: Entry) -> None:
        self._once = once
        self._key = entry.name
        self.name = bytes.fromhex(entry.name)
        self.said_ms = entry.said_ms

    async def fix(self, proposed_ms: int) -> int:
        """Keep a time durably and give it; give the one that is kept already.

        That one as well is brought to disk: the attempt that took it may have come no further.
        """
        said_ms = self.said_ms or proposed_ms
        await self._once.fix(self._key, said_ms)
        return said_ms

    def came_of(self, last_ms: int) -> int | None:
        """Give what the move of `said_ms` came to, None while it may still be proposed."""
        entry = self._once.entry(self._key)
        if entry.stand is Stand.TAKEN or entry.said_ms == last_ms:
            return entry.payment
        if entry.said_ms > last_ms:
            return None
        if entry.stand is Stand.DOUBTFUL:
            raise unknown_outcome()
        if not self._once.has_heard(last_ms):
            msg = "the ledger has moved on, and what it took is being written"
            raise OperationError("under_way", msg, "ask again, in the same words, in a second")
        msg = "nothing was moved: the account was moved otherwise before this could come"
        raise OperationError("rejected", msg, "ask again under a new key")


def _again(row: Operation[Any, Any], entry: Entry) -> msgspec.Struct:
    if entry.stand is Stand.REFUSED:
        failure = msgspec.msgpack.decode(entry.answer, type=Failure)
        raise OperationError(failure.code, failure.message, failure.hint)
    answer: msgspec.Struct = msgspec.msgpack.decode(entry.answer, type=row.response)
    return answer


def _name(keyed: Keyed) -> str:
    """Give a key's name, which no other caller's key has."""
    is_word = all("!" <= each <= "~" for each in keyed.key)
    if not 0 < len(keyed.key) <= KEY_CHARS_MAX or not is_word:
        msg = f"an Idempotency-Key has 1 to {KEY_CHARS_MAX} printable ASCII characters, no space"
        raise OperationError("malformed", msg)
    caller, key = CALLER.get().encode(), keyed.key.encode()
    return tagged("ambient/idempotency-key/2", caller, key).hex()


def _marks(row: Operation[Any, Any], keyed: Keyed) -> tuple[str, str]:
    """Give the mark of a request, and the one that it had in a file of version 0.1."""
    name = row.name.encode()
    said = tagged("ambient/idempotency-mark/2", name, keyed.request)
    return said.hex(), tagged("ambient/idempotency-mark/1", name, keyed.as_bytes).hex()


def done_once(handlers: Mapping[str, Handler], once: Once) -> dict[str, Handler]:
    """Give the handlers; those that change something heed a key."""
    return {
        name: _once(OPERATIONS[name], handler, once) if OPERATIONS[name].route.changes else handler
        for name, handler in handlers.items()
    }


def _once(row: Operation[Any, Any], handler: Any, once: Once) -> Handler:  # noqa: ANN401
    async def asked(request: msgspec.Struct) -> msgspec.Struct:
        keyed = KEYED.get()
        if keyed is not None and not row.route.names:
            return await once.perform(row, handler, request, keyed)
        if keyed is not None:
            request = once.named(row, request, keyed)
        answer: msgspec.Struct = await handler(request)
        return answer

    return asked
