"""What a genesis must fulfil before a ledger can stand on it."""

from ambientd.codec.signing import PUBLIC_KEY_BYTES
from ambientd.model.execution import GAS_CEILING
from ambientd.model.genesis import FIRST_STATE_VERSION, MEMBERS_MAX, Genesis
from ambientd.model.task import DEFAULT_CLASS
from ambientd.rules.bitcoin import AMOUNT_MAX_SAT, NETWORKS
from ambientd.rules.labels import is_key, profile_fault
from ambientd.rules.scheduling import STRATEGIES
from ambientd.rules.terms import PRICE_MSAT_PER_MGAS_MAX

NO_NETWORK = "none"
SUPPLY_MSAT_MAX = 21_000_000 * 100_000_000 * 1000
TIME_MS_MAX = 30 * 24 * 3_600_000
REPLICAS_MAX = 64
ATTEMPTS_MAX = 1000
CLASSES_MAX = 16


def genesis_fault(genesis: Genesis) -> str | None:
    """Say what is wrong with a genesis, or None when a cluster can be founded on it."""
    members = genesis.members
    nodes = {member.node for member in members}
    if not 0 < len(members) <= MEMBERS_MAX or len(nodes) != len(members):
        return f"a genesis names 1 to {MEMBERS_MAX} different members, this one {len(nodes)}"
    if any(len(node) != PUBLIC_KEY_BYTES for node in nodes):
        return f"a member's key is not {PUBLIC_KEY_BYTES} bytes long"
    amounts = [amount for each in members for amount in (each.grant_msat, each.bond_msat)]
    if min(amounts) < 0 or sum(amounts) > SUPPLY_MSAT_MAX:
        return f"grants and bonds must lie between 0 and {SUPPLY_MSAT_MAX} msat together"
    faults = (profile_fault(member.profile) for member in members)
    fault = next((fault for fault in faults if fault is not None), None)
    if fault is not None:
        return fault
    if genesis.bitcoin_network not in {*NETWORKS, NO_NETWORK}:
        known = ", ".join([*sorted(NETWORKS), NO_NETWORK])
        return f"Bitcoin network {genesis.bitcoin_network!r} is unknown; take one of {known}"
    return _rules_fault(genesis)


def _rules_fault(genesis: Genesis) -> str | None:
    rules = genesis.rules
    for name, value, lowest, highest in (
        ("state_version", genesis.state_version, FIRST_STATE_VERSION, 1 << 50),
        ("created_ms", genesis.created_ms, 0, 1 << 50),
        ("t0_ms", rules.t0_ms, 1, TIME_MS_MAX),
        ("lease_ms", rules.lease_ms, 1, TIME_MS_MAX),
        ("reveal_ms", rules.reveal_ms, 1, TIME_MS_MAX),
        ("dispute_ms", rules.dispute_ms, 1, TIME_MS_MAX),
        ("attempts_max", rules.attempts_max, 1, ATTEMPTS_MAX),
        ("batch_ms", rules.batch_ms, 0, TIME_MS_MAX),
        ("keep_ms", rules.keep_ms, 1, TIME_MS_MAX),
        ("replicas_max", rules.replicas_max, 1, REPLICAS_MAX),
        ("round_ms", rules.round_ms, 1, TIME_MS_MAX),
        ("referee_gas_max", rules.referee_gas_max, 0, GAS_CEILING),
        ("price", rules.price_msat_per_mgas_min, 0, PRICE_MSAT_PER_MGAS_MAX),
        ("audit_window_ms", rules.audit_window_ms, 1, TIME_MS_MAX),
        ("audit_permille", rules.audit_permille, 0, 1000),
        ("peg_sat_max", rules.peg_sat_max, 0, AMOUNT_MAX_SAT),
    ):
        if not lowest <= value <= highest:
            return f"rule {name} is {value}; it must lie between {lowest} and {highest}"
    if rules.strategy not in STRATEGIES:
        known = ", ".join(sorted(STRATEGIES))
        return f"scheduling strategy {rules.strategy!r} is unknown; take one of {known}"
    classes = rules.classes
    if (
        len(classes) > CLASSES_MAX
        or len(set(classes)) != len(classes)
        or not all(map(is_key, classes))
    ):
        return f"the classes of tasks are at most {CLASSES_MAX} different words"
    if DEFAULT_CLASS not in classes:
        return f"there is no class {DEFAULT_CLASS!r}, which tasks have that name none"
    return None
