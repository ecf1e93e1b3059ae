from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.statements import audit_id, sign_segment, sign_trace, sign_verdict
from ambientd.model.base import Digest, TaskId
from ambientd.model.blame import BlameFile, Contradiction, WrongResult, WrongStep
from ambientd.model.dispute import BEGINNING, TracePoint
from ambientd.rules.bisection import Stretch, targets
from ambientd.rules.blame_check import BlameReport, check_blame_file, state_of
from tests.rules import blames
from tests.rules.blames import CLUSTER, CULPRIT, TASK, wrong_at_once, wrong_result, wrong_step

FILES: dict[str, Callable[[], BlameFile]] = {
    "result": wrong_result,
    "step": wrong_step,
    "at once": wrong_at_once,
}


def check(file: BlameFile, **given: Any) -> BlameReport:
    return check_blame_file(encode(file), pinned=CLUSTER.id, **given)


def failed(report: BlameReport) -> list[str]:
    assert report.valid is (not any(not each.ok for each in report.checks))
    return [each.name for each in report.checks if not each.ok]


def step(file: BlameFile) -> WrongStep:
    assert isinstance(file.evidence, WrongStep)
    return file.evidence


def result_(file: BlameFile) -> WrongResult:
    assert isinstance(file.evidence, WrongResult)
    return file.evidence


def test_real_certificates_hold_and_every_check_is_named() -> None:
    names = {
        name: [each.name for each in check(blames.with_blobs(make())).checks]
        for name, make in FILES.items()
    }
    head, blobs = ["format", "cluster", "task", "receipt"], ["module", "input"]
    assert names == {
        "result": [*head, "referees", *blobs],
        "step": [*head, "traces", "referees", "state", *blobs],
        "at once": [*head, "traces", "referees", "state", *blobs],
    }
    for make in FILES.values():
        report = check(make())
        assert report.valid, report.checks
        assert all(each.detail for each in report.checks)


def test_an_answer_that_stands_on_another_s_state_blames_nobody() -> None:
    (_, whole), (_, two) = blames.on_another_s_word()
    assert failed(check(whole)) == ["receipt"]
    [receipt] = [each for each in check(whole).checks if each.name == "receipt"]
    assert "whose word was false" in receipt.detail
    assert failed(check(two)) == ["statements"]


@pytest.mark.parametrize("kind", blames.KINDS)
def test_two_statements_that_exclude_each_other_convict_without_any_referee(kind: str) -> None:
    file = blames.contradiction(kind)
    assert check(file).valid
    assert isinstance(file.evidence, Contradiction)
    same = replace(file.evidence, second=file.evidence.first)
    assert failed(check(replace(file, evidence=same))) == ["statements"]
    assert failed(check(replace(file, culprit=CLUSTER.node(0)))) == ["statements"]
    other = replace(file.evidence, kind="another")
    assert failed(check(replace(file, evidence=other))) == ["statements"]


def test_statements_of_other_documents_are_for_their_own_judge() -> None:
    evidence = Contradiction(kind="telemetry", first=b"a", second=b"b")
    file = blames.file(evidence)
    assert failed(check(file)) == ["statements"]
    assert check(file, judge=lambda *_: CLUSTER.node(CULPRIT)).valid
    assert failed(check(file, judge=lambda *_: CLUSTER.node(0))) == ["statements"]


def test_a_certificate_fits_sixteen_kilobytes_beside_its_pages() -> None:
    assert len(encode(wrong_result())) < 16 << 10
    certificate = wrong_step()
    assert len(encode(certificate)) - len(step(certificate).state) < 16 << 10


def test_a_small_quorum_or_one_from_no_committee_convicts_nobody() -> None:
    for name, make in FILES.items():
        file = make()
        evidence: Any = file.evidence
        few = replace(evidence, verdicts=evidence.verdicts[:-1])
        twice = replace(evidence, verdicts=(*evidence.verdicts[:2], evidence.verdicts[0]))
        none = replace(evidence, verdicts=())
        for changed in (few, twice, none):
            assert "referees" in failed(check(replace(file, evidence=changed))), name
    evidence = result_(wrong_result())
    guest = sign_verdict(CLUSTER.signer(40), TASK, evidence.verdicts[0].result)
    strangers = replace(evidence, verdicts=(*evidence.verdicts[:2], guest))
    assert failed(check(replace(wrong_result(), evidence=strangers))) == ["referees"]


def test_the_findings_of_an_audit_are_about_the_task_that_it_executes_again() -> None:
    evidence, found = result_(wrong_result()), blames.right().result()

    def found_in(*tasks: TaskId) -> BlameReport:
        verdicts = tuple(
            sign_verdict(CLUSTER.signer(number), task, found)
            for number, task in zip(blames.REFEREES, tasks, strict=True)
        )
        return check(replace(wrong_result(), evidence=replace(evidence, verdicts=verdicts)))

    first, second = audit_id(TASK, 0), audit_id(TASK, 1)
    assert found_in(second, second, second).valid
    assert failed(found_in(first, second, second)) == ["referees"]
    assert failed(found_in(*[audit_id(TASK, 16)] * 3)) == ["referees"]


def test_referees_who_found_what_was_claimed_convict_nobody() -> None:
    evidence = result_(wrong_result())
    lie = evidence.receipt.receipt.result
    verdicts = tuple(sign_verdict(CLUSTER.signer(n), TASK, lie) for n in blames.REFEREES)
    same = replace(wrong_result(), evidence=replace(evidence, verdicts=verdicts))
    assert failed(check(same)) == ["referees"]
    stretch = step(wrong_step()).verdicts[0]
    claim = blames.wrong().point(stretch.until_gas)
    assert failed(check(refereed(stretch.start, stretch.until_gas, claim))) == ["referees"]


def refereed(start: TracePoint, until_gas: int, end: TracePoint) -> BlameFile:
    """The certificate with another finding, which all referees signed."""
    verdicts = tuple(
        sign_segment(CLUSTER.signer(n), TASK, 0, start, until_gas, end) for n in blames.REFEREES
    )
    return replace(wrong_step(), evidence=replace(step(wrong_step()), verdicts=verdicts))


def test_only_the_culprits_own_word_on_both_ends_of_the_stretch_convicts() -> None:
    stretch = step(wrong_step()).verdicts[0]
    elsewhere = replace(stretch.start, root=bytes(32))
    assert failed(check(refereed(elsewhere, stretch.until_gas, stretch.end))) == ["traces", "state"]
    # A finding at a gas index that was never asked for excludes nothing that was said.
    report = check(refereed(stretch.start, stretch.until_gas - 1, stretch.end))
    assert failed(report) == ["traces"]
    for kept in ((), step(wrong_step()).traces[1:]):
        fewer = replace(step(wrong_step()), traces=kept)
        assert "traces" in failed(check(replace(wrong_step(), evidence=fewer)))


def test_an_honest_party_cannot_be_framed_with_its_traces_and_true_findings() -> None:
    """Whatever true finding stands beside an honest party's traces, nothing follows."""
    honest = blames.right()
    until_gas = blames.until_gas_of_all()
    first = blames.trace(BEGINNING, until_gas, honest)
    second = blames.trace(first.points[5], first.points[6].gas_index, honest)
    receipt = blames.receipt(honest.result())
    for start, until in (
        (BEGINNING, until_gas),
        (BEGINNING, first.points[3].gas_index),
        (first.points[5], first.points[6].gas_index),
        (first.points[5], first.points[5].gas_index + 1),
    ):
        verdicts = tuple(
            sign_segment(CLUSTER.signer(n), TASK, 0, start, until, honest.point(until))
            for n in blames.REFEREES
        )
        state = honest.at(start.gas_index) if start != BEGINNING else None
        evidence = WrongStep(
            task=blames.BLAMED,
            receipt=receipt,
            traces=(first, second),
            verdicts=verdicts,
            state=b"" if state is None else state.data,  # type: ignore[union-attr]
        )
        assert not check(blames.file(evidence)).valid


def test_a_stretch_that_ends_before_it_begins_frames_nobody() -> None:
    """Whoever goes on from behind a target comes to no point of it, and no lie is in that."""
    honest, until_gas = blames.right(), blames.until_gas_of_all()
    first = blames.trace(BEGINNING, until_gas, honest)
    start = first.points[5]
    second = blames.trace(start, first.points[6].gas_index, honest)
    asked = targets(Stretch(BEGINNING, until_gas, (BEGINNING, BEGINNING)))[0]
    end = honest.point(start.gas_index + 1)
    verdicts = tuple(
        sign_segment(CLUSTER.signer(n), TASK, 0, start, asked, end) for n in blames.REFEREES
    )
    evidence = WrongStep(
        task=blames.BLAMED,
        receipt=blames.receipt(honest.result()),
        traces=(first, second),
        verdicts=verdicts,
        state=honest.at(start.gas_index).data,  # type: ignore[union-attr]
    )
    assert failed(check(blames.file(evidence))) == ["traces"]


def test_a_pass_beside_a_trace_is_no_contradiction() -> None:
    said = blames.trace(BEGINNING, blames.until_gas_of_all(), blames.right())
    nothing = replace(said, points=(), state=Digest(bytes(32)), state_size_bytes=0)
    passed = sign_trace(CLUSTER.signer(CULPRIT), nothing)
    for one, two in ((said, passed), (passed, said)):
        words = Contradiction(kind="trace", first=encode(one), second=encode(two))
        assert failed(check(blames.file(words))) == ["statements"]


def test_a_state_is_the_one_that_was_signed() -> None:
    evidence = step(wrong_step())
    other = blames.right().at(evidence.verdicts[0].start.gas_index + 1_000)
    for data in (b"", evidence.state[:-1], other.data):  # type: ignore[union-attr]
        changed = replace(evidence, state=data)
        assert failed(check(replace(wrong_step(), evidence=changed))) == ["state"]
        assert isinstance(state_of(changed), str)
    here = replace(step(wrong_at_once()), state=evidence.state)
    assert failed(check(replace(wrong_at_once(), evidence=here))) == ["state"]


def test_another_cluster_key_module_or_input_shows() -> None:
    for make in FILES.values():
        assert failed(check_blame_file(encode(make()), pinned=bytes(32))) == ["cluster"]
        assert "receipt" in failed(check(replace(make(), culprit=CLUSTER.node(0))))
        assert failed(check(replace(make(), module=b"another"))) == ["module"]
        assert failed(check(replace(make(), input=b"another"))) == ["input"]


def test_what_remains_to_be_trusted_is_said() -> None:
    without = check_blame_file(encode(wrong_step()))
    assert any("anyone can invent a cluster" in each for each in without.trust)
    assert any("nothing was executed here" in each for each in check(wrong_step()).trust)
    replayed = check(wrong_step(), replayed=True)
    assert not any("conspired" in each for each in replayed.trust)
    assert len(check(blames.contradiction("receipt")).trust) == 1


def places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every place in a plain value that holds bytes, a text or a number."""
    if isinstance(value, list):
        return [found for n, each in enumerate(value) for found in places(each, (*path, n))]
    return [] if value is None or value in (b"", "") else [path]


def changed_at(value: Any, path: tuple[Any, ...]) -> Any:
    if not path:
        if isinstance(value, bytes):
            return bytes([value[0] ^ 1]) + value[1:]
        return value + 1 if isinstance(value, int) else value + "x"
    copy = list(value)
    copy[path[0]] = changed_at(value[path[0]], path[1:])
    return copy


@pytest.mark.parametrize("name", [*FILES, *blames.KINDS])
def test_no_field_can_be_changed_unnoticed(name: str) -> None:
    made = blames.with_blobs(FILES[name]()) if name in FILES else blames.contradiction(name)
    plain = msgspec.msgpack.decode(encode(made))
    untouched = []
    for path in places(plain):
        data = msgspec.msgpack.encode(changed_at(plain, path))
        if check_blame_file(data, pinned=CLUSTER.id).valid:
            untouched.append(path)
    assert untouched == []


@settings(deadline=None)
@given(data=st.binary(max_size=300))
def test_no_bytes_make_the_check_raise(data: bytes) -> None:
    assert not check_blame_file(data).valid


@settings(deadline=None, max_examples=150)
@given(st.data(), st.sampled_from(sorted(FILES)))
def test_no_damage_makes_the_check_raise_or_hold(data: st.DataObject, name: str) -> None:
    whole = bytearray(encode(FILES[name]()))
    at = data.draw(st.integers(0, min(len(whole), 6_000) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    assert not check_blame_file(bytes(whole), pinned=CLUSTER.id).valid


def test_a_task_beyond_all_limits_is_no_task() -> None:
    evidence = result_(wrong_result())
    for change in ({"memory_bytes_max": 1}, {"gas_max": 1 << 63}, {"wall_ms_max": -1}):
        task = replace(evidence.task, spec=replace(evidence.task.spec, **change))
        bent = replace(wrong_result(), evidence=replace(evidence, task=task))
        assert failed(check(bent))[0] == "task"


def test_long_lists_are_refused_before_anything_is_computed() -> None:
    evidence = result_(wrong_result())
    many = replace(evidence, verdicts=evidence.verdicts[:1] * 129)
    traces = replace(step(wrong_step()), traces=step(wrong_step()).traces * 2)
    for file in (
        replace(wrong_result(), evidence=many),
        replace(wrong_step(), evidence=traces),
        replace(wrong_result(), version=9),
        replace(wrong_result(), epochs=(b"",) * 1_025),
        blames.file(Contradiction(kind="a\nb", first=b"", second=b"")),
        replace(blames.contradiction("receipt"), input=b""),
    ):
        assert failed(check(file)) == ["format"]


def test_a_trace_signed_for_another_task_or_by_another_is_no_word_of_the_culprits() -> None:
    evidence = step(wrong_step())
    second, first = evidence.traces
    foreign = sign_trace(CLUSTER.signer(CULPRIT), replace(first, task=bytes(32)))  # type: ignore[arg-type]
    others = sign_trace(CLUSTER.signer(1), first)
    for trace in (foreign, others):
        changed = replace(evidence, traces=(second, trace))
        assert failed(check(replace(wrong_step(), evidence=changed)))[0] == "traces"
