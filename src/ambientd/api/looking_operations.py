"""The rows of the table that look at a node: what `ambientctl status` needs, and no more.

A command that is typed often starts without the types of the whole table.
"""

from ambientd.api import replies, requests, seen_values
from ambientd.api.operation import Operation
from ambientd.api.readiness_values import Readiness
from ambientd.api.routes import Scope, get

STATUS = Operation("status", requests.GetStatus, replies.Status, get("/status", "how this node is"))
READY = Operation(
    "ready",
    requests.GetReadiness,
    Readiness,
    get("/ready", "whether this node can take part; if not, why", Scope.OPEN),
)
NODES = Operation(
    "nodes", requests.ListNodes, replies.Nodes, get("/nodes", "who is in the cluster")
)
LINKS = Operation(
    "links",
    seen_values.ListLinks,
    seen_values.LinksTold,
    get("/links", "who is linked to whom, by the nodes' own word"),
)
NODE_SHOW = Operation(
    "node.show",
    requests.ShowNode,
    replies.NodeInfo,
    get("/nodes/{node}", "one node of the cluster"),
)
EVENTS = Operation(
    "events",
    requests.FollowEvents,
    replies.Event,
    get("/events", "tell what happens, as it does"),
    streaming=True,
)
