"""What a task may ask for: the terms of a specification that need no state (protocols/03 §3)."""

from ambientd.model.bundle import ITEMS_MAX, size_of
from ambientd.model.execution import (
    GAS_CEILING,
    INPUT_BYTES_CEILING,
    MEMORY_BYTES_CEILING,
    OUTPUT_BYTES_CEILING,
    PAGE_BYTES,
    WALL_MS_CEILING,
)
from ambientd.model.genesis import Rules
from ambientd.model.task import Assurance, TaskSpec
from ambientd.rules.labels import is_key, is_word
from ambientd.rules.scheduling import STRATEGIES

PRICE_MSAT_PER_MGAS_MAX = 10**9
MODULE_BYTES_MAX = 64 << 20
CONSTRAINTS_MAX = 8
DISTINCT_MAX = 4
PRIORITY_MAX = 9
QUORUM_MIN = 3


def terms_fault(spec: TaskSpec, rules: Rules, now_ms: int) -> str | None:
    """Say why a cluster of these rules takes no task like this at this time, or None."""
    return (
        _replicas_fault(spec, rules)
        or _limits_fault(spec, rules)
        or _choice_fault(spec, rules)
        or _deadline_fault(spec, now_ms)
    )


def _replicas_fault(spec: TaskSpec, rules: Rules) -> str | None:
    if spec.assurance in {Assurance.NONE, Assurance.AUDITED} and spec.replicas != 1:
        return f"assurance {spec.assurance.name.lower()} means one replica, not {spec.replicas}"
    if spec.assurance is Assurance.REPLICATED and spec.replicas < 2:
        return f"assurance replicated means two replicas or more, not {spec.replicas}"
    if spec.assurance is Assurance.QUORUM and spec.replicas < QUORUM_MIN:
        return f"a quorum has {QUORUM_MIN} replicas or more, not {spec.replicas}"
    if spec.replicas_max > rules.replicas_max:
        return f"{spec.replicas} replicas are asked for, this cluster gives {rules.replicas_max}"
    return None


def _limits_fault(spec: TaskSpec, rules: Rules) -> str | None:
    for name, value, lowest, highest in (
        ("price", spec.price_msat_per_mgas, rules.price_msat_per_mgas_min, PRICE_MSAT_PER_MGAS_MAX),
        ("number of items", spec.items, 1, ITEMS_MAX),
        ("gas limit", spec.gas_max, spec.items, GAS_CEILING),
        ("memory limit", spec.memory_bytes_max, PAGE_BYTES, MEMORY_BYTES_CEILING),
        ("wall-clock limit", spec.wall_ms_max, 1, WALL_MS_CEILING),
        ("output limit", spec.output_bytes_max, 0, OUTPUT_BYTES_CEILING),
        ("module size", spec.module_size_bytes, 1, MODULE_BYTES_MAX),
        ("input size", size_of(spec.input_size_bytes), 0, INPUT_BYTES_CEILING),
        ("priority", spec.priority, 0, PRIORITY_MAX),
        ("number of attempts", spec.attempts_max, 0, rules.attempts_max),
    ):
        if not lowest <= value <= highest:
            return f"{name} is {value}; it must lie between {lowest} and {highest}"
    return None


def _choice_fault(spec: TaskSpec, rules: Rules) -> str | None:
    """Say what is wrong with what a task asks of its workers."""
    if spec.task_class not in rules.classes:
        return f"class {spec.task_class!r} is unknown; take one of {', '.join(rules.classes)}"
    if spec.strategy and spec.strategy not in STRATEGIES:
        known = ", ".join(sorted(STRATEGIES))
        return f"scheduling strategy {spec.strategy!r} is unknown; take one of {known}"
    if len(spec.constraints) > CONSTRAINTS_MAX or len(spec.distinct) > DISTINCT_MAX:
        return (
            f"at most {CONSTRAINTS_MAX} constraints and {DISTINCT_MAX} distinct labels are allowed"
        )
    if len(set(spec.distinct)) != len(spec.distinct):
        return "a label that replicas differ in is named twice"
    bad = [each.key for each in spec.constraints if not (is_key(each.key) and is_word(each.value))]
    bad += [key for key in spec.distinct if not is_key(key)]
    return f"{bad[0]!r} is no label that a node can have" if bad else None


def _deadline_fault(spec: TaskSpec, now_ms: int) -> str | None:
    if spec.deadline_ms and spec.deadline_ms <= now_ms:
        return f"the deadline {spec.deadline_ms} is over, it is {now_ms} already"
    return None
