"""How evidence against a node in a task is named."""

from ambientd.codec.digest import tagged
from ambientd.model.base import Digest, NodeId, TaskId

EVIDENCE_OF_LIE = "divergent-output"
EVIDENCE_OF_TWO_VERDICTS = "verdict"
EVIDENCE_OF_TWO_TRACES = "trace"
EVIDENCE_OF_TWO_SEGMENTS = "segment"
EVIDENCE_OF_FALSE_STEP = "false-step"
EVIDENCE_OF_WRONG_PROOF = "proof"


def evidence_name(kind: str, task: TaskId, culprit: NodeId) -> Digest:
    """Name the evidence of one kind against a node in one task; there is only one."""
    return Digest(tagged("ambient/evidence/1", kind.encode(), task, culprit))
