"""What the operator decides: config.toml, parsed once into frozen options."""

from ambientd.config.load import load_config, parse_config
from ambientd.config.options import (
    ApiOptions,
    Bootstrap,
    ChainKind,
    Config,
    EngineChoice,
    Lie,
    SandboxPolicy,
    split_address,
)
from ambientd.config.places import Places, socket_path_for
from ambientd.config.template import render_config

__all__ = [
    "ApiOptions",
    "Bootstrap",
    "ChainKind",
    "Config",
    "EngineChoice",
    "Lie",
    "Places",
    "SandboxPolicy",
    "load_config",
    "parse_config",
    "render_config",
    "socket_path_for",
    "split_address",
]
