"""ambientctl webhook test, secret: whether a receiver hears of this node, and believes it."""

from ambientd.api import operations
from ambientd.api.webhook_values import TestWebhook
from ambientd.cli.console import (
    CommonArguments,
    connect,
    data_dir_of,
    print_json,
    print_line,
    tell,
    warn,
)
from ambientd.cli.exit_codes import ExitCode


def test(arguments: CommonArguments) -> ExitCode:
    """Post an event and say what came back."""
    with connect(arguments) as client:
        answer = client.call(operations.WEBHOOK_TEST, TestWebhook())
    if arguments.as_json:
        print_json(answer)
    elif answer.delivered:
        print_line(f"delivered: {answer.event}, {answer.text}")
    else:
        warn(f"not delivered: {answer.text}; see [webhook] in config.toml, and the receiver's log")
    return ExitCode.DONE if answer.delivered else ExitCode.FAILED


test.__test__ = False  # type: ignore[attr-defined]  # it is no test of ours


def secret(arguments: CommonArguments) -> ExitCode:
    """Print the secret."""
    from ambientd.api.webhook_signing import make_secret
    from ambientd.config.load import load_config
    from ambientd.config.places import Places

    data_dir = data_dir_of(arguments)
    made = make_secret(Places(data_dir).http_file(load_config(data_dir).webhook.secret))
    if arguments.as_json:
        print_json({"secret": made})
    else:
        print_line(made)
        tell("whoever has it can sign in this node's name: give it to the receiver alone")
    return ExitCode.DONE
