"""Reads config.toml; whatever is wrong in it is named with file, line and key."""

from pathlib import Path

from ambientd.config.faults import Fault, read_config
from ambientd.config.lines import line_of
from ambientd.config.options import Config
from ambientd.config.places import Places, socket_path_for
from ambientd.errors import ConfigError

CONFIG_BYTES_MAX = 1024 * 1024


def load_config(data_dir: Path) -> Config:
    """Read the config of a data directory; raise ConfigError with what to do about it."""
    path = Places(data_dir).config
    text = read_text(path)
    config = parse_config(text, str(path))
    for fault in socket_faults(config, text, data_dir):
        raise ConfigError(fault.told(str(path)))
    return config


def read_text(path: Path) -> str:
    """Read a config file; raise ConfigError for what cannot be one."""
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_BYTES_MAX + 1)
    except FileNotFoundError as error:
        msg = (
            f"{path}: no such file; create a node with `ambientctl cluster create DIR` "
            "or `ambientctl join TOKEN`"
        )
        raise ConfigError(msg) from error
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    return decode_text(data, str(path))


def decode_text(data: bytes, where: str) -> str:
    """Decode a config file's bytes; raise ConfigError for what cannot be one."""
    if len(data) > CONFIG_BYTES_MAX:
        msg = f"{where}: is too large; at most {CONFIG_BYTES_MAX} bytes are read"
        raise ConfigError(msg)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        msg = f"{where}, line {line}: not UTF-8 text"
        raise ConfigError(msg) from error


def parse_config(text: str, where: str = "config.toml") -> Config:
    """Turn TOML into checked options; raise the first fault, with `where` for the text's name."""
    config, faults = read_config(text)
    if faults:
        raise ConfigError(faults[0].told(where))
    return config


def socket_faults(config: Config, text: str, data_dir: Path) -> tuple[Fault, ...]:
    """Name a socket's path that no socket takes, in the folder that it starts at."""
    try:
        socket_path_for(data_dir, config.api.socket)
    except ConfigError as error:
        names = ("api", "socket")
        return (Fault(line_of(text, names), names, str(error)),)
    return ()
