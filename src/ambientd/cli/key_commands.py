"""ambientctl key show, passphrase, replace-peg: what a node signs with, at its folder."""

import shlex
from pathlib import Path
from typing import Protocol

from ambientd.cli.console import (
    CommonArguments,
    confirm,
    data_dir_of,
    print_fields,
    print_json,
    print_line,
    tell,
)
from ambientd.cli.exit_codes import ExitCode


class KeyArguments(CommonArguments, Protocol):
    """Options of `key show`."""

    passphrase_file: str | None


class PassphraseArguments(KeyArguments, Protocol):
    """Options of `key passphrase`."""

    new_file: str | None
    remove: bool


class ReplaceArguments(KeyArguments, Protocol):
    """Options of `key replace-peg`."""

    yes: bool


def show(arguments: KeyArguments) -> ExitCode:
    """Show the public sides of a node's keys."""
    from ambientd.api.key_keeping import show_keys

    found = show_keys(data_dir_of(arguments), _path(arguments.passphrase_file))
    if arguments.as_json:
        print_json(found)
        return ExitCode.DONE
    fields = [("node", found.node), ("sealed", ", ".join(found.sealed) or "nothing")]
    if found.open:
        fields.append(("not sealed", ", ".join(found.open)))
    if found.anchor_descriptor:
        fields += [("anchors", found.anchor_address), ("watch only", found.anchor_descriptor)]
    if found.peg_key:
        fields.append(("peg", found.peg_key))
    print_fields(fields)
    tell("keep copies of node.key and peg.key apart from the device; never a copy of peg.book")
    return ExitCode.DONE


def passphrase(arguments: PassphraseArguments) -> ExitCode:
    """Seal the keys with another passphrase, or with none."""
    from ambientd.api.key_keeping import reseal

    old, new = _path(arguments.passphrase_file), _path(arguments.new_file)
    data_dir = data_dir_of(arguments)
    changed = reseal(data_dir, old, new, removes=arguments.remove)
    if arguments.as_json:
        print_json({"files": changed, "sealed": not arguments.remove})
        return ExitCode.DONE
    state = "not sealed any more" if arguments.remove else "sealed with the new passphrase"
    print_line(f"{', '.join(changed)}: {state}")
    if not arguments.remove:
        tell("nothing opens them without it; copies that were made before open as they did")
    return ExitCode.DONE


def replace_peg(arguments: ReplaceArguments) -> ExitCode:
    """Let a new key of the peg take the place of one that is lost."""
    question = (
        "draw a new key for the peg? the other members then move the federation's coins; "
        "the old key, if its book is there, only helps with that"
    )
    if not confirm(question, is_sure=arguments.yes):
        tell("nothing was replaced")
        return ExitCode.FAILED
    from ambientd.api.key_keeping import replace_peg_key

    data_dir = data_dir_of(arguments)
    moved = replace_peg_key(data_dir, _path(arguments.passphrase_file))
    if arguments.as_json:
        print_json({"data_dir": str(data_dir), "set_aside": [str(path) for path in moved]})
        return ExitCode.DONE
    for path in moved:
        print_line(f"set aside: {path}")
    print_line(f"{data_dir / 'peg.key'}: a new key; keep a copy of it apart from the device")
    print_line(f"start it: ambientd --data-dir {shlex.quote(str(data_dir))}")
    tell(
        "if the old key is lost, replace no other member's before `ambientctl peg audit` shows "
        "all coins in the new wallet: moving them takes a quorum of the old keys"
    )
    return ExitCode.DONE


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
