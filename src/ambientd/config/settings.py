"""Every setting of a config with its value and where that comes from."""

from typing import Any

import msgspec

from ambientd.config.lines import line_of
from ambientd.config.options import Config


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One option: `source` is "file" or "default"; `line` is where the file sets it."""

    section: str
    key: str
    value: Any
    source: str
    line: int | None
    default: Any


def settings_of(config: Config, text: str) -> tuple[Setting, ...]:
    """Give all settings of a config that was read from this text, in the order of the template."""
    import tomllib

    written = tomllib.loads(text)
    return tuple(
        _setting(text, written, section.name, option, getattr(config, section.name))
        for section in msgspec.structs.fields(Config)
        for option in msgspec.structs.fields(section.type)
    )


def _setting(
    text: str,
    written: dict[str, Any],
    section: str,
    option: msgspec.structs.FieldInfo,
    options: msgspec.Struct,
) -> Setting:
    is_written = option.name in written.get(section, {})
    return Setting(
        section=section,
        key=option.name,
        value=getattr(options, option.name),
        source="file" if is_written else "default",
        line=line_of(text, (section, option.name)) if is_written else None,
        default=option.default,
    )
