"""The commands about webhooks, their options and help texts."""

from ambientd.cli.parsing import command, group


def add_webhook(commands: object) -> None:
    """Add `webhook`."""
    webhook = group(commands, "webhook", "posts of what happens here, to an address of yours")
    command(
        webhook,
        "test",
        "webhook_commands:test",
        "post an event of kind `test` to the node's webhook",
    )
    command(
        webhook,
        "secret",
        "webhook_commands:secret",
        "what signs the posts, made if there is none; no daemon is needed",
    )
