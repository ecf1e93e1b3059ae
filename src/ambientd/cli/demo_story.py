"""The words of a demonstration: every step as it happens, with its time."""

import sys
import time
from collections.abc import Mapping

import msgspec

from ambientd.api import anchor_replies, replies
from ambientd.api.replies import EventKind
from ambientd.cli.console import in_sat, print_json, print_line, short

Fields = Mapping[str, object]


class Story:
    """Tells steps to a person, or one JSON object a line to a program."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._start_s = time.monotonic()
        self.names: Mapping[str, str] = {}

    @property
    def seconds(self) -> float:
        """Give the time since the beginning."""
        return time.monotonic() - self._start_s

    def tell(self, event: str, text: str, **fields: object) -> None:
        """Tell one step."""
        if self._as_json:
            print_json({"event": event, "seconds": round(self.seconds, 3), "text": text, **fields})
            return
        print_line(f"{self.seconds:8.2f} s  {text}")
        _flush()

    def done(self, fields: Fields, lines: list[str]) -> None:
        """Tell how it ended; the last thing that is told."""
        if self._as_json:
            print_json({"event": "done", **fields})
            return
        print_line()
        for line in lines:
            print_line(line)
        _flush()

    def name(self, node: object) -> str:
        """Name a node the way its folder is named, with the start of its id."""
        if not isinstance(node, str):
            return "a node"
        known = self.names.get(node)
        return f"{known} ({short(node)})" if known else short(node)

    def happened(self, event: replies.Event) -> None:
        """Tell an event that a daemon reported."""
        self.tell(event.kind, self._wording(event), **_without_clashes(event.fields))

    def anchor_sent(self, anchor: anchor_replies.AnchorInfo) -> None:
        """Tell which transaction carries a root."""
        fields = msgspec.structs.asdict(anchor)
        self.tell(EventKind.ANCHOR_SENT, _sending(fields), **fields)

    def anchor_confirmed(self, anchor: anchor_replies.AnchorInfo) -> None:
        """Tell how deep an anchor is."""
        fields = msgspec.structs.asdict(anchor)
        self.tell(EventKind.ANCHOR_CONFIRMED, _confirmation(fields), **fields)

    def _wording(self, event: replies.Event) -> str:
        fields = event.fields
        node = self.name(fields.get("node"))
        slot = fields.get("slot")
        match event.kind:
            case EventKind.TASK_ADMITTED:
                return f"accepted by the log; {_amount(fields)} in escrow"
            case EventKind.TASK_ASSIGNED:
                return f"slot {slot} assigned to {node}"
            case EventKind.TASK_COMMITTED:
                return f"slot {slot}: {node} has sealed its answer"
            case EventKind.TASK_REVEALED:
                return f"slot {slot}: {node} has opened its answer"
            case EventKind.TASK_RELEASED:
                return f"slot {slot} is taken from {node}: it {fields.get('reason')}"
            case EventKind.TASK_DISPUTED:
                return "the answers differ: the committee executes the task itself"
            case EventKind.REFEREE_SPOKE:
                return f"referee {node} has signed its finding"
            case EventKind.LIAR_NAMED:
                return f"LIAR NAMED: {node}{_reputation(fields)}; evidence {_evidence(fields)}"
            case EventKind.TASK_PAID:
                return f"{node} is paid {_amount(fields)} from the escrow"
            case EventKind.TASK_REFUNDED:
                return f"{_amount(fields)} of the escrow go back to the submitter"
            case EventKind.TASK_ENERGY:
                return f"energy of {node}: {_energy(fields)}"
            case EventKind.BATCH_CLOSED:
                root = short(str(fields.get("root")))
                size = fields.get("size")
                return f"receipt log of size {size} closed under root {root}, cosigned"
            case EventKind.ANCHOR_SENT:
                return _sending(fields)
            case EventKind.ANCHOR_CONFIRMED:
                return _confirmation(fields)
            case _:
                return event.text


def _flush() -> None:
    sys.stdout.flush()


def _without_clashes(fields: Fields) -> dict[str, object]:
    """Keep a daemon's field from standing in for one of ours."""
    return {key: value for key, value in fields.items() if key not in {"event", "seconds", "text"}}


def _amount(fields: Fields) -> str:
    for key in ("amount_msat", "escrow_msat"):
        value = fields.get(key)
        if isinstance(value, int):
            return in_sat(value)
    return "the fee"


def _reputation(fields: Fields) -> str:
    before, after = fields.get("reputation_before"), fields.get("reputation_after")
    if not isinstance(before, (int, float)) or not isinstance(after, (int, float)):
        return ""
    return f", reputation {before:.3f} -> {after:.3f}"


def _evidence(fields: Fields) -> str:
    evidence = fields.get("evidence")
    return evidence if isinstance(evidence, str) and evidence else "in the receipt"


def _energy(fields: Fields) -> str:
    source = fields.get("source")
    named = f" ({source})" if source and source != "unknown" else ""
    used = fields.get("millijoules")
    if isinstance(used, (int, float)):
        basis = " modelled, not measured" if fields.get("modelled") else ""
        return f"{used / 1000:.3f} J{basis}{named}"
    return f"unknown{named}"


def _sending(fields: Fields) -> str:
    return f"Bitcoin transaction {fields.get('txid')} sent, OP_RETURN {fields.get('op_return')}"


def _confirmation(fields: Fields) -> str:
    return (
        f"anchor in Bitcoin block {fields.get('height')} (regtest), "
        f"{fields.get('confirmations')} of 6 confirmations"
    )
