"""Withdrawals under an Idempotency-Key are paid once, also by a daemon that ended in between."""

from collections.abc import Awaitable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from ambientd.adapters.line_file import LineFile
from ambientd.api.once import Once, done_once
from ambientd.api.operations import OperationError
from ambientd.api.peg_values import RaiseFee, Withdraw
from ambientd.api.pegging import Pegging
from ambientd.api.under_key import KEYED, Keyed
from ambientd.model.base import NodeId
from tests.api.test_pegging import ELSEWHERE, Chain, no_room, office, opened
from tests.ledger.peg import PegCluster

OUT = Withdraw(address=ELSEWHERE, amount_sat=150_000, fee_sat=700)


class Life:
    """A daemon between two ends: `is_cut_off` ends it when the log has what was asked for."""

    def __init__(self, folder: Path, cluster: PegCluster, desk: Pegging) -> None:
        own = NodeId(cluster.signer(1).public_key)
        self.desk = desk
        self.is_cut_off = False
        self.once = Once(
            own, LineFile(folder / "keys"), lambda: 1, lambda: cluster.state.moves(own).said_ms
        )
        self.once._look()

    async def ask(self, name: str, handler: Any, request: msgspec.Struct) -> Any:
        async def ends(asked: Any) -> Any:
            answer = await handler(asked)
            if self.is_cut_off:
                raise KeyboardInterrupt
            return answer

        KEYED.set(Keyed("k", msgspec.msgpack.encode(request)))
        doing = done_once({name: ends}, self.once)[name](request)
        return await cast("Awaitable[Any]", doing)

    async def ask_and_end(self, name: str, handler: Any, request: msgspec.Struct) -> None:
        self.is_cut_off = True
        with pytest.raises(KeyboardInterrupt):
            await self.ask(name, handler, request)


async def test_a_withdrawal_is_one_payment_however_often_it_is_asked_for(tmp_path: Path) -> None:
    cluster = opened()
    cluster.fund(1, 400_000)
    desk = office(cluster, chain=Chain())
    await Life(tmp_path, cluster, desk).ask_and_end("peg.withdraw", desk.withdraw, OUT)
    second = Life(tmp_path, cluster, desk)
    made = await second.ask("peg.withdraw", desk.withdraw, OUT)
    assert (made.payment, made.amount_sat) == (1, 150_000)
    assert await second.ask("peg.withdraw", desk.withdraw, OUT) == made
    assert await Life(tmp_path, cluster, desk).ask("peg.withdraw", desk.withdraw, OUT) == made
    assert cluster.state.peg.payments == 1


async def test_a_raise_is_one_version_however_often_it_is_asked_for(tmp_path: Path) -> None:
    cluster = opened()
    cluster.fund(1, 200_000)
    desk = office(cluster, chain=Chain())
    await desk.withdraw(OUT)
    more = RaiseFee(payment=1, fee_sat=5_000)
    await Life(tmp_path, cluster, desk).ask_and_end("peg.raise", desk.raise_fee, more)
    raised = await Life(tmp_path, cluster, desk).ask("peg.raise", desk.raise_fee, more)
    assert (raised.fee_sat, raised.versions) == (5_000, 2)
    with pytest.raises(OperationError, match="nothing was raised"):
        await desk.raise_fee(more)


async def test_what_is_sent_back_is_sent_back_once(tmp_path: Path) -> None:
    cluster, desk, asked = no_room()
    await Life(tmp_path, cluster, desk).ask_and_end("peg.return", desk.give_back, asked)
    second = Life(tmp_path, cluster, desk)
    told = await second.ask("peg.return", desk.give_back, asked)
    assert (told.payment, told.arrives_sat) == (1, 59_500)
    assert await Life(tmp_path, cluster, desk).ask("peg.return", desk.give_back, asked) == told
    assert cluster.state.peg.payments == 1
