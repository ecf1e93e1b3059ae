"""ambientctl fl: studies of federated learning, and this node's part in them."""

import math
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from ambientd.api import learning_operations as operations
from ambientd.api.client import Client
from ambientd.api.learning_values import (
    BoundBudget,
    ExportModel,
    GetBudget,
    GetRound,
    JoinStudy,
    LeaveStudy,
    ListStudies,
    ModelForm,
    RoundInfo,
    ShowStudy,
    StartStudy,
    StopStudy,
    StudyInfo,
)
from ambientd.api.misfits import misfit_of
from ambientd.api.whole_lists import pages, whole
from ambientd.cli.console import (
    CommonArguments,
    confirm,
    connect,
    in_words,
    is_terminal,
    print_fields,
    print_json,
    print_line,
    print_table,
    short,
    tell,
    warn,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import check_new, check_writable, read_file, read_module, write_file
from ambientd.cli.privacy_words import (
    bound_text,
    budget_row,
    epsilon_text,
    joined_text,
    privacy_fields,
    terms_text,
    together_text,
)
from ambientd.cli.receipt_commands import fingerprint_of, report_lines
from ambientd.config.load import decode_text
from ambientd.config.toml_words import toml_fault
from ambientd.errors import UsageError

FILE_BYTES_MAX = 64 * 1024
MODEL_BYTES_MAX = 64 * 1024 * 1024
LOOK_S = 0.5
_INVITING = "inviting"
_OPEN = frozenset({_INVITING, "running"})


class StartArguments(CommonArguments, Protocol):
    """Options of `fl start`."""

    file: str


class StudyArguments(CommonArguments, Protocol):
    """Options of commands on one study."""

    study: str


class ListArguments(CommonArguments, Protocol):
    """Options of `fl list`."""

    limit: int


class WatchArguments(StudyArguments, Protocol):
    """Options of `fl watch`."""

    timeout: float


class JoinArguments(StudyArguments, Protocol):
    """Options of `fl join`."""

    data: str
    epsilon: float | None
    yes: bool


class BudgetArguments(CommonArguments, Protocol):
    """Options of `fl budget`."""

    limit: str | None


class ExportArguments(StudyArguments, Protocol):
    """Options of `fl export`."""

    out: str
    force: bool


class ReceiptArguments(StudyArguments, Protocol):
    """Options of `fl receipt`."""

    round: int
    out: str | None
    force: bool


class VerifyArguments(CommonArguments, Protocol):
    """Options of `fl verify`."""

    file: str
    cluster: str | None
    model: str | None


def read_study(path: str) -> StartStudy:
    """Read what is to be trained from a TOML file; raise UsageError naming what is wrong."""
    text = decode_text(read_file(path, "study", FILE_BYTES_MAX), path)
    try:
        found = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        line, words = toml_fault(error, text)
        place = f"{path}, line {line}" if line else path
        raise UsageError(f"{place}: not valid TOML: {words}") from error
    if (named := found.get("module")) is not None:
        if not isinstance(named, str):
            raise UsageError(f"{path}: `module` must be the path of a .wasm file, as a text")
        found["module"] = read_module(str(Path(path).parent / named))
    for name, value in found.items():
        # It fits no bound, and would be called too small.
        if isinstance(value, float) and math.isnan(value):
            raise UsageError(f"{path}: `{name}` must be a number, and is nan")
    try:
        return msgspec.convert(found, StartStudy)
    except msgspec.ValidationError as error:
        msg = f"{path}: {misfit_of(error)}; docs/cli.md lists the fields of a study"
        raise UsageError(msg) from error


def start(arguments: StartArguments) -> ExitCode:
    """Begin a study."""
    request = read_study(arguments.file)
    with connect(arguments) as client:
        answer = client.call(operations.FL_START, request)
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    print_line(answer.study)
    bound = " --epsilon EPSILON" if answer.privacy and answer.privacy.epsilon_round else ""
    tell(f"nodes take part with `ambientctl fl join {short(answer.study)} --data WHERE{bound}`")
    if answer.tolerance:
        tell(f"each with {answer.samples_repeated} samples at most, which others repeat in time")
    return ExitCode.DONE


def list_studies(arguments: ListArguments) -> ExitCode:
    """List the studies."""
    with connect(arguments) as client:
        found = pages(client.call, operations.FL_LIST, ListStudies(), arguments.limit)
        answer = whole(found, "studies")
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    if not answer.studies:
        print_line("no study is known; `ambientctl fl start` begins one")
        return ExitCode.DONE
    columns = ("STUDY", "NAME", "STATE", "ROUNDS", "PARTICIPANTS", "HERE")
    print_table(columns, [_row(each) for each in answer.studies])
    if answer.next is not None:
        tell("there are more: --limit N shows so many")
    return ExitCode.DONE


def _row(study: StudyInfo) -> Sequence[str]:
    return (
        short(study.study),
        study.name,
        study.state,
        f"{study.done} of {study.rounds}",
        str(len(study.participants)),
        "takes part" if study.takes_part else "-",
    )


def show(arguments: StudyArguments) -> ExitCode:
    """Show a study, round by round."""
    with connect(arguments) as client:
        answer = client.call(operations.FL_SHOW, ShowStudy(study=arguments.study))
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    study = answer.study
    earlier = [("took part earlier", ", ".join(map(short, study.earlier)))] if study.earlier else []
    print_fields(
        [
            ("study", study.study),
            ("name", study.name),
            ("begun by", study.author),
            ("state", study.state + (f": {study.reason}" if study.reason else "")),
            ("model", f"{study.model}, SHA-256 {study.digest}"),
            ("training", f"{study.trainer}, {study.aggregation}"),
            *privacy_fields(study),
            *_audit_fields(study),
            ("rounds", f"{study.done} of {study.rounds}"),
            ("participants", ", ".join(map(short, study.participants)) or "none"),
            *earlier,
        ]
    )
    if answer.rounds:
        print_line()
        columns: Sequence[str]
        columns = ("ROUND", "STATE", "UPDATES", "COUNTED", "LEFT OUT", "ACCURACY", "LOSS")
        rows = [_round_row(each) for each in answer.rounds]
        if study.private:
            columns = (*columns[:-2], "EPSILON", "FALSE SHARES")
            rows = [_private_row(each) for each in answer.rounds]
        elif study.tolerance:
            columns = (*columns, "NO TRAINING'S", "NO ROWS")
            rows = [_audited_row(each) for each in answer.rounds]
        print_table(columns, rows)
    return ExitCode.DONE


def _audit_fields(study: StudyInfo) -> Sequence[tuple[str, str]]:
    if not study.audits:
        return []
    found = [("audits", f"{study.audits} a round")]
    if study.tolerance:
        within = f"{study.audits} a round, within {study.tolerance:g} of what it moves"
        samples = f"{study.samples_repeated} at most, which others can repeat in time"
        found = [("audits", within), ("samples", samples)]
    return found


def _round_row(each: RoundInfo) -> Sequence[str]:
    counted = each.survivors - len(each.left_out)
    loss = "-" if each.loss is None else f"{each.loss:.3f}"
    row = (str(each.round), each.state, str(each.updates), str(counted))
    return (*row, str(len(each.left_out)), _accuracy(each), loss)


def _private_row(each: RoundInfo) -> Sequence[str]:
    # Nobody scores a private model: what is right on held-out data would tell of it.
    return (*_round_row(each)[:-2], epsilon_text(each.epsilon), str(len(each.faulty)))


def _audited_row(each: RoundInfo) -> Sequence[str]:
    far = len(each.faulty) - len(each.unshown)
    return (*_round_row(each), str(far), str(len(each.unshown)))


def _accuracy(each: RoundInfo) -> str:
    return f"{each.correct / each.total:.1%}" if each.total else "-"


def watch(arguments: WatchArguments) -> ExitCode:
    """Tell each round as it ends, until the study has."""
    end_s = time.monotonic() + arguments.timeout
    with connect(arguments) as client:
        return _follow(arguments, client, end_s)


def _follow(arguments: WatchArguments, client: Client, end_s: float) -> ExitCode:
    told = 0
    before = ""
    while True:
        # The round under way is shown again until it has ended.
        answer = client.call(operations.FL_SHOW, ShowStudy(study=arguments.study, after=told))
        ended = [each for each in answer.rounds if each.ended_ms and each.round > told]
        for each in ended:
            told = each.round
            if arguments.as_json:
                print_json(each)
            else:
                print_line(_sentence(each))
        if ended:
            sys.stdout.flush()
        study = answer.study
        # Owners may take their time: whoever waits for them sees how many have come.
        if study.state == _INVITING and (waiting := _waiting(study)) != before:
            before = waiting
            tell(waiting)
        if study.state not in _OPEN:
            reason = f": {study.reason}" if study.reason else ""
            tell(f"study {short(study.study)} is {study.state}{reason}")
            return ExitCode.DONE if study.state == "done" else ExitCode.FAILED
        if time.monotonic() > end_s:
            warn(f"ambientctl: study {short(study.study)} is still {study.state}")
            return ExitCode.FAILED
        time.sleep(LOOK_S)


def _waiting(study: StudyInfo) -> str:
    have = f"{len(study.participants)} take part, {study.participants_min} are needed"
    return f"study {short(study.study)} is {study.state}: {have}"


def _sentence(each: RoundInfo) -> str:
    cost = "" if each.epsilon is None else f", epsilon {epsilon_text(each.epsilon)} at most so far"
    if each.state == "failed":
        return f"round {each.round}: failed: {each.reason}{cost}"
    counted = each.survivors - len(each.left_out)
    text = f"round {each.round}: {counted} of {each.updates} updates{cost}"
    return f"{text}, accuracy {_accuracy(each)}" if each.total else text


def stop(arguments: StudyArguments) -> ExitCode:
    """End a study."""
    with connect(arguments) as client:
        answer = client.call(operations.FL_STOP, StopStudy(study=arguments.study))
    return _report(arguments, answer, f"study {short(answer.study)} is {answer.state}")


def join(arguments: JoinArguments) -> ExitCode:
    """Take part in a study, once it was said what that shows and it is meant.

    Where nobody can be asked the command itself is the consent.
    """
    request = JoinStudy(study=arguments.study, data=arguments.data, epsilon=arguments.epsilon)
    with connect(arguments) as client:
        found = client.call(operations.FL_SHOW, ShowStudy(study=arguments.study, limit=1)).study
        for line in terms_text(found, arguments.epsilon).splitlines():
            tell(line)
        _check_epsilon(found, arguments.epsilon)
        question = f"let this node train on {arguments.data} for it?"
        if is_terminal() and not confirm(question, is_sure=arguments.yes):
            warn("ambientctl: this node takes no part in it")
            return ExitCode.FAILED
        answer = client.call(operations.FL_JOIN, request)
    return _report(arguments, answer, joined_text(answer))


def _check_epsilon(study: StudyInfo, epsilon: float | None) -> None:
    """Raise UsageError where the node refuses whatever its owner answers."""
    once = study.privacy.epsilon_round if study.privacy else None
    if once is None or (epsilon is not None and epsilon >= once):
        return
    if epsilon is None:
        msg = "say with --epsilon how much privacy this study may spend here"
    else:
        msg = f"--epsilon {epsilon:g} has room for no round"
    raise UsageError(f"{msg}: one round costs {epsilon_text(once)}")


def budget(arguments: BudgetArguments) -> ExitCode:
    """Show what private studies have spent on this node, or bound what all may spend together."""
    with connect(arguments) as client:
        if arguments.limit is None:
            answer = client.call(operations.FL_BUDGET, GetBudget())
        else:
            epsilon = None if arguments.limit == "none" else float(arguments.limit)
            answer = client.call(operations.FL_BOUND, BoundBudget(epsilon=epsilon))
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    if not answer.studies:
        print_line("no private study was ever let in here: nothing is spent")
    else:
        columns = ("STUDY", "NAME", "EPSILON", "ALLOWED", "RELEASES", "WASTED", "LEFT")
        print_table(columns, [budget_row(each) for each in answer.studies])
        print_line(together_text(answer))
    print_line(bound_text(answer))
    return ExitCode.DONE


def leave(arguments: StudyArguments) -> ExitCode:
    """Take part no more."""
    with connect(arguments) as client:
        answer = client.call(operations.FL_LEAVE, LeaveStudy(study=arguments.study))
    return _report(arguments, answer, f"this node takes no part in study {short(answer.study)}")


def export(arguments: ExportArguments) -> ExitCode:
    """Write a study's present model to a file."""
    ending = arguments.out.rpartition(".")[2]
    if ending not in set(ModelForm):
        msg = f"{arguments.out}: a model is written as .npz or .onnx; choose one of these endings"
        raise UsageError(msg)
    check_writable(arguments.out)
    check_new(arguments.out, is_forced=arguments.force)
    request = ExportModel(study=arguments.study, form=ModelForm(ending))
    with connect(arguments) as client:
        answer = client.call(operations.FL_EXPORT, request)
    write_file(arguments.out, answer.data)
    if arguments.as_json:
        print_json({"file": arguments.out, "round": answer.round})
    else:
        print_line(f"{arguments.out}: the model after {in_words(answer.round, 'round')}")
    return ExitCode.DONE


def receipt(arguments: ReceiptArguments) -> ExitCode:
    """Write what shows a stranger a round's outcome."""
    path = arguments.out or f"{arguments.study[:12]}-{arguments.round}.round"
    check_writable(path)
    check_new(path, is_forced=arguments.force)
    request = GetRound(study=arguments.study, round=arguments.round)
    with connect(arguments) as client:
        answer = client.call(operations.FL_RECEIPT, request)
    write_file(path, answer.data)
    if arguments.as_json:
        print_json({"file": path, "round": answer.round, "state": answer.state})
    else:
        print_line(path)
    return ExitCode.DONE


def verify(arguments: VerifyArguments) -> ExitCode:
    """Check a round's file offline."""
    from ambientd.api.offline import RECEIPT_BYTES_MAX, check_round

    data = read_file(arguments.file, "round", RECEIPT_BYTES_MAX)
    model = _model_of(arguments.model) if arguments.model else None
    report = check_round(data, fingerprint_of(arguments.cluster), model)
    if arguments.as_json:
        checks = [{"name": c.name, "ok": c.ok, "detail": c.detail} for c in report.checks]
        print_json({"valid": report.valid, "checks": checks, "trust": list(report.trust)})
    else:
        for line in report_lines(arguments.file, report):
            print_line(line)
    return ExitCode.DONE if report.valid else ExitCode.NOT_VERIFIED


def _model_of(path: str) -> bytes:
    """Read a model as a round names it, from an export or as it lies among the blobs."""
    from ambientd.api.offline import exported_model

    data = read_file(path, "model", MODEL_BYTES_MAX)
    if path.endswith(".onnx"):
        msg = f"{path}: an .onnx is not compared; `ambientctl fl export --out FILE.npz` is"
        raise UsageError(msg)
    return exported_model(data, path) if path.endswith(".npz") else data


def _report(arguments: CommonArguments, answer: StudyInfo, text: str) -> ExitCode:
    if arguments.as_json:
        print_json(answer)
    else:
        print_line(text)
    return ExitCode.DONE
