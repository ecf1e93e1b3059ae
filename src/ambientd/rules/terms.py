"""What a task may ask for: the terms of a specification that need no state (protocols/03 §3)."""

from ambientd.model.bundle import ITEMS_MAX, Bundle, size_of
from ambientd.model.execution import (
    GAS_CEILING,
    INPUT_BYTES_CEILING,
    MEMORY_BYTES_CEILING,
    OUTPUT_BYTES_CEILING,
    PAGE_BYTES,
    WALL_MS_CEILING,
)
from ambientd.model.genesis import Rules
from ambientd.model.mark import MARKS_MAX, Attempts
from ambientd.model.task import Assurance, TaskSpec
from ambientd.rules.labels import is_key, is_word
from ambientd.rules.lessons import LESSON_CLASS
from ambientd.rules.scheduling import STRATEGIES

PRICE_MSAT_PER_MGAS_MAX = 10**9
MODULE_BYTES_MAX = 64 << 20
CONSTRAINTS_MAX = 8
DISTINCT_MAX = 4
PRIORITY_MAX = 9
QUORUM_MIN = 3
PROVEN_CYCLES_MIN = 1 << 13
PROVEN_CYCLES_MAX = 64 << 20
"""So many padded cycles has one proof: 64 segments of 2^20 (protocols/18 §5, §6)."""


def terms_fault(spec: TaskSpec, rules: Rules, now_ms: int) -> str | None:
    """Say why a cluster of these rules takes no task like this at this time, or None."""
    return (
        _replicas_fault(spec, rules)
        or _proof_fault(spec)
        or _marks_fault(spec)
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


def _proof_fault(spec: TaskSpec) -> str | None:
    """Say why an execution like this is never proven, or not on these terms."""
    if spec.proof is None:
        return None
    if spec.replicas != 1:
        return f"assurance proven means one replica, not {spec.replicas}"
    if isinstance(spec.input_size_bytes, Bundle):
        return "a bundle cannot be proven: submit its items as tasks"
    if spec.task_class == LESSON_CLASS:
        return f"a task of class {LESSON_CLASS} cannot be proven"
    cycles, price = spec.proof.cycles_max, spec.proof.price_msat_per_mcycle
    if not PROVEN_CYCLES_MIN <= cycles <= PROVEN_CYCLES_MAX:
        return (
            f"{cycles} cycles to prove; it must lie between {PROVEN_CYCLES_MIN} and "
            f"{PROVEN_CYCLES_MAX}"
        )
    if not 0 <= price <= PRICE_MSAT_PER_MGAS_MAX:
        return f"price of cycles is {price}; it must lie between 0 and {PRICE_MSAT_PER_MGAS_MAX}"
    return None


def _marks_fault(spec: TaskSpec) -> str | None:
    """Say why nobody goes on from another's state in a task like this."""
    if not isinstance(spec.attempts_max, Attempts):
        return None
    if not 1 <= spec.marks_max <= MARKS_MAX:
        return f"{spec.marks_max} marks; it must lie between 1 and {MARKS_MAX}"
    if spec.assurance is not Assurance.NONE:
        return (
            f"marks are for assurance none, not {spec.assurance_name}: answers that are compared"
            " stand on nobody else's word"
        )
    if isinstance(spec.input_size_bytes, Bundle):
        return "a bundle has no marks: submit its items as tasks"
    if spec.task_class == LESSON_CLASS:
        return f"a task of class {LESSON_CLASS} has no marks"
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
        ("number of attempts", spec.attempts, 0, rules.attempts_max),
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
