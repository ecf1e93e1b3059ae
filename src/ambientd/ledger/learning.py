"""Federated learning in the ledger: what each of its records does, and what time does to studies.

What a record says of a round counts only while the round waits for it: whoever is late changes
nothing, and nobody speaks twice. The first survivors are final (protocols/16 section 5).
"""

from typing import assert_never, cast

from msgspec.structs import replace

from ambientd.codec.statements import study_id
from ambientd.ledger import learning_rounds, lessons, native_audits
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import round_key, study_key
from ambientd.ledger.learning_entries import (
    Consent,
    RoundEntry,
    StudyEntry,
)
from ambientd.ledger.learning_events import RoundHeard, StudyBegan, StudyJoined
from ambientd.ledger.learning_rounds import end_study, finish, is_trusted, move
from ambientd.ledger.learning_words import asked, said
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.learning import (
    NO_DATA,
    PARTICIPANTS_MAX,
    RoundState,
    StudyId,
    StudyState,
)
from ambientd.model.learning_record import (
    FlJoin,
    FlKeys,
    FlLeave,
    FlResult,
    FlScore,
    FlShares,
    FlStop,
    FlStudy,
    FlSurvivors,
    FlUnmask,
    FlUpdate,
    LearningBody,
    RoundBody,
)
from ambientd.model.record import Record
from ambientd.rules.lessons import data_fault, is_proven
from ambientd.rules.studies import (
    study_fault,
    viable,
)
from ambientd.rules.study_price import place_price_msat, study_price_msat
from ambientd.rules.tolerances import bounds_fault, has_commitments, repeat_fault, rows_fault

STUDIES_OPEN_MAX = 16
"""Studies that go on at once in a cluster: a block looks at each."""

AUTHOR_OPEN_MAX = 8
STUDIES_KEPT_MAX = 512
AUTHOR_KEPT_MAX = 64
"""Ended studies that are kept, of all authors and of one: they cost nothing but room."""

STEPS_A_BLOCK_MAX = 8
"""Steps that a study takes in one block at most."""

FORGOTTEN_MAX = 64
"""Rows of ended studies that a block forgets at most; the next blocks do the rest."""

Rejection = str | None


def apply(draft: Draft, record: Record, body: LearningBody) -> Rejection:
    """Take one record of federated learning, or say why not."""
    if not is_trusted(draft, record.author):
        return "only nodes that were never convicted take part in federated learning"
    match body:
        case FlStudy():
            return _start(draft, record, body)
        case FlStop():
            return _stop(draft, record, body)
        case FlJoin() | FlLeave():
            return _consent(draft, record, body)
        case (
            FlKeys() | FlShares() | FlUpdate() | FlSurvivors() | FlUnmask() | FlResult() | FlScore()
        ):
            return _say(draft, record, body)
        case _:
            assert_never(body)


def _start(draft: Draft, record: Record, body: FlStudy) -> Rejection:
    study = study_id(record.author, body)
    if draft.study(study) is not None:
        return None
    now_ms, keep_ms = draft.context.time_ms, draft.state.genesis.rules.keep_ms
    if not now_ms <= body.until_ms <= now_ms + keep_ms:
        return "a study is to be taken by a time that is not over, nor further off than it is kept"
    fault = study_fault(body)
    if fault is None and native_audits.names_hiders(draft.state):
        fault = bounds_fault(body.plan, body.terms)
    if fault is not None:
        return fault
    fault = _room_fault(draft, record.author)
    if fault is not None:
        return fault
    rules = draft.state.genesis.rules
    price_msat = study_price_msat(
        body.plan, body.terms, len(draft.state.members), rules.price_msat_per_mgas_min
    )
    place_msat = place_price_msat(body.terms, rules.price_msat_per_mgas_min)
    balance_msat = draft.balance_msat(record.author)
    if balance_msat < price_msat + place_msat:
        whole_msat = price_msat + place_msat
        return f"the study may cost {whole_msat} msat, its author has {balance_msat}"
    draft.credit(record.author, -price_msat - place_msat)
    draft.move_pool(place_msat)
    draft.move_escrow(price_msat)
    studies = draft.studies
    draft.put_studies(replace(studies, open=tuple(sorted((*studies.open, study)))))
    entry = StudyEntry(
        author=record.author,
        name=body.name,
        plan=body.plan,
        terms=body.terms,
        model=body.initial,
        model_size_bytes=body.model_size_bytes,
        state=StudyState.INVITING,
        admitted_ms=now_ms,
        until_ms=draft.running_ms + body.terms.invite_ms,
        escrow_msat=price_msat,
    )
    draft.put_study(study, entry)
    draft.tell(StudyBegan(study, record.author))
    return None


def _room_fault(draft: Draft, author: NodeId) -> Rejection:
    """Name why there is no room for one more study of an author."""
    studies = draft.studies
    if len(studies.open) >= STUDIES_OPEN_MAX:
        return f"{STUDIES_OPEN_MAX} studies go on already: wait until one has ended"
    if len(studies.ended) >= STUDIES_KEPT_MAX:
        return f"{STUDIES_KEPT_MAX} ended studies are kept: wait until some are forgotten"
    entries = (draft.study(study) for study in studies.open)
    if sum(each is not None and each.author == author for each in entries) >= AUTHOR_OPEN_MAX:
        return f"{AUTHOR_OPEN_MAX} studies of this author go on already"
    if sum(each.author == author for each in studies.ended) >= AUTHOR_KEPT_MAX:
        return f"{AUTHOR_KEPT_MAX} ended studies of this author are kept: wait until some are not"
    return None


def _stop(draft: Draft, record: Record, body: FlStop) -> Rejection:
    entry = draft.study(body.study)
    if entry is None or entry.author != record.author:
        return "only who began a study ends it"
    if not entry.is_open:
        return None
    reason = "its author ended it"
    entry = replace(entry, state=StudyState.STOPPED)
    row = draft.round(body.study, entry.round)
    if row is not None and row.state not in learning_rounds.ENDED:
        has_model = row.state is RoundState.EVALUATING
        state = RoundState.DONE if has_model else RoundState.FAILED
        finish(draft, body.study, entry, row, state, reason)
        entry = cast("StudyEntry", draft.study(body.study))
    end_study(draft, body.study, entry, StudyState.STOPPED, reason)
    return None


def _consent(draft: Draft, record: Record, body: FlJoin | FlLeave) -> Rejection:
    """Take an owner's word on whether its node takes part."""
    entry = draft.study(body.study)
    if entry is None or not entry.is_open:
        return "a word on no study that goes on"
    others = [each for each in entry.consents if each.node != record.author]
    before = [each for each in entry.consents if each.node == record.author]
    if before and body.said_ms <= before[0].said_ms:
        return "the author has said something else of this study since"
    is_in = isinstance(body, FlJoin)
    if is_in and record.author in entry.barred:
        return "what the author said in a round of this study was false: it takes part no more"
    if not before and not is_in:
        return "a node leaves no study that it has not joined"
    if not before and len(others) >= PARTICIPANTS_MAX:
        return f"{PARTICIPANTS_MAX} nodes have joined this study: there is room for no more"
    word = _word(record.author, body, before)
    fault = _data_fault(draft.state, entry, word, before)
    if fault is not None:
        return fault
    consents = sorted([*others, word], key=lambda each: each.node)
    draft.put_study(body.study, replace(entry, consents=tuple(consents)))
    draft.tell(StudyJoined(body.study, record.author, is_in))
    return None


def _word(author: NodeId, body: FlJoin | FlLeave, before: list[Consent]) -> Consent:
    """Give what an owner says; who leaves keeps what it has committed to."""
    if isinstance(body, FlJoin):
        return Consent(
            node=author, is_in=True, said_ms=body.said_ms, data=body.data, samples=body.samples
        )
    return replace(before[0], is_in=False, said_ms=body.said_ms)


def _data_fault(
    state: LedgerState, entry: StudyEntry, word: Consent, before: list[Consent]
) -> Rejection:
    """Say why a node cannot take part on these data: they are named once, and never changed."""
    said = (word.data, word.samples)
    if not has_commitments(entry.plan):
        return None if said == (NO_DATA, 0) else "nothing is audited in this study: name no data"
    if before and (before[0].data, before[0].samples) != said:
        return "the author has joined with other data, and trains on those or not at all"
    if word.data == NO_DATA:
        return "training is audited in this study: name the hash of what is trained on"
    if word.samples > entry.terms.samples_max:
        return f"{word.samples} samples, and an update counts for {entry.terms.samples_max}"
    if is_proven(entry.plan):
        return data_fault(entry.plan, word.samples)
    fault = rows_fault(entry.plan, word.samples)
    if fault is None and native_audits.names_hiders(state):
        fault = repeat_fault(entry.plan, entry.terms, word.samples)
    return fault


# What is said of a round


def _say(draft: Draft, record: Record, body: RoundBody) -> Rejection:
    """Take what a node says of the present round of a study."""
    entry = draft.study(body.study)
    if entry is None or entry.state is not StudyState.RUNNING:
        return "a word on no study that goes on"
    row = draft.round(body.study, entry.round)
    assert row is not None, "a study that runs has a round"
    if body.round != entry.round:
        return f"a word on round {body.round}, and the present one is {entry.round}"
    if isinstance(body, FlSurvivors):
        return _survivors(draft, record.author, body, entry, row)
    after = said(draft.state, record.author, body, entry, row)
    if isinstance(after, str):
        return after
    if isinstance(body, FlUpdate):
        fault = lessons.take(draft, record.author, body, entry, row)
        if fault is not None:
            return fault
    if after != row:
        draft.put_round(body.study, entry.round, after)
        draft.tell(RoundHeard(body.study, entry.round, row.state, record.author))
    return None


def _survivors(
    draft: Draft, author: NodeId, body: FlSurvivors, entry: StudyEntry, row: RoundEntry
) -> Rejection:
    """Take the first word on whose updates count: no other set is ever unmasked in this round."""
    if row.state is not RoundState.SURVIVORS:
        is_same = bool(row.survivors) and row.survivors == body.survivors
        return None if is_same else "the round's survivors are final, or not to be named yet"
    if author not in asked(entry, row):
        return "another node is to say whose updates there are"
    held = {each.node for each in row.contributed}
    named = set(body.survivors)
    if len(named) != len(body.survivors) or not named <= held:
        return "survivors are nodes whose updates are in the log, each once"
    if not all(is_trusted(draft, node) for node in named):
        return "a survivor was convicted meanwhile"
    survivors = viable(entry.plan, row.roster, row.seed, named)
    if survivors != body.survivors:
        return "survivors are in ascending order, and in groups that enough are left of"
    if len(survivors) < entry.terms.participants_min:
        return f"{len(survivors)} survivors, and {entry.terms.participants_min} are needed"
    row = replace(row, survivors=survivors)
    draft.tell(RoundHeard(body.study, entry.round, row.state, author))
    state = RoundState.UNMASKING if entry.plan.is_private else RoundState.AGGREGATING
    move(draft, body.study, entry, row, state)
    return None


# What time does


def let_move(block: Draft) -> None:
    """Let each study go as far as it can, once a block's records are done."""
    for study in block.studies.open:
        for _ in range(STEPS_A_BLOCK_MAX):
            if not _step(block, study):
                break
    _forget(block)


def _step(block: Draft, study: StudyId) -> bool:
    """Let a study take one step; tell whether it did."""
    entry = block.study(study)
    if entry is None or not entry.is_open:
        return False
    step = Draft(block.state, block, block.context)
    if entry.state is StudyState.INVITING:
        is_full = len(entry.participants) >= entry.terms.wanted
        if is_full or entry.until_ms <= block.running_ms:
            learning_rounds.begin(step, study, entry)
    else:
        row = step.round(study, entry.round)
        assert row is not None, "a study that runs has a round"
        learning_rounds.advance(step, study, entry, row)
    block.take_over(step)
    return bool(step.writes)


def _forget(block: Draft) -> None:
    """Forget studies that ended long ago, and their rounds, a few rows in each block."""
    before_ms = block.context.time_ms - block.state.genesis.rules.keep_ms
    studies = block.studies
    left = FORGOTTEN_MAX
    kept = list(studies.ended)
    while kept and kept[0].ended_ms <= before_ms and left > 0:
        study = kept[0].study
        entry = block.study(study)
        assert entry is not None, "the list names studies that exist"
        first = max(1, entry.round - left + 1)
        for number in range(first, entry.round + 1):
            if block.round(study, number) is not None:
                block.drop(round_key(study, number))
        left -= entry.round - first + 2
        if first > 1:
            block.put_study(study, replace(entry, round=first - 1))
        else:
            block.drop(study_key(study))
            del kept[0]
    if len(kept) < len(studies.ended):
        block.put_studies(replace(studies, ended=tuple(kept)))


def due_ms(state: LedgerState) -> int | None:
    """Give the block time at which a study's step is over first; None when none goes on."""
    due: list[int] = []
    for study in state.studies.open:
        entry = state.study(study)
        assert entry is not None, "the list names studies that exist"
        row = state.round(study, entry.round)
        until_ms = entry.until_ms if row is None else row.due_ms
        due.append(state.in_block_time(until_ms))
    return min(due, default=None)
