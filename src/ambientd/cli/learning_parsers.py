"""The commands of federated learning, their options and help texts."""

import argparse

from ambientd.cli.parsing import command, group, limit, positive, seconds

_STUDY = "the study's id, or its first digits"
_DIGITS_MIN = 4


def add_fl(commands: object) -> None:
    """Add `fl`."""
    fl = group(commands, "fl", "train one model on data that stays with its owners")
    start = command(
        fl, "start", "learning_commands:start", "invite nodes to train a model together"
    )
    start.add_argument("file", metavar="STUDY.toml", help="what is to be trained, and how")
    listed = command(fl, "list", "learning_commands:list_studies", "the studies and their states")
    listed.add_argument(
        "--limit", type=limit, default=50, metavar="N", help="how many (default: 50)"
    )
    show = command(fl, "show", "learning_commands:show", "one study with its rounds")
    watch = command(fl, "watch", "learning_commands:watch", "follow a study to its end")
    watch.add_argument(
        "--timeout", metavar="SECONDS", type=seconds, default=3_600.0, help="give up after so long"
    )
    stop = command(fl, "stop", "learning_commands:stop", "end a study that this node began")
    join = command(
        fl, "join", "learning_commands:join", "let this node train on its own data for a study"
    )
    leave = command(fl, "leave", "learning_commands:leave", "let this node take part no more")
    export = command(fl, "export", "learning_commands:export", "a study's present model as a file")
    receipt = command(
        fl, "receipt", "learning_commands:receipt", "what shows a stranger a round's outcome"
    )
    verify = command(fl, "verify", "learning_commands:verify", "check such a file, offline")
    verify.add_argument("file", metavar="FILE", help="what `fl receipt` has written")
    verify.add_argument("--cluster", metavar="FINGERPRINT", help="the cluster that it must be of")
    verify.add_argument("--model", metavar="FILE", help="the model that it must have made, an .npz")
    for parser in (show, watch, stop, join, leave, export, receipt):
        parser.add_argument("study", metavar="STUDY", type=_study, help=_STUDY)
    join.add_argument(
        "--data",
        metavar="WHERE",
        type=_place,
        required=True,
        help="FILE.csv, .npz or .parquet, a folder of images, or digits:K/N",
    )
    join.add_argument(
        "--epsilon",
        metavar="EPSILON",
        type=_epsilon,
        help="what a private study may spend of this node's privacy, in all its rounds",
    )
    join.add_argument("--yes", action="store_true", help="do not ask first")
    budget = command(
        fl, "budget", "learning_commands:budget", "what private studies have spent here"
    )
    budget.add_argument(
        "--limit",
        metavar="EPSILON",
        type=_bound,
        help="what all of them may spend together from now on; none for no bound",
    )
    export.add_argument(
        "--out", metavar="FILE", required=True, help="a name ending in .npz or .onnx"
    )
    for parser in (export, receipt):
        parser.add_argument("--force", action="store_true", help="replace a file that is there")
    receipt.add_argument("round", metavar="ROUND", type=positive, help="its number")
    receipt.add_argument("--out", metavar="FILE", help="where to (default: STUDY-ROUND.round)")


def _study(text: str) -> str:
    name = text.lower()
    if not _DIGITS_MIN <= len(name) <= 64 or name.strip("0123456789abcdef"):
        msg = f"{text!r} is no study's id; give its first {_DIGITS_MIN} hex digits, or more"
        raise argparse.ArgumentTypeError(msg)
    return name


def _epsilon(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number <= 10_000:
        msg = f"{text!r} is no epsilon: say one above 0, at most 10000, such as 4"
        raise argparse.ArgumentTypeError(msg)
    return number


def _bound(text: str) -> str:
    """Read a bound over all studies: 0, where nothing more is shown, or no bound as well."""
    if text in {"none", "0"}:
        return text
    try:
        return str(_epsilon(text))
    except argparse.ArgumentTypeError as error:
        msg = f"{error}; 0 for nothing more, none for no bound"
        raise argparse.ArgumentTypeError(msg) from None


def _place(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it names no data; say a file, a folder or digits:K/N")
    return text
