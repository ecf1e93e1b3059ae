"""The frames between nodes: those of the log, and those of jobs."""

from ambientd.codec.canonical import encode
from ambientd.consensus.messages import Message, encode_message
from ambientd.model.message import JobMessage

LOG_FRAME = b"\x01"
JOB_FRAME = b"\x02"
JOB_BYTES_MAX = 64 * 1024


def log_frame(message: Message) -> bytes:
    """Give the frame that carries a message of the log."""
    return LOG_FRAME + encode_message(message)


def job_frame(message: JobMessage) -> bytes:
    """Give the frame that carries a job message."""
    return JOB_FRAME + encode(message)
