"""The commands about config.toml, their options and help texts."""

from ambientd.cli.parsing import command, group


def add_config(commands: object) -> None:
    """Add `config`."""
    config = group(commands, "config", "the settings of a node, and whether they are sound")
    show = command(config, "show", "config_commands:show", "every setting, and where it comes from")
    show.add_argument("section", metavar="SECTION", nargs="?", help="of this section alone")
    check = command(
        config, "check", "config_commands:check", "everything that is wrong in a config"
    )
    check.add_argument(
        "file", metavar="FILE", nargs="?", help="which (default: the node's config.toml)"
    )
