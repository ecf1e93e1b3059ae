"""Where there is a peg (protocols/14-peg.md section 1)."""

from typing import Final

from ambientd.model.genesis import Genesis

PEG_NETWORKS: Final = frozenset({"regtest", "signet", "testnet4"})
MAIN: Final = "main"
NOT_AUDITED: Final = "main-network-peg-not-audited-1"
"""What a genesis says when its founders know of all that stands in `UNAUDITED`."""
UNAUDITED: Final = (
    "the peg's own code, its scripts, its transactions and its rules: nobody outside the project "
    "has reviewed any of it",
    "the members' keys: they lie on machines that are online, each in a file",
    "the threshold: a quorum of the members that lies together, or whose machines are taken, "
    "takes all coins",
    "the libraries and the machines that it all runs on",
    "use with real bitcoin: no peg of this code has ever run on the main network",
)
"""What nobody has audited, for whoever puts coins of the main network at stake."""
MAIN_SAT_MAX: Final = 10_000_000
"""The most that a genesis may let a peg on the main network hold."""
BOUND_MIN_SAT: Final = 20_000
"""The least bound: a late peg-in of the least that counts fits below half of it."""
MAIN_SAT_DEFAULT: Final = 1_000_000


def peg_fault(genesis: Genesis) -> str | None:
    """Say why a cluster has no peg, or None when it has one."""
    network, rules = genesis.bitcoin_network, genesis.rules
    if network == MAIN:
        if rules.peg_acknowledged != NOT_AUDITED:
            return (
                "there is no peg on the main network: it was not audited, and this cluster's "
                "genesis does not say that its founders know"
            )
        if not 0 < rules.peg_sat_max <= MAIN_SAT_MAX:
            return f"on the main network a peg holds at most {BOUND_MIN_SAT} to {MAIN_SAT_MAX} sat"
    elif network not in PEG_NETWORKS:
        return f"there is no peg on the Bitcoin network {network!r}"
    if 0 < rules.peg_sat_max < BOUND_MIN_SAT:
        return f"a peg that holds less than {BOUND_MIN_SAT} sat has no room for a late peg-in"
    if any(member.grant_msat or member.bond_msat for member in genesis.members):
        return "this cluster's founders were granted play credits, which no bitcoin stands behind"
    return None


def unaudited(network: str) -> tuple[str, ...]:
    """Give what nobody has audited, where the coins are worth something."""
    return UNAUDITED if network == MAIN else ()
