"""What is asked and answered about webhooks."""

from ambientd.api.replies import Reply
from ambientd.api.requests import Request


class TestWebhook(Request, frozen=True):
    """Post an event of kind `test` to the address that config.toml names, once, and say how."""

    __test__ = False  # it is no test of ours


class WebhookTested(Reply, frozen=True):
    """What the receiver answered; `status` is null where it gave no answer."""

    url: str
    event: str
    status: int | None
    delivered: bool
    text: str
