"""What a caller asks for, as a specification, and what that may cost."""

import re

from ambientd.api import requests
from ambientd.api.operations import OperationError
from ambientd.api.quotes import Quote
from ambientd.config.options import Config
from ambientd.ledger.state import LedgerState
from ambientd.ledger.suitors import suits
from ambientd.ledger.versions import MARKS_VERSION
from ambientd.model.base import Digest, NodeId
from ambientd.model.genesis import Rules
from ambientd.model.mark import Attempts
from ambientd.model.proof import ProofTerms
from ambientd.model.task import (
    DEFAULT_CLASS,
    PROVEN,
    Assurance,
    Constraint,
    Guarantee,
    TaskSpec,
)
from ambientd.rules.auditing import is_trusted, lone_permille, replicas_for
from ambientd.rules.rewards import escrow_of, premium_msat, proof_fee_msat, slot_fee_msat
from ambientd.rules.terms import QUORUM_MIN, terms_fault

COLLUDERS_PERMILLE = 200
"""A quorum that nobody has told the size of is large enough for so many colluders."""

DISTINCT_BY_DEFAULT = ("owner", "region")
OUTPUT_BYTES_BY_DEFAULT = 16 << 20
CYCLES_BY_DEFAULT = 1 << 20
"""Some tens of thousands of the universal image's are preparation; a small task has 2^16."""

_CONSTRAINT = re.compile(r"([^=!]+)(!?=)([^=]+)")


def check_limits(request: requests.Terms, config: Config, module: int, data: int) -> None:
    """Refuse what this node would not execute itself; raise OperationError."""
    limits, execution = config.limits, config.execution
    for name, size_bytes, most in (
        ("module", module, limits.module_bytes_max),
        ("input", data, limits.input_bytes_max),
    ):
        if size_bytes > most:
            msg = f"the {name} has {size_bytes} bytes, this node takes {most}"
            hint = f"make it smaller; [limits] {name}_bytes_max in config.toml says how much may be"
            raise OperationError("too_large", msg, hint)
    if request.output_bytes_max > limits.output_bytes_max:
        asked, most = request.output_bytes_max, limits.output_bytes_max
        msg = f"an output of {asked} bytes is asked for, this node takes {most}"
        raise OperationError("too_large", msg, "raise it under [limits] in config.toml")
    for name, asked, most in (
        ("gas", request.gas_max, execution.gas_max),
        ("memory", request.memory_bytes_max, execution.memory_bytes_max),
        ("wall-clock time", request.wall_ms_max, execution.wall_ms_max),
    ):
        if asked > most:
            msg = f"a {name} limit of {asked} is asked for, this node executes up to {most}"
            hint = "ask for less; other nodes may allow more: see [execution] in config.toml"
            raise OperationError("too_large", msg, hint)


def spec_of(
    request: requests.Terms, config: Config, rules: Rules, module: Digest, data: Digest
) -> TaskSpec:
    """Give the specification that a caller means, with this node's defaults.

    Only `terms_fault` says whether the cluster takes it; sizes are for the caller to fill in.
    """
    limits, execution = config.limits, config.execution
    assurance = _guarantee(request, rules)
    replicas = request.replicas or _replicas(assurance, request.colluders_permille)
    is_compared = assurance is not Assurance.NONE
    distinct = DISTINCT_BY_DEFAULT if request.distinct is None and is_compared else request.distinct
    return TaskSpec(
        module=module,
        input=data,
        module_size_bytes=1,
        input_size_bytes=0,
        gas_max=request.gas_max or execution.gas_max,
        memory_bytes_max=request.memory_bytes_max or execution.memory_bytes_max,
        wall_ms_max=request.wall_ms_max or execution.wall_ms_max,
        output_bytes_max=request.output_bytes_max
        or min(limits.output_bytes_max, OUTPUT_BYTES_BY_DEFAULT),
        assurance=assurance,
        replicas=replicas,
        price_msat_per_mgas=request.price_msat_per_mgas or rules.price_msat_per_mgas_min,
        task_class=request.task_class or DEFAULT_CLASS,
        constraints=tuple(map(_constraint, request.constraints)),
        distinct=distinct or (),
        priority=request.priority,
        deadline_ms=request.deadline_ms,
        attempts_max=_attempts(request),
        strategy=request.strategy,
    )


def _attempts(request: requests.Terms) -> int | Attempts:
    attempts, marks = request.attempts_max, request.marks_max
    return Attempts(attempts_max=attempts, marks_max=marks) if marks else attempts


def quote_of(spec: TaskSpec, state: LedgerState, node: NodeId, ask_above_msat: int) -> Quote:
    """Say what a task may cost, and what is likely; raise OperationError for what nobody takes."""
    rules = state.genesis.rules
    fault = terms_fault(spec, rules, state.meta.time_ms)
    if fault is not None:
        raise OperationError("invalid", fault, "`ambientctl run --help` says what can be asked for")
    if spec.marks_max and state.version < MARKS_VERSION:
        what = "not all members know marks yet: ask again when they are updated"
        raise OperationError("invalid", what, "`ambientctl run --help` says what can be asked for")
    _check_nodes(spec, state.able_nodes())
    fee = slot_fee_msat(spec.gas_max, spec.price_msat_per_mgas) + proof_fee_msat(spec)
    held = escrow_of(spec, rules.audit_permille)
    likely, permille = spec.replicas_max, rules.audit_permille
    streak = _middle_streak(spec, state, node)
    if spec.assurance is Assurance.AUDITED and is_trusted(streak):
        likely, permille = 1, lone_permille(streak, permille)
    premium = premium_msat(fee, permille) if likely == 1 and spec.proof is None else 0
    return Quote(
        assurance=spec.assurance_name,
        replicas=likely,
        replicas_max=spec.replicas_max,
        gas_max=spec.gas_max,
        slot_fee_msat=fee,
        likely_msat=likely * fee + premium,
        escrow_msat=held,
        reserve_msat=held - spec.replicas_max * fee,
        balance_msat=state.balance_msat(node),
        ask_above_msat=ask_above_msat,
        suited=sum(suits(state.node(each), spec) for each in state.fit_nodes()),
    )


def _check_nodes(spec: TaskSpec, able: int) -> None:
    """Refuse more replicas than the cluster has nodes for, naming what is possible."""
    if spec.replicas_max <= able:
        return
    msg = f"{spec.replicas_max} replicas are asked for, this cluster can give {able}"
    possible = "`--assurance none`"
    if able > 1:
        possible = f"`--assurance replicated --replicas {able}`"
    if spec.assurance is Assurance.QUORUM and able >= QUORUM_MIN:
        possible = f"`--assurance quorum:{able}`"
    raise OperationError("invalid", msg, f"{possible} is possible")


def _middle_streak(spec: TaskSpec, state: LedgerState, submitter: NodeId) -> int:
    """Give the streak that half of the workers that may be drawn do not exceed."""
    now_ms = state.meta.time_ms
    others = [node for node in state.fit_nodes() if node != submitter]
    found = (state.reputations.of(node, spec.task_class, now_ms) for node in others)
    streaks = sorted(each.streak for each in found)
    return streaks[(len(streaks) - 1) // 2] if streaks else 0


def _replicas(assurance: Guarantee, colluders_permille: int) -> int:
    match assurance:
        case Assurance.NONE | Assurance.AUDITED | ProofTerms():
            return 1
        case Assurance.REPLICATED:
            return 2
        case Assurance.QUORUM:
            try:
                return replicas_for(colluders_permille or COLLUDERS_PERMILLE)
            except ValueError as error:
                raise OperationError("invalid", str(error)) from error


def _guarantee(request: requests.Terms, rules: Rules) -> Guarantee:
    """Give how a task is to be verified; cycles cost what gas does where nothing else is said."""
    if request.assurance == PROVEN:
        price = request.price_msat_per_mcycle or rules.price_msat_per_mgas_min
        return ProofTerms(
            cycles_max=request.cycles_max or CYCLES_BY_DEFAULT, price_msat_per_mcycle=price
        )
    if request.cycles_max or request.price_msat_per_mcycle:
        msg = "cycles are of a proof, and none is asked for"
        raise OperationError("invalid", msg, f"ask for assurance {PROVEN}, or leave cycles away")
    return _assurance(request.assurance)


def _assurance(name: str) -> Assurance:
    try:
        return Assurance[name.upper()]
    except KeyError:
        names = ", ".join((*(each.name.lower() for each in Assurance), PROVEN))
        msg = f"{name!r} is no assurance"
        raise OperationError("invalid", msg, f"choose one of {names}") from None


def _constraint(text: str) -> Constraint:
    found = _CONSTRAINT.fullmatch(text)
    if found is None:
        msg = f"{text!r} asks for nothing that a node can be"
        raise OperationError("invalid", msg, "write KEY=VALUE or KEY!=VALUE")
    key, sign, value = found.groups()
    return Constraint(key=key, value=value, is_excluded=sign == "!=")


def constraint_text(constraint: Constraint) -> str:
    """Write a constraint as callers do."""
    return f"{constraint.key}{'!=' if constraint.is_excluded else '='}{constraint.value}"
