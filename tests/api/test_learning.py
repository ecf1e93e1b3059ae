"""A person begins a study, lets the node take part, follows it, and has the model as a file."""

from collections.abc import Awaitable
from pathlib import Path
from typing import cast

import pytest
import trio
from msgspec.structs import replace

from ambientd.adapters.line_file import LineFile
from ambientd.api import learning as api_learning
from ambientd.api import learning_values as values
from ambientd.api.learning_privacy import epsilon_of
from ambientd.api.offline import check_round
from ambientd.api.once import Once, done_once
from ambientd.api.operations import OperationError
from ambientd.api.under_key import KEYED, Keyed
from ambientd.codec.digest import sha256
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import RoundState, StudyId
from ambientd.model.learning_record import FlJoin
from ambientd.model.private_book import Book
from sim.learners import PARAMETERS, bytes_of
from tests.api.test_desk import Office, office
from tests.ledger.studies import GUESTS, Studied
from tests.ledger.studies import PRIVATE as PRIVATE_PLAN

STUDY = values.StartStudy(
    name="mean", model="numbers", rounds=3, participants_min=1, train_s=20, step_s=20
)


async def ended(place: Office, study: str) -> values.StudyDetail:
    while True:
        found = await place.desk.learning.show(values.ShowStudy(study=study))
        if found.study.state not in {"inviting", "running"}:
            return found
        await trio.sleep(0.05)


async def test_a_study_goes_from_its_beginning_to_a_model(tmp_path: Path) -> None:
    async with office(tmp_path) as place:
        learning = place.desk.learning
        begun = await learning.start(STUDY)
        assert (begun.state, begun.takes_part) == ("inviting", False)
        assert (begun.round_state, begun.fell_out) == ("", 0)
        with pytest.raises(OperationError, match="nowhere: no whole number"):
            await learning.join(values.JoinStudy(study=begun.study, data="nowhere"))
        assert place.parts.learning.consents.load() == {}
        joined = await learning.join(values.JoinStudy(study=begun.study[:8], data="8000"))
        assert joined.takes_part
        found = await ended(place, begun.study)
        assert (found.study.state, found.study.done) == ("done", 3)
        assert (found.study.round_state, found.study.fell_out) == ("done", 0)
        told = [(each.state, each.participants, each.updates, each.total) for each in found.rounds]
        assert told == [("done", 1, 1, PARAMETERS)] * 3
        given = await learning.receipt(values.GetRound(study=begun.study, round=2))
        report = check_round(given.data, place.node.ledger.cluster)
        assert report.valid, report.checks
        assert report.file is not None
        assert report.file.receipt.after.hex() == found.rounds[1].model
        exported = await learning.export(values.ExportModel(study=begun.study))
        assert exported.round == 3
        assert len(exported.data) == len(bytes_of([0] * PARAMETERS))
        listed = await learning.list(values.ListStudies())
        assert [each.study for each in listed.studies] == [begun.study]
        with pytest.raises(OperationError, match="is over"):
            await learning.join(values.JoinStudy(study=begun.study, data="1"))


async def test_native_training_is_audited_within_the_tolerance_that_a_study_names(
    tmp_path: Path,
) -> None:
    near = replace(STUDY, model="mlp:1,2,2", aggregation="median", audits=1, tolerance=0.001)
    async with office(tmp_path) as place:
        learning = place.desk.learning
        with pytest.raises(OperationError, match="poison below the tolerance is not seen"):
            await learning.start(replace(near, aggregation="fedavg"))
        with pytest.raises(OperationError, match="say how many"):
            await learning.start(replace(near, audits=0))
        begun = await learning.start(near)
        assert (begun.tolerance, begun.audits) == (0.001, 1)
        await learning.join(values.JoinStudy(study=begun.study, data="8000"))
        entry = place.node.ledger.study(StudyId(bytes.fromhex(begun.study)))
        assert entry is not None
        [consent] = entry.consents
        assert consent.samples == 1
        assert consent.data == sha256(bytes_of([8000, 0]))
        found = await ended(place, begun.study)
        assert (found.study.state, found.study.done) == ("done", 3)
        assert [each.faulty for each in found.rounds] == [()] * 3, "and who is honest is within"
        given = await learning.receipt(values.GetRound(study=begun.study, round=1))
        assert check_round(given.data, place.node.ledger.cluster).valid


async def test_a_study_under_a_key_is_begun_once_though_its_daemon_ends_meanwhile(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as place:
        learning = place.desk.learning
        is_cut_off = True

        async def start(request: values.StartStudy) -> values.StudyInfo:
            info = await learning.start(request)
            if is_cut_off:
                raise KeyboardInterrupt
            return info

        async def asked() -> values.StudyInfo:
            lines = LineFile(tmp_path / "keys")
            own = NodeId(place.owner.signer.public_key)
            once = Once(own, lines, place.parts.now, lambda: 0)
            KEYED.set(Keyed("k", b"the request"))
            handler = done_once({"fl.start": start}, once)["fl.start"]
            return await cast("Awaitable[values.StudyInfo]", handler(STUDY))

        with pytest.raises(KeyboardInterrupt):
            await asked()
        is_cut_off = False
        begun = await asked()
        assert (await asked()).study == begun.study
        known = await learning.list(values.ListStudies())
        assert [each.study for each in known.studies] == [begun.study]


async def test_a_node_that_leaves_withdraws_its_consent(tmp_path: Path) -> None:
    async with office(tmp_path) as place:
        learning = place.desk.learning
        begun = await learning.start(
            values.StartStudy(name="two", model="numbers", participants_min=2)
        )
        await learning.join(values.JoinStudy(study=begun.study, data="1"))
        assert len(place.parts.learning.consents.load()) == 1
        left = await learning.leave(values.LeaveStudy(study=begun.study))
        assert not left.takes_part
        assert place.parts.learning.consents.load() == {}
        stopped = await learning.stop(values.StopStudy(study=begun.study))
        assert stopped.state == "stopped"
        again = await learning.stop(values.StopStudy(study=begun.study))
        assert again.state == "stopped"
        assert again.participants == []
        assert again.earlier == (place.owner.signer.public_key.hex(),), "still told"
        assert again.escrow_msat == 0 < begun.escrow_msat


async def test_what_cannot_be_a_study_is_refused_with_a_reason(tmp_path: Path) -> None:
    async with office(tmp_path) as place:
        wrong = values.StartStudy(name="x", model="m", aggregation="none")
        with pytest.raises(OperationError, match="aggregation 'none'"):
            await place.desk.learning.start(wrong)
        with pytest.raises(OperationError, match="no study"):
            await place.desk.learning.show(values.ShowStudy(study="abcd1234"))


async def test_studies_and_rounds_come_in_pages(tmp_path: Path) -> None:
    async with office(tmp_path) as place:
        learning = place.desk.learning
        requests = [replace(STUDY, samples_max=1_000 + number) for number in range(4)]
        begun = [(await learning.start(each)).study for each in requests]
        await learning.stop(values.StopStudy(study=begun[0]))
        await learning.join(values.JoinStudy(study=begun[1], data="8000"))
        await ended(place, begun[1])
        seen, after = [], ""
        while True:
            found = await learning.list(values.ListStudies(limit=1, after=after))
            seen += [each.study for each in found.studies]
            if found.next is None:
                break
            after = found.next
        assert seen == [*sorted(begun[2:]), begun[1], begun[0]], "open ones first, then the latest"
        first = await learning.show(values.ShowStudy(study=begun[1], limit=2))
        assert ([each.round for each in first.rounds], first.next) == ([1, 2], 2)
        rest = await learning.show(values.ShowStudy(study=begun[1], after=2))
        assert ([each.round for each in rest.rounds], rest.next) == ([3], None)
        with pytest.raises(OperationError, match="no place"):
            await learning.list(values.ListStudies(after="2/x"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"aggregation": "multi-krum", "poisoned": 0.3, "participants_min": 5}, "7 participants"),
        ({"aggregation": "median", "poisoned": 0.4, "participants_min": 4}, "5 participants"),
        ({"aggregation": "fedavg", "poisoned": 0.1}, "stands no poisoned"),
        ({"aggregation": "median", "prox": 0.1}, "prox is of fedprox"),
        ({"aggregation": "fedavg", "prox": 0.1}, "prox is of fedprox"),
        ({"clip": 1.0}, "of private mode alone"),
        ({"threshold": 2}, "of private mode alone"),
        ({"private": True, "clip": 1.0, "poisoned": 0.1, "participants_min": 8}, "is of open"),
        ({"private": True, "clip": 1.0, "prox": 0.1, "participants_min": 8}, "prox is of fedprox"),
        ({"audits": 2}, "name one, or no audits"),
        ({"participants_min": 5, "wanted": 3}, "as many wanted as needed"),
        ({"trainer": "wasm", "module": b"\0asm", "model": "mlp:4,3,3,2"}, "one hidden layer"),
        ({"trainer": "wasm", "module": b"m", "model": "mlp:4,3,2"}, "is no WebAssembly binary"),
        (
            {"trainer": "wasm", "module": b"\0asm" + bytes(1 << 21), "model": "mlp:4,3,2"},
            "module has",
        ),
    ],
)
async def test_limits_that_contradict_one_another_are_refused_before_anything_is_sent(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    async with office(tmp_path) as place:
        request = values.StartStudy(**({"name": "x", "model": "numbers"} | changes))  # type: ignore[arg-type]
        with pytest.raises(OperationError, match=said):
            await place.desk.learning.start(request)
        assert place.node.ledger.studies.open == ()


PRIVATE = values.StartStudy(
    name="secret-mean",
    model="mlp:1,1,2",
    participants_min=2,
    private=True,
    clip=1.0,
    noise=4.0,
    group=2,
)


async def test_a_refused_join_of_a_private_study_leaves_no_consent_and_says_what_rounds_cost(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as place:
        learning = place.desk.learning
        begun = await learning.start(PRIVATE)
        assert begun.privacy is not None
        assert begun.privacy.epsilon_round is not None
        for epsilon, why in ((None, "say with --epsilon"), (0.1, "has room for no round")):
            asked = values.JoinStudy(study=begun.study, data="1", epsilon=epsilon)
            with pytest.raises(OperationError, match=why):
                await learning.join(asked)
            assert place.parts.learning.consents.load() == {}
        assert (await learning.budget(values.GetBudget())).studies == []
        open_study = await learning.start(STUDY)
        asked = values.JoinStudy(study=open_study.study, data="1", epsilon=1.0)
        with pytest.raises(OperationError, match="hides nothing"):
            await learning.join(asked)
        assert place.parts.learning.consents.load() == {}


async def test_an_owner_bounds_what_all_studies_spend_and_a_join_without_room_is_refused(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as place:
        learning, host = place.desk.learning, place.parts.learning
        study = (await learning.start(PRIVATE)).study
        bounded = await learning.bound(values.BoundBudget(epsilon=0.5))
        assert (bounded.limit, bounded.epsilon) == (0.5, 0)
        assert host.book().limit_micro == 500_000, "it is on disk before it is answered"
        asked = values.JoinStudy(study=study, data="1", epsilon=5.0)
        with pytest.raises(OperationError, match=r"0\.500 are allowed"):
            await learning.join(asked)
        assert (host.consents.load(), host.book().studies) == ({}, ())
        await learning.bound(values.BoundBudget(epsilon=2.0))
        await learning.join(asked)
        [line] = (await learning.budget(values.GetBudget())).studies
        assert line.limit == 5.0
        assert line.releases_left == 3, "the tighter of the two limits counts"
        freed = await learning.bound(values.BoundBudget(epsilon=None))
        assert freed.limit is None
        [line] = freed.studies
        assert line.releases_left is not None
        assert line.releases_left > 3


def test_the_epsilon_of_rounds_counts_what_came_too_late_for_the_log() -> None:
    study = Studied(PRIVATE_PLAN)
    for _ in range(2):
        study.say(*GUESTS)
    assert study.state is RoundState.TRAINING
    late = replace(study.row, state=RoundState.FAILED, updates=0, ended_ms=1)
    rounds = [(1, late), (2, late), (3, replace(study.row, state=RoundState.SHARES))]
    found = [each.epsilon for each in api_learning._rounds(study.entry, rounds)]
    once, twice = epsilon_of(PRIVATE_PLAN, 1), epsilon_of(PRIVATE_PLAN, 2)
    assert found == [once, twice, twice], "keys and shares alone cost nothing"


async def test_a_join_that_the_log_refuses_leaves_what_was_consented_to_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(study: StudyId, said_ms: int) -> FlJoin:
        return FlJoin(study=study, said_ms=said_ms, data=Digest(b"d" * 32), samples=1)

    async with office(tmp_path) as place:
        learning, host = place.desk.learning, place.parts.learning
        study = (await learning.start(PRIVATE)).study
        first = values.JoinStudy(study=study, data="1", epsilon=5.0)
        with monkeypatch.context() as patched:
            patched.setattr(api_learning, "FlJoin", refused)
            with pytest.raises(OperationError, match="name no data"):
                await learning.join(first)
            assert (host.consents.load(), host.book()) == ({}, Book()), "as if nothing was asked"
        await learning.join(first)
        consents, book = host.consents.load(), host.book()
        assert [each.data for each in consents.values()] == ["1"]
        with monkeypatch.context() as patched:
            patched.setattr(api_learning, "FlJoin", refused)
            with pytest.raises(OperationError, match="name no data"):
                await learning.join(values.JoinStudy(study=study, data="2", epsilon=50.0))
        assert (host.consents.load(), host.book()) == (consents, book), "nor other data, nor more"
        await learning.join(values.JoinStudy(study=study, data="2", epsilon=50.0))
        assert [each.data for each in host.consents.load().values()] == ["2"]
        assert [each.limit_micro for each in host.book().studies] == [50_000_000]
