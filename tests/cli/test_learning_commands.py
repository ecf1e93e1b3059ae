"""What a person writes about a study is read whole, and what is wrong with it is named."""

import argparse
from io import StringIO
from pathlib import Path

import msgspec
import pytest

from ambientd.api.learning_values import (
    Budget,
    JoinStudy,
    Privacy,
    RoundInfo,
    ShowStudy,
    StudyDetail,
    StudyInfo,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.learning_commands import read_study
from ambientd.cli.learning_parsers import _bound
from ambientd.cli.main import main
from ambientd.cli.privacy_words import bound_text, joined_text, privacy_fields, terms_text
from ambientd.errors import UsageError


def test_a_study_needs_a_name_and_a_model_and_has_defaults_for_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('name = "digits"\nmodel = "mlp:64,32,10"\nrate = 0.5\n')
    found = read_study(str(path))
    assert (found.name, found.model, found.rate) == ("digits", "mlp:64,32,10", 0.5)
    assert (found.rounds, found.aggregation) == (10, "fedavg")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "digits"\n', "model"),
        ('name = "a"\nmodel = "b"\nrounds = 0\n', "rounds"),
        ('name = "a"\nmodel = "b"\npoisoned = 0.9\n', "poisoned"),
        ('name = "a"\nmodel = "b"\nrunds = 3\n', "runds"),
        ("name = \n", ", line 1: not valid TOML: a value is missing"),
        (
            'name = "a"\nmodel = "b"\nrounds = "3"\n',
            "`rounds` must be a whole number, and is a text",
        ),
        (
            'name = "a"\nmodel = "b"\nrounds = 2.5\n',
            "`rounds` must be a whole number, and is a decimal number",
        ),
        (
            'name = "a"\nmodel = "b"\nmodule = 1\n',
            "`module` must be the path of a .wasm file, as a text",
        ),
        ('name = "a"\nmodel = "b"\nrate = [1]\n', "`rate` must be a number, and is a list"),
        ('name = "a"\nmodel = "b"\nrate = nan\n', "`rate` must be a number, and is nan"),
        ('name = "a"\nmodel = 5\n', "`model` must be a text, and is a whole number"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"study.toml.*{said}"):
        read_study(str(path))


def test_a_module_is_read_from_beside_the_study(tmp_path: Path) -> None:
    (tmp_path / "train.wasm").write_bytes(b"\0asm module")
    path = tmp_path / "study.toml"
    path.write_text('name = "a"\nmodel = "mlp:4,3,2"\nmodule = "train.wasm"\naudits = 2\n')
    found = read_study(str(path))
    assert (found.module, found.audits) == (b"\0asm module", 2)
    (tmp_path / "train.wasm").write_bytes(b"(module)")
    with pytest.raises(UsageError, match="no WebAssembly binary"):
        read_study(str(path))
    (tmp_path / "train.wasm").unlink()
    with pytest.raises(UsageError, match="train"):
        read_study(str(path))


def test_a_receipt_replaces_no_file_unless_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "kept.round"
    there.write_bytes(b"kept")
    arguments = ["--data-dir", str(tmp_path), "fl", "receipt", "abcd1234", "1", "--out", str(there)]
    assert main(arguments) == ExitCode.USAGE
    assert "--force" in capsys.readouterr().err
    assert main([*arguments, "--force"]) == ExitCode.UNREACHABLE, "now it asks the daemon"
    assert there.read_bytes() == b"kept"


OPEN = StudyInfo(
    study="ab" * 32,
    name="digits",
    author="cd" * 32,
    state="inviting",
    reason="",
    model="mlp:64,16,10",
    trainer="wasm",
    aggregation="fedavg",
    private=False,
    rounds=3,
    done=0,
    round=0,
    participants=[],
    participants_min=3,
    takes_part=False,
    digest="ef" * 32,
)
PRIVACY = Privacy(
    clip=1.0,
    noise=1.0,
    group=3,
    threshold=3,
    delta=1e-5,
    epsilon_round=4.753,
    epsilon_rounds=30.127,
    spent=0.0,
    limit=8.0,
    releases=0,
    wasted=0,
)


def test_who_is_shown_the_data_is_said_before_joining() -> None:
    audited = msgspec.structs.replace(OPEN, audits=1)
    assert "auditors" in dict(privacy_fields(audited))["privacy"]
    assert "auditors and members are given its data" in terms_text(audited, None)
    assert "whoever else asks has them, drawn or not" in terms_text(audited, None)
    assert "whoever asks those of all" in dict(privacy_fields(audited))["privacy"]
    assert "auditors" not in dict(privacy_fields(OPEN))["privacy"]
    assert "its data stay here" in terms_text(OPEN, None)


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        (None, "(115.93 times after one round, 10^13 times at the most that may be spent)"),
        (8.0, "at most 8.000 is spent here: this node leaves when one more round would pass that"),
        (8.0, "(115.93 times after one round, 2,981 times at the most that may be spent)"),
        (40.0, "10^13 times at the most"),
        (4.8, "121.51 times at the most"),
        (4.0, "(115.93 times after one round),"),
    ],
)
def test_what_all_rounds_may_cost_is_said_and_that_some_may_be_left(
    allowed: float | None, said: str
) -> None:
    private = msgspec.structs.replace(OPEN, private=True, privacy=PRIVACY)
    assert said in terms_text(private, allowed)


class Answering:
    """Answers whatever is asked of a study, and remembers it."""

    def __init__(self, study: StudyInfo) -> None:
        self.study = study
        self.asked: list[object] = []

    def __enter__(self) -> "Answering":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def call(self, _: object, request: object) -> object:
        self.asked.append(request)
        return StudyDetail(self.study, []) if isinstance(request, ShowStudy) else self.study


JOIN = ("fl", "join", "abcd", "--data", "digits:1/4", "--epsilon", "8")


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> Answering:
    answering = Answering(msgspec.structs.replace(OPEN, private=True, privacy=PRIVACY))
    monkeypatch.setattr("ambientd.cli.learning_commands.connect", lambda _: answering)
    return answering


def test_what_a_private_study_hides_is_said_in_lines(
    private: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*JOIN]) == ExitCode.DONE
    out, err = capsys.readouterr()
    assert (out, err) == (joined_text(private.study) + "\n", terms_text(private.study, 8.0) + "\n")
    assert "\nHidden: " in err
    assert "\ufffd" not in err


@pytest.mark.parametrize(
    ("typed", "more", "code", "joins"),
    [
        ("\n", (), ExitCode.FAILED, 0),
        ("y\n", (), ExitCode.DONE, 1),
        ("", ("--yes",), ExitCode.DONE, 1),
    ],
)
def test_at_a_terminal_nobody_takes_part_unasked(
    private: Answering,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    more: tuple[str, ...],
    code: ExitCode,
    joins: int,
) -> None:
    keys = StringIO(typed)
    monkeypatch.setattr(keys, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", keys)
    assert main([*JOIN, *more]) == code
    assert sum(isinstance(each, JoinStudy) for each in private.asked) == joins
    err = capsys.readouterr().err
    assert ("let this node train on digits:1/4 for it? [y/N]" in err) is (not more)


@pytest.mark.parametrize(
    ("epsilon", "said"),
    [
        (
            (),
            "say with --epsilon how much privacy this study may spend here: one round costs 4.753",
        ),
        (("--epsilon", "4.7"), "--epsilon 4.7 has room for no round: one round costs 4.753"),
    ],
)
def test_nobody_is_asked_for_a_consent_that_the_node_refuses(
    private: Answering,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    epsilon: tuple[str, ...],
    said: str,
) -> None:
    keys = StringIO("y\n")
    monkeypatch.setattr(keys, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", keys)
    assert main([*JOIN[:5], *epsilon]) == ExitCode.USAGE
    assert not any(isinstance(each, JoinStudy) for each in private.asked)
    err = capsys.readouterr().err
    assert said in err
    assert "let this node train" not in err


@pytest.mark.parametrize(
    ("limit", "epsilon", "said"),
    [
        (None, 1.0, "no bound over all studies"),
        (4.0, 1.0, "may spend epsilon 4 here: a release beyond"),
        (4.0, 4.0, "nothing more is shown"),
        (4.0, None, "nothing more is shown"),
    ],
)
def test_the_bound_over_all_studies_is_said_in_words(
    limit: float | None, epsilon: float | None, said: str
) -> None:
    assert said in bound_text(Budget(studies=[], epsilon=epsilon, delta=1e-5, limit=limit))


def test_a_bound_is_an_epsilon_nothing_at_all_or_none() -> None:
    assert [_bound(text) for text in ("none", "0", "4", "0.5")] == ["none", "0", "4.0", "0.5"]
    for text in ("-1", "much", ""):
        with pytest.raises(argparse.ArgumentTypeError, match=r"is no epsilon: .*none for no bound"):
            _bound(text)


def test_who_was_named_for_what_is_told_apart(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = msgspec.structs.replace(OPEN, audits=2, tolerance=0.001, samples_repeated=4_321)
    round_ = RoundInfo(
        round=1, state="done", participants=5, updates=5, survivors=4, left_out=[], correct=9,
        total=10, loss=0.5, model="ab", receipt="cd", began_ms=1, ended_ms=2, reason="",
        faulty=("aa", "bb", "cc"), unshown=("cc",),
    )  # fmt: skip
    answering = Answering(study)
    monkeypatch.setattr(answering, "call", lambda *_: StudyDetail(study, [round_]))
    monkeypatch.setattr("ambientd.cli.learning_commands.connect", lambda _: answering)
    assert main(["fl", "show", "abcd"]) == ExitCode.DONE
    out = capsys.readouterr().out
    assert "4321 at most, which others can repeat in time" in out
    titles, row = out.splitlines()[-2:]
    assert titles.endswith("NO TRAINING'S  NO ROWS")
    assert row.split()[-2:] == ["2", "1"]


def test_who_begins_a_study_within_a_tolerance_is_told_how_much_data_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    study = msgspec.structs.replace(OPEN, audits=2, tolerance=0.001, samples_repeated=4_321)
    monkeypatch.setattr("ambientd.cli.learning_commands.connect", lambda _: Answering(study))
    path = tmp_path / "study.toml"
    path.write_text('name = "digits"\nmodel = "mlp:64,32,10"\n')
    assert main(["fl", "start", str(path)]) == ExitCode.DONE
    out, err = capsys.readouterr()
    assert out == study.study + "\n"
    assert "each with 4321 samples at most" in err


def test_whoever_waits_for_participants_sees_how_many_have_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = msgspec.structs.replace(OPEN, participants=["01" * 32])
    seen = iter([OPEN, OPEN, one, msgspec.structs.replace(one, state="running"), OPEN])
    answering = Answering(OPEN)
    monkeypatch.setattr(answering, "call", lambda *_: StudyDetail(next(seen), []))
    monkeypatch.setattr("ambientd.cli.learning_commands.connect", lambda _: answering)
    monkeypatch.setattr("ambientd.cli.learning_commands.LOOK_S", 0.0)
    times = iter([0.0, 0.0, 0.0, 0.0, 9.0])
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    assert main(["fl", "watch", OPEN.study, "--timeout", "5"]) == ExitCode.FAILED
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[:2] == [
        "study abababababab is inviting: 0 take part, 3 are needed",
        "study abababababab is inviting: 1 take part, 3 are needed",
    ]
    assert len(told.err.splitlines()) == 3
