"""A stranger does again what a certificate is about, and comes to the members' end."""

from functools import partial

import pytest
from msgspec.structs import replace

from ambientd.api.blame_replay import Replay, check_blame
from ambientd.api.module_pausing import PausingProcess
from ambientd.codec.canonical import encode
from ambientd.codec.statements import end_point, sign_segment, sign_verdict
from ambientd.model.blame import BlameFile, WrongResult, WrongStep
from tests.engines import engines
from tests.rules import blames
from tests.rules.blames import CLUSTER, DATA, SUM, TASK, wrong_at_once, wrong_result, wrong_step

ENGINE = engines()[0]
check = partial(check_blame, pinned=CLUSTER.id)


def here(engine: str = ENGINE, module: bytes | None = None, data: bytes | None = None) -> Replay:
    return Replay(PausingProcess(engine), module, data)


def replayed(file: BlameFile, engine: str = ENGINE) -> tuple[bool, str]:
    report = check(encode(blames.with_blobs(file)), replay=here(engine))
    last = report.checks[-1]
    assert last.name == "replay", report.checks
    assert last.ok is report.valid
    return last.ok, last.detail


@pytest.mark.parametrize("engine", engines())
def test_every_engine_comes_to_what_the_members_found(engine: str) -> None:
    for make in (wrong_result, wrong_step, wrong_at_once):
        ok, detail = replayed(make(), engine)
        assert ok, detail
        assert "not to what was claimed" in detail


def test_module_and_input_may_come_from_elsewhere() -> None:
    data = encode(wrong_step())
    without = check(data, replay=here(ENGINE))
    assert without.valid
    assert any("nothing was executed here" in each for each in without.trust)
    report = check(data, replay=here(ENGINE, SUM, DATA))
    assert report.valid
    names = [each.name for each in report.checks]
    assert names[-3:] == ["given module", "given input", "replay"]
    assert not any("nothing was executed here" in each for each in report.trust)
    wrong = check(data, replay=here(ENGINE, b"another", DATA))
    [fault] = [each for each in wrong.checks if not each.ok]
    assert fault.name == "given module"
    assert "the file given has the hash" in fault.detail


def test_a_quorum_that_lies_about_an_honest_node_is_found_out_by_the_replay() -> None:
    """Signatures and quorum hold; what the execution gives does not."""
    honest, lie = blames.right().result(), blames.wrong().result()
    verdicts = tuple(sign_verdict(CLUSTER.signer(n), TASK, lie) for n in blames.REFEREES)
    framed = WrongResult(task=blames.BLAMED, receipt=blames.receipt(honest), verdicts=verdicts)
    ok, detail = replayed(blames.file(framed))
    assert (ok, "as the blamed node said" in detail) == (False, True)
    evidence = wrong_at_once().evidence
    assert isinstance(evidence, WrongStep)
    stretch = evidence.verdicts[0]
    findings = tuple(
        sign_segment(CLUSTER.signer(n), TASK, 0, stretch.start, stretch.until_gas, end_point(lie))
        for n in blames.REFEREES
    )
    step = replace(evidence, receipt=blames.receipt(honest), verdicts=findings)
    ok, detail = replayed(blames.file(step))
    assert (ok, "as the blamed node said" in detail) == (False, True)


def test_two_wrong_sides_prove_nothing_to_whoever_executes() -> None:
    neither = replace(blames.right().result(), gas=7)
    verdicts = tuple(sign_verdict(CLUSTER.signer(n), TASK, neither) for n in blames.REFEREES)
    evidence = wrong_result().evidence
    assert isinstance(evidence, WrongResult)
    ok, detail = replayed(blames.file(replace(evidence, verdicts=verdicts)))
    assert (ok, "neither said that" in detail) == (False, True)


def test_a_result_of_another_version_is_not_compared() -> None:
    later = replace(blames.right().result(), rewriter_version=99)
    verdicts = tuple(sign_verdict(CLUSTER.signer(n), TASK, later) for n in blames.REFEREES)
    evidence = wrong_result().evidence
    assert isinstance(evidence, WrongResult)
    ok, detail = replayed(blames.file(replace(evidence, verdicts=verdicts)))
    assert (ok, "use a program of that version" in detail) == (False, True)


def test_what_is_no_certificate_is_executed_by_nobody() -> None:
    assert not check(b"nothing", replay=here()).valid
    assert check(encode(blames.contradiction("receipt")), replay=here()).valid
