"""ambientctl config show, check: what a node is set to, and what is wrong with that."""

import os
from pathlib import Path
from typing import Protocol

import msgspec

from ambientd.cli.console import (
    CommonArguments,
    data_dir_of,
    in_words,
    print_json,
    print_line,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import STANDARD_STREAM, read_file
from ambientd.cli.parts import Table, print_parts
from ambientd.config.faults import Fault, read_config
from ambientd.config.load import CONFIG_BYTES_MAX, decode_text, read_text, socket_faults
from ambientd.config.places import Places, socket_path_for
from ambientd.config.settings import Setting, settings_of
from ambientd.errors import ConfigError, UsageError


class ShowArguments(CommonArguments, Protocol):
    """Options of `config show`."""

    section: str | None


class CheckArguments(CommonArguments, Protocol):
    """Options of `config check`."""

    file: str | None


def show(arguments: ShowArguments) -> ExitCode:
    """Print every setting with its source; raise ConfigError for what no daemon takes."""
    data_dir = data_dir_of(arguments)
    path = Places(data_dir).config
    text = read_text(path)
    config, faults = read_config(text)
    faults += socket_faults(config, text, data_dir)
    if faults:
        more = f", and {in_words(len(faults) - 1, 'more fault')}" if faults[1:] else ""
        msg = f"{faults[0].told(str(path))}{more}; see all with `ambientctl config check`"
        raise ConfigError(msg)
    settings = settings_of(config, text)
    if arguments.section is not None:
        settings = tuple(each for each in settings if each.section == arguments.section)
        if not settings:
            msg = f"there is no section [{arguments.section}]; see `ambientctl config show`"
            raise UsageError(msg)
    chosen = _folder_source(arguments)
    socket = str(socket_path_for(data_dir, config.api.socket))
    if arguments.as_json:
        folder = {"path": str(data_dir), "source": chosen}
        print_json({"data_dir": folder, "file": str(path), "socket": socket, "settings": settings})
        return ExitCode.DONE
    print_line(f"folder  {data_dir}  ({chosen})")
    print_line(f"file    {path}; a change takes effect when the daemon starts again")
    print_line(f"socket  {socket}")
    print_line()
    print_parts([Table(("SETTING", "VALUE", "FROM"), [_row(each) for each in settings])])
    return ExitCode.DONE


def _row(setting: Setting) -> tuple[str, str, str]:
    line = f" (line {setting.line})" if setting.line else ""
    value = msgspec.json.encode(setting.value).decode()
    return f"[{setting.section}] {setting.key}", value, f"{setting.source}{line}"


def _folder_source(arguments: CommonArguments) -> str:
    """Say who chose the folder: the parser takes the environment's as its default."""
    variable = os.environ.get("AMBIENT_DATA_DIR")
    if arguments.data_dir and arguments.data_dir != variable:
        return "flag --data-dir"
    if variable:
        return "environment AMBIENT_DATA_DIR"
    return "environment XDG_DATA_HOME" if os.environ.get("XDG_DATA_HOME") else "default"


def check(arguments: CheckArguments) -> ExitCode:
    """Print each fault with file, line and key; the code is 2 when there is one."""
    where = arguments.file or str(Places(data_dir_of(arguments)).config)
    faults = _faults(where)
    if arguments.as_json:
        told = [{"line": each.line, "key": each.key, "text": each.text} for each in faults]
        print_json({"file": where, "sound": not faults, "faults": told})
    for fault in () if arguments.as_json else faults:
        print_line(fault.told(where))
    if not faults and not arguments.as_json:
        print_line(f"{where} is sound")
    return ExitCode.USAGE if faults else ExitCode.DONE


def _faults(where: str) -> tuple[Fault, ...]:
    """Find what is wrong with a file; raise ConfigError or UsageError for what does not read."""
    if where == STANDARD_STREAM:
        text = decode_text(read_file(where, "config", CONFIG_BYTES_MAX), "standard input")
        return read_config(text)[1]
    text = read_text(Path(where))
    config, faults = read_config(text)
    return faults + socket_faults(config, text, Path(where).parent)
