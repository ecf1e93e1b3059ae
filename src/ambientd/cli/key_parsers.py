"""The commands about a node's keys, their options and help texts."""

from ambientd.cli.parsing import command, group


def add_key(commands: object) -> None:
    """Add `key`."""
    key = group(commands, "key", "what a node signs with: look, seal, replace; at its folder")
    show = command(key, "show", "key_commands:show", "the public sides, and what watches the coins")
    sealing = command(
        key,
        "passphrase",
        "key_commands:passphrase",
        "seal node.key and peg.key, or change what seals them; the daemon is stopped",
    )
    chosen = sealing.add_mutually_exclusive_group()
    chosen.add_argument(
        "--new-file", metavar="FILE", help="the new passphrase is its first line (default: ask)"
    )
    chosen.add_argument("--remove", action="store_true", help="seal them no more")
    replaced = command(
        key,
        "replace-peg",
        "key_commands:replace_peg",
        "a new peg.key for a lost one, or one without its book; the daemon is stopped",
    )
    replaced.add_argument("--yes", action="store_true", help="do not ask first")
    for parser in (show, sealing, replaced):
        parser.add_argument(
            "--passphrase-file",
            metavar="FILE",
            help="what opens sealed files is its first line (default: $AMBIENT_PASSPHRASE, or ask)",
        )
