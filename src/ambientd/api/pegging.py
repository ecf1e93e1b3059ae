"""The peg as its users see it: where to peg in, what is on its way, and whether it all adds up."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import trio

from ambientd.api.deciding import NOT_IN_TIME, fault_of, outcome_of
from ambientd.api.operations import OperationError
from ambientd.api.paging import check_place, page
from ambientd.api.peg_ins import on_the_way, peg_ins
from ambientd.api.peg_looking import Looker
from ambientd.api.peg_returning import Returnable, begun, outpoint_in, returnable
from ambientd.api.peg_values import (
    AuditPeg,
    CoinInfo,
    GetPegAddress,
    ListPeg,
    PaymentInfo,
    PegAddressReply,
    PegAudit,
    PegInInfo,
    PegInState,
    PegList,
    QuoteReturn,
    QuoteWithdrawal,
    RaiseFee,
    ReturnInfo,
    ReturnPegIn,
    Withdraw,
    WithdrawalQuote,
)
from ambientd.api.under_key import came_before, fixed_ms, is_keyed
from ambientd.codec.signing import Signer
from ambientd.errors import UsageError
from ambientd.ledger.draft import BlockContext, Draft
from ambientd.ledger.entries import Table
from ambientd.ledger.events import RecordRejected
from ambientd.ledger.peg import imbalance
from ambientd.ledger.peg_entries import PegCoinEntry, PegPaymentEntry
from ambientd.ledger.peg_events import AddressGiven, PaymentVersioned, ReturnAsked
from ambientd.ledger.peg_index import outpoint_of
from ambientd.ledger.peg_ins import PEG_IN_FEE_SAT, room_sat
from ambientd.ledger.peg_payments import decided, raise_fee
from ambientd.model.base import NodeId
from ambientd.model.peg import CoinState
from ambientd.model.record import PegAddress, PegBody, PegFee, PegOut, PegReturn
from ambientd.rules.bitcoin import CONFIRMATIONS_MIN, display
from ambientd.rules.peg_networks import peg_fault, unaudited
from ambientd.rules.peg_payments import PEG_IN_MIN_SAT, fee_at, fee_fault, outputs, txid
from ambientd.rules.peg_script import address, descriptor
from ambientd.runtime.service import Parts

RATE_SAT_KVB = 2_000
NUMBER_MAX = 10**15 - 1
_PLACE = re.compile(r"[01]/[0-9a-f]{64}:[0-9]{1,10}|2/[0-9]{15}")
_UNSEEN: tuple[bool | None, bool] = (None, False)
_COIN = re.compile(r"[0-9a-f]{2,144}")
LOOKED_MS_MAX = 300_000
"""For so long the pages of an audit tell of the same look at the chain."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What the chain said of each coin: whether it is unspent, and whether it is missing."""

    at_ms: int
    coins: dict[bytes, tuple[bool | None, bool]]
    unseen: str


class Pegging:
    """Answers what concerns bitcoin coming in and going out."""

    def __init__(self, signer: Signer, parts: Parts) -> None:
        self._id = NodeId(signer.public_key)
        self._parts = parts
        self._state = parts.node.ledger
        self._auditing = trio.Lock()
        self._look: _Look | None = None
        self._asking = trio.Lock()  # so that each says a later time than the one before

    async def address(self, _: GetPegAddress) -> PegAddressReply:
        """Give this node's address, which the log gives it first if it has none."""
        self._check()
        state = self._state
        if not state.peg_node(self._id).index:
            await self._bring(
                PegAddress(),
                lambda event: isinstance(event, AddressGiven) and event.node == self._id,
            )
        index, number = state.peg_node(self._id).index, state.peg.wallet
        wallet = state.peg_index.wallets.get(number)
        if wallet is None:
            msg = "the committee has no wallet yet: not all of its members have said a key"
            raise OperationError(
                "not_ready", msg, "ask again when all members have a chain and run"
            )
        network = state.genesis.bitcoin_network
        return PegAddressReply(
            address=address(wallet, index, network),
            index=index,
            wallet=number,
            network=network,
            descriptor=descriptor(wallet, network),
            confirmations=CONFIRMATIONS_MIN,
            least_sat=PEG_IN_MIN_SAT,
            fee_sat=PEG_IN_FEE_SAT,
            most_sat=state.genesis.rules.peg_sat_max,
            room_sat=max(0, room_sat(state, state.peg)),
            unaudited=unaudited(network),
        )

    async def list_own(self, request: ListPeg) -> PegList:
        """List this node's peg-ins and payments, the newest payment first."""
        self._check()
        arrivals, unseen = await on_the_way(self._state, self._id, self._parts.peg)
        check_place(request.after, _PLACE)
        own: dict[str, PegInInfo | int] = {
            f"{each.state is PegInState.COUNTED:d}/{each.outpoint}": each
            for each in peg_ins(self._state, self._id, arrivals)
        }
        for number, entry in self._payments():
            if entry.payment.node == self._id:
                own[f"2/{NUMBER_MAX - number:015d}"] = number
        places, following = page(own, str, request.limit, request.after)
        found = [own[name] for name in places]
        return PegList(
            peg_ins=tuple(each for each in found if isinstance(each, PegInInfo)),
            payments=tuple(self._payment(each) for each in found if isinstance(each, int)),
            unseen=unseen,
            next=following,
        )

    async def quote(self, request: QuoteWithdrawal) -> WithdrawalQuote:
        """Say what a peg-out would cost now; move nothing."""
        self._check()
        script = self._script(request.address)
        body = PegOut(script=script, amount_sat=request.amount_sat, fee_sat=0, said_ms=0)
        fee_sat = self._fee(body, request.rate_msat_vb or RATE_SAT_KVB)
        return WithdrawalQuote(
            amount_sat=request.amount_sat,
            fee_sat=fee_sat,
            arrives_sat=request.amount_sat - fee_sat,
        )

    async def withdraw(self, request: Withdraw) -> PaymentInfo:
        """Withdraw to an address; answer once the log has decided on the payment."""
        self._check()
        script = self._script(request.address)
        async with self._asking:
            said_ms = await self._said_ms()
            before = came_before(self._state.moves(self._id).said_ms)
            if before is not None:
                return self._payment(before or self._newest_out(request.amount_sat))
            body = PegOut(
                script=script,
                amount_sat=request.amount_sat,
                fee_sat=request.fee_sat,
                said_ms=said_ms,
            )
            event = await self._bring(
                body,
                lambda event: (
                    isinstance(event, PaymentVersioned)
                    and (event.node, event.said_ms) == (self._id, said_ms)
                ),
            )
        assert isinstance(event, PaymentVersioned)
        return self._payment(event.payment)

    async def quote_return(self, request: QuoteReturn) -> ReturnInfo:
        """Say what it would cost to send something back; move nothing."""
        self._check()
        script = self._script(request.address)
        found = await self._returnable(request.outpoint)
        return found.quote(script, request.rate_msat_vb or RATE_SAT_KVB)

    async def give_back(self, request: ReturnPegIn) -> ReturnInfo:
        """Send back what is never credited; answer once the log has where to."""
        self._check()
        script = self._script(request.address)
        before = came_before(self._state.moves(self._id).said_ms)
        found = await self._returnable(request.outpoint, was_asked=before is not None)
        if before is not None:
            return found.told(script, request.fee_sat, self._begun(found))
        found.told(script, request.fee_sat)
        async with self._asking:
            said_ms = await self._said_ms()
            body = PegReturn(
                txid=found.outpoint.txid,
                output=found.outpoint.index,
                script=script,
                fee_sat=request.fee_sat,
                said_ms=said_ms,
            )
            await self._bring(
                body,
                lambda event: (
                    isinstance(event, ReturnAsked)
                    and (event.node, event.said_ms) == (self._id, said_ms)
                ),
            )
        return found.told(script, request.fee_sat, self._begun(found))

    def _begun(self, found: Returnable) -> int:
        return begun(self._state, self._id, found.outpoint)

    async def _returnable(self, text: str, *, was_asked: bool = False) -> Returnable:
        chain, outpoint = self._parts.peg, outpoint_in(text)
        return await returnable(self._state, self._id, chain, outpoint, was_asked=was_asked)

    async def _said_ms(self) -> int:
        return await fixed_ms(max(self._parts.now(), self._state.moves(self._id).said_ms + 1))

    def _newest_out(self, amount_sat: int) -> int:
        """Give the payment that the last move has begun."""
        return next(
            number
            for number, entry in reversed(self._payments())
            if (entry.payment.node, entry.payment.amount_sat) == (self._id, amount_sat)
        )

    async def raise_fee(self, request: RaiseFee) -> PaymentInfo:
        """Have a version with a higher fee signed."""
        self._check()
        body = PegFee(payment=request.payment, fee_sat=request.fee_sat)
        entry = self._state.peg_payment(request.payment)
        payment = None if entry is None or not is_keyed() else entry.payment
        told = (self._id, request.fee_sat)
        if payment is not None and (payment.node, payment.fees_sat[-1]) == told:
            return self._payment(request.payment)  # it was raised, and a restart kept that back
        async with self._asking:
            self._check_raise(body)
            await self._bring(
                body,
                lambda event: (
                    isinstance(event, PaymentVersioned) and event.payment == request.payment
                ),
            )
        return self._payment(request.payment)

    async def audit(self, request: AuditPeg) -> PegAudit:
        """Compare the books with themselves, and with the chain if this node has one."""
        self._check()
        if self._auditing.locked():  # its first page asks the chain for every coin
            raise OperationError("busy", "an audit is under way", "ask again when it has ended")
        async with self._auditing:
            check_place(request.after, _COIN)
            return await self._audited(request)

    async def _audited(self, request: AuditPeg) -> PegAudit:
        state, network = self._state, self._state.genesis.bitcoin_network
        wallets, peg = state.peg_index.wallets, state.peg
        coins = [
            (key[1], entry)
            for key, entry in state.items().items()
            if key[0] is Table.PEG_COIN and isinstance(entry, PegCoinEntry)
        ]
        held = (CoinState.HELD, CoinState.RESERVED)
        standing = sorted((each for each in coins if each[1].state in held), key=lambda e: e[0])
        look = await self._looked(standing, is_first=not request.after)
        unspent = look.coins
        missing = [entry.value_sat for name, entry in standing if unspent.get(name, _UNSEEN)[1]]
        entries = dict(standing)
        names, following = page(entries, bytes.hex, request.limit, request.after)
        if following is None:
            self._look = None
        shown = [self._coin(name, entries[name], unspent.get(name, _UNSEEN)[0]) for name in names]
        held_sat = sum(state.peg_index.held_sat().values())
        return PegAudit(
            network=network,
            held_sat=held_sat,
            reserved_sat=sum(entry.value_sat for _, entry in standing) - held_sat,
            waiting_sat=sum(e.value_sat for _, e in coins if e.state is CoinState.WAITING),
            owed_msat=state.total_msat(),
            in_sat=peg.in_sat,
            out_sat=peg.out_sat,
            fees_sat=peg.fees_sat,
            fault=imbalance(state) or "",
            descriptors=tuple(descriptor(wallet, network) for _, wallet in sorted(wallets.items())),
            coins=tuple(shown),
            payments=tuple(self._payment(each) for each in state.peg_index.open_payments()),
            missing_sat=sum(missing),
            most_sat=state.genesis.rules.peg_sat_max,
            unaudited=unaudited(network),
            unseen=look.unseen,
            next=following,
        )

    def _coin(self, name: bytes, entry: PegCoinEntry, is_unspent: bool | None) -> CoinInfo:
        outpoint, wallet = outpoint_of(name), self._state.peg_index.wallets[entry.wallet]
        return CoinInfo(
            outpoint=f"{display(outpoint.txid)}:{outpoint.index}",
            value_sat=entry.value_sat,
            address=address(wallet, entry.index, self._state.genesis.bitcoin_network),
            is_unspent=is_unspent,
        )

    async def _looked(self, standing: list[tuple[bytes, PegCoinEntry]], *, is_first: bool) -> _Look:
        """Look for all coins on the chain, unless a page before has."""
        now_ms, look = self._parts.now(), self._look
        if (
            look is not None
            and not is_first
            and look.coins.keys() >= {name for name, _ in standing}
        ):
            age_ms = now_ms - look.at_ms
            if 0 <= age_ms <= LOOKED_MS_MAX:
                return look
        if self._parts.peg is None:
            return _Look(now_ms, {}, "")
        looker = Looker(self._parts.peg)
        found = await self._looked_for(looker, dict(standing))
        self._look = _Look(now_ms, found, looker.unseen)
        return self._look

    async def _looked_for(
        self, looker: Looker, entries: dict[bytes, PegCoinEntry]
    ) -> dict[bytes, tuple[bool | None, bool]]:
        """Tell of each coin whether it is unspent, and whether it is missing; as far as is known.

        A coin that is gone is not missing if the chain has the payment that took it.
        """
        unspent = await looker.unspent([outpoint_of(name) for name in entries])
        found: dict[bytes, tuple[bool | None, bool]] = {}
        sent: dict[int, bool | None] = {}
        for name, entry in entries.items():
            is_unspent = unspent.get(outpoint_of(name))
            if is_unspent is False and entry.payment not in sent:
                sent[entry.payment] = await self._is_sent(looker, entry.payment)
            is_gone = is_unspent is False
            is_sure = not is_gone or sent[entry.payment] is not None
            is_missing = is_gone and sent[entry.payment] is False
            found[name] = (is_unspent if is_sure else None, is_missing)
        return found

    async def _is_sent(self, looker: Looker, number: int) -> bool | None:
        entry = self._state.peg_payment(number)
        if entry is None:
            return False
        payment = entry.payment
        return await looker.knows([txid(payment, each) for each in range(len(payment.fees_sat))])

    def _check(self) -> None:
        fault = peg_fault(self._state.genesis)
        if fault is not None:
            hint = "found a cluster with `ambientctl cluster create --peg`"
            raise OperationError("rejected", fault, hint)

    def _check_raise(self, body: PegFee) -> None:
        """Refuse what the ledger would: a record that it has had before is taken by no pool."""
        entry = self._state.peg_payment(body.payment)
        if entry is not None and entry.final is not None:
            fault: str | None = f"payment {body.payment} is final"
        else:
            fault = fault_of(self._parts, self._id, body, raise_fee)
        if fault is not None:
            hint = "see `ambientctl peg deposits`"
            raise OperationError("rejected", f"nothing was raised: {fault}", hint)

    def _script(self, text: str) -> bytes:
        if self._parts.peg is None:
            msg = "this node has no Bitcoin chain to check the address with"
            raise OperationError("rejected", msg, "set [bitcoin] chain in config.toml")
        try:
            return self._parts.peg.script_of(text)
        except UsageError as error:
            raise OperationError("invalid", str(error)) from error

    def _fee(self, body: PegOut, rate_msat_vb: int) -> int:
        """Give the fee at a rate of the payment that the ledger would decide on now."""
        state = self._state
        wallets = state.peg_index.wallets
        context = BlockContext(index=0, term=0, time_ms=0, beacon=b"")
        payment = decided(Draft(state, state, context), self._id, body)
        if isinstance(payment, str):
            raise OperationError("rejected", f"nothing was withdrawn: {payment}")
        fee_sat = fee_at(payment, wallets, rate_msat_vb)
        fault = fee_fault(payment, fee_sat, wallets)
        if fault is not None:
            raise OperationError("rejected", f"nothing was withdrawn: {fault}")
        return fee_sat

    async def _bring(self, body: PegBody, is_done: Callable[[object], bool]) -> object:
        event = await outcome_of(self._parts, self._id, body, is_done)
        if isinstance(event, RecordRejected):
            raise OperationError("rejected", f"nothing was done: {event.reason}")
        if event is None:
            hint = "it may still: look at `ambientctl peg deposits` before you ask again"
            raise OperationError("unavailable", NOT_IN_TIME, hint)
        return event

    def _payments(self) -> list[tuple[int, PegPaymentEntry]]:
        numbers = range(1, self._state.peg.payments + 1)
        found = ((number, self._state.peg_payment(number)) for number in numbers)
        return [(number, entry) for number, entry in found if entry is not None]

    def _payment(self, number: int) -> PaymentInfo:
        entry = self._state.peg_payment(number)
        assert entry is not None, "payments are never forgotten"
        payment = entry.payment
        last = len(payment.fees_sat) - 1
        version = last if entry.final is None else entry.final
        signatures = sum(word.version == version for word in entry.words)
        needed = self._state.peg_index.wallets[payment.coins[0].wallet].threshold
        state = "signing" if signatures < needed else "sent"
        return PaymentInfo(
            payment=number,
            kind=payment.kind.name.lower().replace("_", "-"),
            state=state if entry.final is None else "final",
            amount_sat=payment.amount_sat or payment.total_sat,
            fee_sat=payment.fees_sat[version],
            arrives_sat=outputs(payment, version)[0][0],
            versions=last + 1,
            signatures=signatures,
            needed=needed,
            txid=display(txid(payment, version)),
        )
