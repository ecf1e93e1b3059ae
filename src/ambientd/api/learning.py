"""Federated learning as its users see it: studies, who takes part, and what rounds came to."""

import re
from collections.abc import Callable

import trio
from msgspec.structs import replace

from ambientd.api.counting import rounded_up
from ambientd.api.deciding import NOT_IN_TIME, outcome_of
from ambientd.api.learning_privacy import budget_of, epsilon_of, privacy_of, terms_of
from ambientd.api.learning_values import (
    BoundBudget,
    Budget,
    ExportModel,
    GetBudget,
    GetRound,
    JoinStudy,
    LeaveStudy,
    ListStudies,
    ModelFile,
    RoundFileReply,
    RoundInfo,
    ShowStudy,
    StartStudy,
    StopStudy,
    Studies,
    StudyDetail,
    StudyInfo,
)
from ambientd.api.materials import brought
from ambientd.api.naming import match_id
from ambientd.api.operations import OperationError
from ambientd.api.paging import check_place, page
from ambientd.api.privacy_standing import PrivacyStanding
from ambientd.api.registry import MODULE_MAGIC
from ambientd.api.round_files import round_file
from ambientd.api.under_key import fixed_ms, name_for
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import study_id
from ambientd.ledger.events import CheckpointClosed, RecordRejected
from ambientd.ledger.learning_entries import ROUNDS_KEPT, RoundEntry, StudyEntry
from ambientd.ledger.learning_events import StudyBegan, StudyEnded, StudyJoined
from ambientd.ledger.native_audits import unshown
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import NO_MODULE, Plan, RoundFile, RoundState, StudyId, Terms, within
from ambientd.model.learning_record import FlJoin, FlLeave, FlStop, FlStudy, StudyBody
from ambientd.ports.learning import Consent
from ambientd.roles.learning import book as lines
from ambientd.rules.studies import study_fault
from ambientd.rules.tolerances import (
    bounds_fault,
    bytes_a_sample,
    has_commitments,
    is_audited,
    repeat_fault,
    samples_repeated,
)
from ambientd.runtime.persistence import ends_of
from ambientd.runtime.service import Parts

UNTIL_MS = 600_000
MICRO = 1_000_000
GROUP_SIZE = 8
BATCH_DEADLINE_S = 10.0
RECEIPT_BYTES_MAX = 1024 * 1024
PLACE_MS = 10**15
_PLACE = re.compile(r"0/[0-9a-f]{64}|1/[0-9]{16}/[0-9a-f]{64}")


class Learning:
    """Answers what concerns studies."""

    def __init__(self, own_id: NodeId, parts: Parts, draw: Callable[[int], bytes]) -> None:
        self._id = own_id
        self._parts = parts
        self._state = parts.node.ledger
        self._host = parts.learning
        self._draw = draw
        self._asking = trio.Lock()  # one word at a time

    async def start(self, request: StartStudy) -> StudyInfo:
        """Begin a study; answer once the log has it."""
        plan = Plan(
            model=request.model,
            trainer=request.trainer,
            aggregation=request.aggregation,
            seed=sha256(request.seed.to_bytes(8, "big")),
            passes=request.passes,
            batch=request.batch,
            rate_micro=round(request.rate * MICRO),
            prox_micro=round(request.prox * MICRO),
            poisoned_permille=round(request.poisoned * 1_000),
            module=Digest(sha256(request.module)) if request.module else NO_MODULE,
            clip_micro=round(request.clip * MICRO),
            noise_milli=round(request.noise * 1_000),
            group_size=(request.group or GROUP_SIZE) if request.private else request.group,
            threshold=request.threshold,
            is_private=request.private,
        )
        if request.tolerance:
            plan = within(plan, max(1, round(request.tolerance * MICRO)))
        if request.module and not request.module.startswith(MODULE_MAGIC):
            raise OperationError("invalid", "the study's module is no WebAssembly binary")
        learner = await self._host.learner()
        fault = learner.plan_fault(plan)
        if fault is not None:
            raise OperationError("invalid", f"the study cannot be carried out: {fault}")
        model = await trio.to_thread.run_sync(learner.initial, plan)
        if request.module:
            await self._parts.blobs.put(request.module)
        body = FlStudy(
            nonce=name_for(self._draw(16)),
            name=request.name,
            plan=plan,
            terms=_terms(request),
            initial=await self._parts.blobs.put(model),
            model_size_bytes=len(model),
            until_ms=await fixed_ms(self._parts.now()) + UNTIL_MS,
        )
        fault = study_fault(body) or bounds_fault(body.plan, body.terms)
        if fault is not None:
            raise OperationError("invalid", fault)
        study = study_id(self._id, body)
        if self._state.study(study) is not None:
            return self._info(study)
        await self._bring(
            body, lambda event: isinstance(event, StudyBegan) and event.study == study
        )
        return self._info(study)

    async def list(self, request: ListStudies) -> Studies:
        """List the studies, those that go on first, then the others, the last one first."""
        check_place(request.after, _PLACE)
        known = self._state.studies
        places = {f"0/{study.hex()}": study for study in known.open}
        for each in known.ended:
            places[f"1/{PLACE_MS - each.ended_ms:016d}/{each.study.hex()}"] = each.study
        found, following = page(places, str, request.limit, request.after)
        return Studies(studies=[self._info(places[name]) for name in found], next=following)

    async def show(self, request: ShowStudy) -> StudyDetail:
        """Show a study with its rounds."""
        study = self._find(request.study)
        entry = self._entry(study)
        numbers = range(max(0, entry.round - ROUNDS_KEPT) + 1, entry.round + 1)
        found = ((number, self._state.round(study, number)) for number in numbers)
        every = _rounds(entry, [(n, row) for n, row in found if row is not None])
        left = [each for each in every if each.round > request.after]
        rounds = left[: request.limit]
        following = rounds[-1].round if len(left) > len(rounds) else None
        return StudyDetail(study=self._info(study), rounds=rounds, next=following)

    async def stop(self, request: StopStudy) -> StudyInfo:
        """End a study of this node."""
        study = self._find(request.study)
        if self._entry(study).is_open:
            await self._bring(
                FlStop(study=study),
                lambda event: isinstance(event, StudyEnded) and event.study == study,
            )
        return self._info(study)

    async def join(self, request: JoinStudy) -> StudyInfo:
        """Note which data the study may use here, durably, then tell the log."""
        study = self._find(request.study)
        entry = self._entry(study)
        if not entry.is_open:
            raise OperationError("invalid", f"study {study.hex()[:12]} is over")
        learner = await self._host.learner()
        fault = learner.plan_fault(entry.plan)
        if fault is not None:
            raise OperationError("invalid", f"the study cannot be carried out here: {fault}")
        fault = await trio.to_thread.run_sync(learner.data_fault, entry.plan, request.data)
        if fault is not None:
            raise OperationError("invalid", fault)
        body = FlJoin(study=study, said_ms=self._said_ms(entry))
        if has_commitments(entry.plan):
            rows = await trio.to_thread.run_sync(learner.lesson_data, entry.plan, request.data)
            samples = len(rows) // bytes_a_sample(entry.plan)
            body = replace(body, data=Digest(sha256(rows)), samples=samples)
            if is_audited(entry.plan):
                fault = repeat_fault(entry.plan, entry.terms, samples)
                if fault is not None:
                    raise OperationError("invalid", f"{request.data}: {fault}")
        limit_micro = _limit_micro(entry, request.epsilon)
        if not entry.plan.is_private:
            await self._join(body, request.data)
            return self._info(study)
        private = self._host.private_part()
        book = await private.book()
        known, terms = book.of(study), terms_of(entry.plan)
        refusal = terms and lines.worn(lines.allow(book, study, limit_micro), study, terms)
        if refusal and refusal.cause is lines.Cause.ALL_SPENT:
            hint = "`ambientctl fl budget --limit EPSILON` allows all studies more"
            raise OperationError("invalid", str(refusal), hint)
        await private.write(lambda book: lines.allow(book, study, limit_micro))
        try:
            await self._join(body, request.data)
        except OperationError as error:
            if error.code == "rejected":
                await private.write(lambda book: lines.take_back(book, study, known))
            raise
        return self._info(study)

    async def _join(self, body: FlJoin, data: str) -> None:
        """Consent, and tell the log; a consent to what the log refuses is not left behind."""
        study = body.study
        before = self._host.consents.load().get(study)
        self._consent(study, Consent(data))
        try:
            await self._say(body)
        except OperationError as error:
            if error.code == "rejected":
                self._consent(study, before)
            raise

    def standing(self) -> PrivacyStanding:
        """Tell in short what private studies have spent here."""
        found = budget_of(self._host.book(), self._state)
        return PrivacyStanding(studies=len(found.studies), epsilon=found.epsilon)

    async def budget(self, _: GetBudget) -> Budget:
        """Tell what private studies have spent here."""
        return budget_of(self._host.book(), self._state)

    async def bound(self, request: BoundBudget) -> Budget:
        """Bound what all private studies may spend together, durably; what was spent stays."""
        limit_micro = None if request.epsilon is None else int(request.epsilon * MICRO)
        await self._host.private_part().write(lambda book: lines.allow_all(book, limit_micro))
        return budget_of(self._host.book(), self._state)

    async def leave(self, request: LeaveStudy) -> StudyInfo:
        """Withdraw the consent here at once, then tell the log."""
        study = self._find(request.study)
        entry = self._entry(study)
        self._consent(study, None)
        if entry.is_open and self._id in entry.participants:
            await self._say(FlLeave(study=study, said_ms=self._said_ms(entry)))
        return self._info(study)

    async def export(self, request: ExportModel) -> ModelFile:
        """Give the present model as a file."""
        study = self._find(request.study)
        entry = self._entry(study)
        row = self._state.round(study, entry.round)
        holders = (entry.author, *(() if row is None else row.aggregators))
        size_bytes = entry.model_size_bytes
        model = await brought(self._parts.blobs, entry.model, size_bytes, holders, "the model")
        learner = await self._host.learner()
        form = request.form.value
        data = await trio.to_thread.run_sync(learner.export, entry.plan, model, form)
        return ModelFile(data=data, round=entry.done)

    async def receipt(self, request: GetRound) -> RoundFileReply:
        """Give what shows a stranger a round's outcome, once its batch is closed."""
        study, number = self._find(request.study), request.round
        row = self._state.round(study, number)
        if row is None or not row.receipt:
            hint = "`ambientctl fl show` lists the rounds"
            raise OperationError("not_ready", f"round {number} has not ended", hint)
        holders = (self._entry(study).author, *row.survivors)
        size_bytes = RECEIPT_BYTES_MAX
        kept = await brought(
            self._parts.blobs, row.receipt, size_bytes, holders, "the round's receipt"
        )
        ends = await self._parts.pump.writer.call(ends_of)
        async with self._parts.news.listen() as news:
            file = round_file(self._state, study, number, kept, ends)
            with trio.move_on_after(0 if isinstance(file, RoundFile) else BATCH_DEADLINE_S):
                async for told in news:
                    if isinstance(told.event, CheckpointClosed):
                        break
        file = round_file(self._state, study, number, kept, ends)
        if isinstance(file, str):
            raise OperationError("not_ready", file, "ask again in a few seconds")
        state = "pending" if file.anchor is None else "anchored"
        return RoundFileReply(data=encode(file), round=number, state=state)

    def _find(self, text: str) -> StudyId:
        known = self._state.studies
        names = [study.hex() for study in (*known.open, *(each.study for each in known.ended))]
        return StudyId(bytes.fromhex(match_id(text, names, "study")))

    def _entry(self, study: StudyId) -> StudyEntry:
        entry = self._state.study(study)
        assert entry is not None, "the list names studies that exist"
        return entry

    def _said_ms(self, entry: StudyEntry) -> int:
        before = [each.said_ms for each in entry.consents if each.node == self._id]
        return max([self._parts.now(), *(said_ms + 1 for said_ms in before)])

    def _consent(self, study: StudyId, consent: Consent | None) -> None:
        """Keep a consent, and those to studies that the ledger still knows."""
        consents = {
            each: kept
            for each, kept in self._host.consents.load().items()
            if self._state.study(each) is not None
        }
        consents.pop(study, None)
        if consent is not None:
            consents[study] = consent
        self._host.consents.keep(consents)

    async def _say(self, body: FlJoin | FlLeave) -> None:
        await self._bring(
            body,
            lambda event: (
                isinstance(event, StudyJoined)
                and (event.study, event.node) == (body.study, self._id)
            ),
        )

    async def _bring(self, body: StudyBody, is_done: Callable[[object], bool]) -> None:
        """Propose a record, and wait until the log has decided on it."""
        async with self._asking:
            event = await outcome_of(self._parts, self._id, body, is_done)
        if isinstance(event, RecordRejected):
            raise OperationError("rejected", f"nothing was done: {event.reason}")
        if event is None:
            hint = "it may still: look at `ambientctl fl list`"
            raise OperationError("unavailable", NOT_IN_TIME, hint)

    def _earlier(self, entry: StudyEntry) -> tuple[NodeId, ...]:
        """Give who took part and does no more: it has left, or was convicted."""
        known = ((each, self._state.node(each.node)) for each in entry.consents)
        return tuple(
            said.node for said, node in known if not said.is_in or node is None or node.tombstoned
        )

    def _info(self, study: StudyId) -> StudyInfo:
        entry = self._entry(study)
        plan, terms, earlier = entry.plan, entry.terms, self._earlier(entry)
        own = self._host.book().of(study) if plan.is_private else None
        row = self._state.round(study, entry.round)
        return StudyInfo(
            study=study.hex(),
            name=entry.name,
            author=entry.author.hex(),
            state=entry.state.name.lower(),
            reason=entry.reason,
            model=plan.model,
            trainer=plan.trainer,
            aggregation=plan.aggregation,
            private=plan.is_private,
            rounds=terms.rounds,
            done=entry.done,
            round=entry.round,
            participants=[n.hex() for n in entry.participants if n not in earlier],
            participants_min=terms.participants_min,
            takes_part=self._id in entry.participants,
            digest=entry.model.hex(),
            privacy=privacy_of(entry, own),
            earlier=tuple(node.hex() for node in earlier),
            audits=terms.audits,
            escrow_msat=entry.escrow_msat,
            round_state="" if row is None else row.state.name.lower(),
            fell_out=_fell_out(self._state, study, entry.round),
            tolerance=plan.tolerance_micro / MICRO,
            samples_repeated=samples_repeated(plan, terms) if is_audited(plan) else 0,
        )


def _fell_out(state: LedgerState, study: StudyId, number: int) -> int:
    """Count who was in the last round that ended, and has no part in its model."""
    rows = (state.round(study, each) for each in (number, max(0, number - 1)))
    last = next((row for row in rows if row is not None and row.ended_ms), None)
    return 0 if last is None else last.asked - len(last.survivors)


def _terms(request: StartStudy) -> Terms:
    return Terms(
        rounds=request.rounds,
        participants_min=request.participants_min,
        wanted=request.wanted or request.participants_min,
        invite_ms=round(request.invite_s * 1_000),
        train_ms=round(request.train_s * 1_000),
        step_ms=round(request.step_s * 1_000),
        samples_max=request.samples_max,
        module_size_bytes=len(request.module),
        audits=request.audits,
    )


def _limit_micro(entry: StudyEntry, epsilon: float | None) -> int | None:
    """Give what an owner lets a study spend; raise OperationError for what says nothing of it."""
    plan, fault = entry.plan, ""
    once, in_all = epsilon_of(plan, 1), epsilon_of(plan, entry.terms.rounds)
    if not plan.is_private:
        fault = "an open study hides nothing: there is no epsilon to limit" if epsilon else ""
    elif once is None or in_all is None:
        fault = "this study adds no noise: nothing bounds its epsilon" if epsilon else ""
    else:
        all_rounds = f"all {entry.terms.rounds} cost {rounded_up(in_all)}"
        costs = f"one round costs {rounded_up(once)}, {all_rounds}"
        if epsilon is None:
            fault = f"say with --epsilon how much privacy this study may spend here: {costs}"
        elif epsilon < once:
            fault = f"epsilon {epsilon:g} has room for no round: {costs}"
    if fault:
        raise OperationError("invalid", fault)
    return None if epsilon is None else round(epsilon * MICRO)


def _rounds(entry: StudyEntry, rows: list[tuple[int, RoundEntry]]) -> list[RoundInfo]:
    # An update that left its node and came too late is in no log, and is paid for all the same: so
    # each round counts that has come as far as training, and of those that ended every one.
    found, shown = [], rows[0][0] - 1 if rows else 0
    for number, row in rows:
        info = _round(number, row, is_open=not entry.plan.is_private)
        shown += row.state not in {RoundState.KEYS, RoundState.SHARES}
        if entry.plan.is_private:
            info = replace(info, epsilon=epsilon_of(entry.plan, shown))
        found.append(info)
    return found


def _round(number: int, row: RoundEntry, *, is_open: bool) -> RoundInfo:
    has_ended = row.state in {RoundState.DONE, RoundState.FAILED}
    score = row.score
    return RoundInfo(
        round=number,
        state=row.state.name.lower(),
        participants=row.asked if has_ended else len(row.roster),
        updates=row.updates if has_ended else len(row.contributed),
        survivors=len(row.survivors),
        left_out=[node.hex() for node in row.left_out],
        correct=score.correct,
        total=score.total,
        loss=score.loss_micro / MICRO / score.total if score.total else None,
        model=row.after.hex(),
        receipt=row.receipt.hex(),
        began_ms=row.began_ms,
        ended_ms=row.ended_ms,
        reason=row.reason,
        faulty=tuple(node.hex() for node in row.faulty),
        unshown=tuple(sorted(n.hex() for n in unshown(row, row.faulty))) if is_open else (),
    )
