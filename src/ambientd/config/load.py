"""Reads config.toml; whatever is wrong in it is named with file, line and key."""

from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from ambientd.config.options import (
    ChainKind,
    Config,
    check_dialable,
    is_loopback,
    parse_bootstrap,
    split_address,
)
from ambientd.config.places import Places, socket_path_for
from ambientd.config.urls import parse_url
from ambientd.errors import ConfigError

CONFIG_BYTES_MAX = 1024 * 1024

_TYPE_NAMES = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text in quotes",
    list: "a list",
    dict: "a section",
}

_SAID_OTHERWISE = {
    ("bitcoin", "chain", "core"): '; Bitcoin Core is reached by "rpc"',
}


def load_config(data_dir: Path) -> Config:
    """Read the config of a data directory; raise ConfigError with what to do about it."""
    path = Places(data_dir).config
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        msg = (
            f"{path}: no such file; create a node with `ambientctl cluster create DIR` "
            "or `ambientctl join TOKEN`"
        )
        raise ConfigError(msg) from error
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    if len(data) > CONFIG_BYTES_MAX:
        msg = f"{path}: has {len(data)} bytes, at most {CONFIG_BYTES_MAX} are read"
        raise ConfigError(msg)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        msg = f"{path}, line {line}: not UTF-8 text"
        raise ConfigError(msg) from error
    config = parse_config(text, str(path))
    try:
        socket_path_for(data_dir, config.api.socket)
    except ConfigError as error:
        raise _fault(str(path), text, ("api", "socket"), str(error)) from error
    return config


def parse_config(text: str, where: str = "config.toml") -> Config:
    """Turn TOML into checked options; `where` names the text in errors."""
    import tomllib

    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        msg = f"{where}: not valid TOML: {error}"
        raise ConfigError(msg) from error
    _check_names(tree, text, where)
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise _explain(error, tree, text, where) from error
    _check_meaning(config, text, where)
    return config


def _check_names(tree: dict[str, Any], text: str, where: str) -> None:
    sections = {field.name: field.type for field in msgspec.structs.fields(Config)}
    for section, values in tree.items():
        if section not in sections:
            hint = _suggest(section, list(sections), "sections")
            raise _fault(where, text, (section,), f"unknown section [{section}]; {hint}")
        if not isinstance(values, dict):
            raise _fault(where, text, (section,), f"[{section}] must be a section")
        known = list(sections[section].__struct_fields__)
        for key in values:
            if key not in known:
                hint = _suggest(key, known, f"keys of [{section}]")
                raise _fault(where, text, (section, key), f"unknown key {key!r}; {hint}")


def _suggest(word: str, known: list[str], what: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word.lower().replace("-", "_"), known, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"the {what} are {', '.join(known)}"


def _explain(
    error: msgspec.ValidationError, tree: dict[str, Any], text: str, where: str
) -> ConfigError:
    complaint, _, path = str(error).partition(" - at `$.")
    names = tuple(part.split("[")[0] for part in path.rstrip("`").split("."))[:2]
    value: Any = tree
    for name in names:
        value = value.get(name) if isinstance(value, dict) else value
    default = getattr(getattr(Config(), names[0], None), names[-1], None)
    if isinstance(default, Enum) and complaint.startswith("Invalid enum value"):
        allowed = ", ".join(repr(member.value) for member in type(default))
        hint = _SAID_OTHERWISE.get((names[0], names[-1], value), "")
        return _fault(where, text, names, f"{value!r} is none of {allowed}{hint}")
    if ", got `" in complaint:
        wanted = _TYPE_NAMES.get(_plain_type(default), "another type")
        if "[" in path:
            return _fault(where, text, names, "every entry must be a text in quotes")
        got = _TYPE_NAMES.get(type(value), type(value).__name__)
        return _fault(where, text, names, f"must be {wanted}, not {got}")
    if " matching regex " in complaint:
        wrong = "holds characters that a name may not have"
        if names == ("log", "trusted_epoch"):
            wrong = "is not of the form NUMBER:HASH, as `ambientctl member list` shows it"
        return _fault(where, text, names, f"{value!r} {wrong}")
    bound = complaint.removeprefix("Expected ").replace("`", "")
    return _fault(where, text, names, f"must be {bound}, not {value!r}")


def _plain_type(default: object) -> type:
    for plain in (bool, int, float, str):
        if isinstance(default, plain):
            return plain
    return list


def _check_meaning(config: Config, text: str, where: str) -> None:
    try:
        split_address(config.transport.listen)
    except ConfigError as error:
        raise _fault(where, text, ("transport", "listen"), str(error)) from error
    try:
        if config.transport.advertise:
            check_dialable(*split_address(config.transport.advertise))
    except ConfigError as error:
        raise _fault(where, text, ("transport", "advertise"), str(error)) from error
    try:
        for peer in config.transport.bootstrap:
            parse_bootstrap(peer)
    except ConfigError as error:
        raise _fault(where, text, ("transport", "bootstrap"), str(error)) from error

    _check_http(config, text, where)
    try:
        if config.bitcoin.chain is ChainKind.RPC:
            config.bitcoin.rpc_address()
    except ConfigError as error:
        raise _fault(where, text, ("bitcoin", "rpc_url"), str(error)) from error
    try:
        if config.bitcoin.chain is ChainKind.ESPLORA:
            parse_url(config.bitcoin.esplora_url)
    except ConfigError as error:
        raise _fault(where, text, ("bitcoin", "esplora_url"), str(error)) from error
    for option, url in (
        (("webhook", "url"), config.webhook.url),
        (("traces", "url"), config.traces.url),
        (("bitcoin", "explorer_url"), config.bitcoin.explorer_url),
    ):
        try:
            if url:
                parse_url(url)
        except ConfigError as error:
            raise _fault(where, text, option, str(error)) from error


def _check_http(config: Config, text: str, where: str) -> None:
    http = config.http
    try:
        host, _ = split_address(http.listen)
    except ConfigError as error:
        raise _fault(where, text, ("http", "listen"), str(error)) from error
    if bool(http.tls_cert) != bool(http.tls_key):
        missing = "tls_key" if http.tls_cert else "tls_cert"
        raise _fault(where, text, ("http", missing), "a certificate and its key go together")
    if http.tls_client_ca and not http.tls_cert:
        complaint = "callers can show certificates over TLS only: set tls_cert and tls_key too"
        raise _fault(where, text, ("http", "tls_client_ca"), complaint)
    if is_loopback(host):
        return
    if http.open_on_loopback:
        complaint = f"{host} can be reached from other machines, who would all be let in"
        raise _fault(where, text, ("http", "open_on_loopback"), complaint)
    if not http.tls_cert and not http.behind_proxy:
        complaint = f"{host} can be reached from other machines, and tokens would cross in clear; "
        complaint += "set tls_cert and tls_key, or behind_proxy if something before it has TLS"
        raise _fault(where, text, ("http", "listen"), complaint)


def _fault(where: str, text: str, names: tuple[str, ...], complaint: str) -> ConfigError:
    line = line_of(text, names)
    place = f"{where}, line {line}" if line else where
    key = "" if len(names) < 2 else f"[{names[0]}] {names[1]}: "
    return ConfigError(f"{place}: {key}{complaint}")


def line_of(text: str, names: tuple[str, ...]) -> int | None:
    """Find the line of a section or key, which tomllib does not tell; None when it hides."""
    section: tuple[str, ...] = ()
    header: int | None = None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if line.startswith("["):
            section = _dotted(line.strip("[] \t").split("#")[0].rstrip("] \t"))
            if section == names:
                return number
            if section == names[:1]:
                header = number
            continue
        key, equals, _ = line.partition("=")
        if not equals or line.startswith("#"):
            continue
        full = section + _dotted(key)
        if full[: len(names)] == names:
            return number
        if full == names[:1]:
            header = number
    return header


def _dotted(text: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in text.split("."))
