"""What a node answers that is asked whether it takes part."""

from ambientd.api.replies import Reply


class Readiness(Reply, frozen=True):
    """This node takes part; one that cannot answers with an error that says why."""

    ready: bool
