"""The commands of ambientctl; options, help texts and the code behind are imported when chosen."""

import os
from collections.abc import Callable, Sequence
from importlib import import_module

from ambientd import __version__
from ambientd.cli.parsing import Parser, add_common

_DESCRIPTION = "Drive a node of an Ambient mesh: submit tasks, look around, check receipts."
EXIT_CODES = (
    (0, "done"),
    (1, "the task failed"),
    (2, "wrong usage"),
    (3, "no daemon answers"),
    (4, "verification failed"),
)
_EPILOG = f"""\
exit codes: {"; ".join(f"{code} {text}" for code, text in EXIT_CODES)}
environment: AMBIENT_DATA_DIR names the node's folder; NO_COLOR switches colours off
"""


def build_parser(words: Sequence[str] | None = None) -> Parser:
    """Give the parser; each command's `run` default names the function as "module:function".

    With the words of a command line it has that command alone, as all of them take 15 ms.
    """
    parser = Parser(prog="ambientctl", description=_DESCRIPTION, epilog=_EPILOG)
    chosen = os.environ.get("AMBIENT_DATA_DIR") or None
    add_common(parser, data_dir=chosen, as_json=False, quiet=False)
    parser.add_argument(
        "--version", action="version", version=f"ambientctl {__version__}", help="the version"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    named = _command_of(words or ())
    rows = [add for names, add in COMMANDS if named in names]
    for add in rows or [add for _, add in COMMANDS]:
        adder(add)(commands)
    return parser


def adder(name: str) -> Callable[[object], None]:
    """Give what adds commands, by its module and name."""
    module, _, function = name.partition(":")
    found: Callable[[object], None] = getattr(import_module(f"ambientd.cli.{module}"), function)
    return found


def _command_of(words: Sequence[str]) -> str:
    """Give the first word that is no option and no option's value."""
    rest = iter(words)
    for word in rest:
        if word == "--data-dir":
            next(rest, None)
        elif not word.startswith("-"):
            return word
    return ""


COMMANDS: Sequence[tuple[tuple[str, ...], str]] = (
    (("status", "nodes", "events"), "node_parsers:add_looking"),
    (("top",), "node_parsers:add_top"),
    (("telemetry",), "node_parsers:add_telemetry"),
    (("anchor",), "proof_parsers:add_anchor"),
    (("version",), "node_parsers:add_version"),
    (("run",), "run_parser:add_run"),
    (("task",), "task_parsers:add_task"),
    (("receipt",), "task_parsers:add_receipt"),
    (("blame",), "proof_parsers:add_blame"),
    (("proof",), "proof_parsers:add_proof"),
    (("image",), "proof_parsers:add_image"),
    (("headers",), "proof_parsers:add_headers"),
    (("witness",), "proof_parsers:add_witness"),
    (("module",), "module_parsers:add_module"),
    (("cluster", "join"), "cluster_parsers:add_cluster"),
    (("member",), "member_parsers:add_member"),
    (("pause", "resume", "owner"), "owner_parsers:add_owner"),
    (("doctor",), "owner_parsers:add_doctor"),
    (("config",), "config_parsers:add_config"),
    (("trail", "audit"), "owner_parsers:add_trail"),
    (("account",), "account_parsers:add_account"),
    (("peg",), "peg_parsers:add_peg"),
    (("fl",), "learning_parsers:add_fl"),
    (("webhook",), "webhook_parsers:add_webhook"),
    (("export",), "export_parsers:add_export"),
    (("backup",), "member_parsers:add_backup"),
    (("restore",), "member_parsers:add_restore"),
    (("key",), "key_parsers:add_key"),
    (("token",), "token_parsers:add_token"),
    (("service",), "service_parsers:add_service"),
    (("demo",), "member_parsers:add_demo"),
    (("completion",), "node_parsers:add_completion"),
)
"""Every command by its name, in the order of the help, and what adds it, as "module:function"."""
