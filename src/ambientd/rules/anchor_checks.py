"""Whether a tree's root is in a Bitcoin block, in words for whoever checks a file."""

from ambientd.model.receipt import AnchorProof
from ambientd.rules.bitcoin import MAIN, NETWORKS, Branch, check_anchor
from ambientd.rules.bitcoin_codec import decode_header, display
from ambientd.rules.receipt_trust import utc


def anchor_fault(
    root: bytes, anchor: AnchorProof | None, network_name: str
) -> tuple[str | None, str, int | None]:
    """Say what is wrong with the anchor of a root, or None, what was found, and when it was mined.

    The time is in seconds, and only of the main network: elsewhere blocks cost next to nothing, so
    their clocks say nothing.
    """
    if anchor is None:
        return None, "pending: not in a Bitcoin block yet", None
    network = NETWORKS.get(network_name)
    if network is None:
        return "an unknown Bitcoin network", "", None
    branch = Branch(anchor.index, anchor.siblings)
    following = anchor.following_headers
    checked = check_anchor(root, anchor.raw_tx, branch, anchor.header, following, network)
    if not checked.passed or checked.time_s is None:
        fault = "; ".join(f"{step.name}: {step.detail}" for step in checked.faults)
        return fault or "no header", "", None
    block = display(decode_header(anchor.header).hash)
    found = (
        f"Bitcoin block {block} ({network.name}), mined {utc(checked.time_s)}, "
        f"{checked.confirmations} confirmations"
    )
    return None, found, checked.time_s if network is MAIN else None
