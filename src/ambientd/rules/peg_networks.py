"""Where there is a peg (protocols/14-peg.md section 1)."""

from typing import Final

from ambientd.model.genesis import Genesis

PEG_NETWORKS: Final = frozenset({"regtest", "signet", "testnet4"})
"""Not the main network: nobody outside the project has reviewed any of this."""


def peg_fault(genesis: Genesis) -> str | None:
    """Say why a cluster has no peg, or None when it has one."""
    network = genesis.bitcoin_network
    if network not in PEG_NETWORKS:
        return f"there is no peg on the Bitcoin network {network!r}"
    if any(member.grant_msat or member.bond_msat for member in genesis.members):
        return "this cluster's founders were granted play credits, which no bitcoin stands behind"
    return None
