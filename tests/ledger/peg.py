"""A ledger with a peg: members whose keys the tests know, and a chain of one's own making."""

from dataclasses import dataclass

from ambientd.codec.digest import sha256
from ambientd.ledger.events import LedgerEvent
from ambientd.ledger.peg import imbalance
from ambientd.ledger.peg_wallets import possession_digest
from ambientd.model.base import NodeId
from ambientd.model.peg import PegPayment, PegWallet
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import (
    Body,
    PegAddress,
    PegIn,
    PegKey,
    PegOut,
    PegPaid,
    PegSigned,
    Record,
)
from ambientd.rules.bitcoin import compact_size, double_sha256
from ambientd.rules.peg_payments import base_transaction, digests
from ambientd.rules.peg_script import locking_script
from ambientd.rules.verdicts import quorum
from tests.ledger.bitcoin import TIME_S, mined
from tests.ledger.cluster import TestCluster
from tests.rules.peg import PAYEE, compact, root_key

MEMBERS = 4


def proof_of(raw_tx: bytes, confirmations: int = 6) -> AnchorProof:
    """Mine a Bitcoin block around a transaction, and some on top of it."""
    sibling = double_sha256(b"coinbase")
    merkle_root = double_sha256(sibling + double_sha256(raw_tx))
    headers = [mined(bytes(32), merkle_root, TIME_S)]
    for place in range(1, confirmations):
        headers.append(mined(double_sha256(headers[-1]), bytes([place]) * 32, TIME_S + place))
    return AnchorProof(
        raw_tx=raw_tx,
        index=1,
        siblings=(sibling,),
        height=101,
        header=headers[0],
        following_headers=tuple(headers[1:]),
    )


def paying(script: bytes, value_sat: int, mark: int = 0) -> bytes:
    """Give a transaction without witness, from outside, with one output."""
    spent = sha256(b"outside %d" % mark) + bytes(4) + b"\x00" + b"\xff\xff\xff\xff"
    output = value_sat.to_bytes(8, "little") + compact_size(len(script)) + script
    return (2).to_bytes(4, "little") + b"\x01" + spent + b"\x01" + output + bytes(4)


def own_key(number: int) -> tuple[bytes, bytes]:
    root = root_key(number)
    return root.get_public_key().serialize(), root.chain_code


@dataclass
class PegCluster(TestCluster):
    """Nobody has anything before it comes in from the chain."""

    __test__ = False

    grant_msat: int = 0
    bond_msat: int = 0
    said_ms: int = 0
    peg_ins: int = 0

    def apply(self, signed: list[Record], *, after_ms: int = 100) -> list[LedgerEvent]:
        events = super().apply(signed, after_ms=after_ms)
        assert imbalance(self.state) is None, imbalance(self.state)
        return events

    def next_ms(self) -> int:
        self.said_ms += 1
        return self.said_ms

    def key(self, number: int, root: int | None = None) -> tuple[int, PegKey]:
        key, chain_code = own_key(number if root is None else root)
        secret = root_key(number if root is None else root).key
        digest = possession_digest(self.id, self.node(number), key, chain_code)
        possession = compact(secret.sign(digest))
        body = PegKey(key=key, chain_code=chain_code, possession=possession, said_ms=self.next_ms())
        return number, body

    def open(self) -> None:
        """Have the members form a wallet, and everybody get an address."""
        members = range(self.members)
        self.block(*(self.key(number) for number in members))
        self.block(*((number, PegAddress()) for number in members))
        assert self.state.peg.wallet == 1

    @property
    def wallet(self) -> PegWallet:
        return self.state.peg_index.wallets[self.state.peg.wallet]

    def script(self, number: int, wallet: int | None = None) -> bytes:
        index = self.state.peg_node(self.node(number)).index
        wallets = self.state.peg_index.wallets
        return locking_script(wallets[wallet or self.state.peg.wallet], index)

    def peg_in(self, number: int, value_sat: int, wallet: int | None = None) -> PegIn:
        """Give a member's word on a fresh peg-in."""
        self.peg_ins += 1
        wallet = wallet or self.state.peg.wallet
        raw = paying(self.script(number, wallet), value_sat, self.peg_ins)
        return PegIn(node=self.node(number), wallet=wallet, output=0, proof=proof_of(raw))

    def quorum(self) -> range:
        return range(quorum(len(self.state.members)))

    def all_say(self, body: Body) -> list[LedgerEvent]:
        return self.block(*((member, body) for member in self.quorum()))

    def fund(self, number: int, value_sat: int) -> list[LedgerEvent]:
        return self.all_say(self.peg_in(number, value_sat))

    def out(self, amount_sat: int, fee_sat: int = 500, script: bytes = PAYEE) -> PegOut:
        return PegOut(script=script, amount_sat=amount_sat, fee_sat=fee_sat, said_ms=self.next_ms())

    def payment(self, number: int) -> PegPayment:
        entry = self.state.peg_payment(number)
        assert entry is not None
        return entry.payment

    def signed(
        self, member: int, number: int, version: int = 0, root: int | None = None
    ) -> tuple[int, PegSigned]:
        payment = self.payment(number)
        secret = root_key(member if root is None else root)
        found = digests(payment, version, self.state.peg_index.wallets)
        signatures = tuple(
            compact(secret.derive([coin.index]).key.sign(digest))
            for coin, digest in zip(payment.coins, found, strict=True)
        )
        return member, PegSigned(payment=number, version=version, signatures=signatures)

    def seen(self, number: int, version: int = 0) -> PegPaid:
        """Give a member's word that a version is deep in the chain."""
        raw = base_transaction(self.payment(number), version)
        return PegPaid(payment=number, version=version, proof=proof_of(raw))

    def sign_all(self, number: int, version: int = 0) -> list[LedgerEvent]:
        """Have so many sign a version as it takes."""
        return self.block(*(self.signed(member, number, version) for member in self.quorum()))

    def finish(self, number: int, version: int = 0) -> list[LedgerEvent]:
        """Sign a version by so many as it takes, and see it deep in the chain."""
        self.sign_all(number, version)
        return self.all_say(self.seen(number, version))

    def balance_sat(self, number: int) -> float:
        return self.state.balance_msat(self.node(number)) / 1_000

    def member(self, number: int) -> NodeId:
        return self.node(number)
