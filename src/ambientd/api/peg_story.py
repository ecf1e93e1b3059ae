"""What the peg does, in words and fields."""

from typing import assert_never

from ambientd.api.replies import EventKind
from ambientd.api.story_words import Fields, Line, short
from ambientd.ledger import peg_events as peg
from ambientd.rules.bitcoin_codec import display


def peg_line(event: peg.PegEvent) -> Line:
    """Put one such event into words."""
    match event:
        case peg.WalletFormed(wallet=wallet):
            text = f"the members' keys make wallet {wallet} of the federation"
            return EventKind.WALLET_FORMED, text, {"wallet": wallet}
        case peg.AddressGiven(node=node, index=index):
            fields: Fields = {"node": node.hex(), "index": index}
            return EventKind.PEG_ADDRESS_GIVEN, f"{short(node)} has address {index}", fields
        case peg.PegInCredited(node=node, txid=txid, output=output, amount_msat=amount):
            coin = f"{display(txid)}:{output}"
            fields = {"node": node.hex(), "coin": coin, "amount_msat": amount}
            text = f"the peg-in {coin} of {amount} msat is in the balance of {short(node)}"
            return EventKind.PEG_IN_CREDITED, text, fields
        case peg.ReturnAsked(node=node, txid=txid, output=output):
            coin = f"{display(txid)}:{output}"
            fields = {"node": node.hex(), "coin": coin}
            text = f"{short(node)} wants {coin} back, which is never credited"
            return EventKind.PEG_RETURN_ASKED, text, fields
        case peg.PaymentVersioned(payment=payment, version=version):
            return EventKind.PAYMENT_VERSIONED, *_payment(payment, version, "waits for signatures")
        case peg.PaymentSigned(payment=payment, version=version):
            return EventKind.PAYMENT_SIGNED, *_payment(payment, version, "is signed by a quorum")
        case peg.PaymentFinal(payment=payment, version=version, txid=txid):
            text, said = _payment(payment, version, f"is final as {display(txid)}")
            return EventKind.PAYMENT_FINAL, text, said | {"txid": display(txid)}
        case _:
            assert_never(event)


def _payment(payment: int, version: int, what: str) -> tuple[str, Fields]:
    return f"payment {payment}, version {version}, {what}", {"payment": payment, "version": version}
