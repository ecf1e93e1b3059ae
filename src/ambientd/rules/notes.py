"""Checkpoint notes: the receipt log's head as the text that members cosign (C2SP signed-note)."""

import base64
import hashlib
from collections.abc import Mapping

from ambientd.model.base import NodeId
from ambientd.model.receipt import CheckpointNote

ED25519_ALGORITHM = b"\x01"
COSIGNATURE_ALGORITHM = b"\x04"


def origin(cluster: bytes) -> str:
    """Name the receipt log of a cluster."""
    return f"ambient/{cluster.hex()}"


def note_text(cluster: bytes, size: int, root: bytes) -> bytes:
    """Give the bytes that are cosigned: origin, size and root, a line each."""
    return f"{origin(cluster)}\n{size}\n{base64.b64encode(root).decode()}\n".encode()


def key_hash(name: str, public_key: bytes, algorithm: bytes = ED25519_ALGORITHM) -> bytes:
    """Give the four bytes by which a note's signature names its key."""
    identity = name.encode() + b"\n" + algorithm + public_key
    return hashlib.sha256(identity).digest()[:4]


def signed_note(cluster: bytes, note: CheckpointNote, names: Mapping[NodeId, str]) -> str:
    """Write a whole note, as any verifier of the format reads it."""
    lines = [note_text(cluster, note.size, note.root).decode(), "\n"]
    for each in note.cosignatures:
        name = names.get(each.member, "")
        if not name or "+" in name or any(mark.isspace() for mark in name):
            name = each.member.hex()  # the format allows neither in a key's name
        blob = key_hash(name, each.member) + each.signature
        lines.append(f"— {name} {base64.b64encode(blob).decode()}\n")
    return "".join(lines)


def cosigned_text(text: bytes, time_s: int) -> bytes:
    """Give the bytes that a witness signs over a note's text (C2SP tlog-cosignature, version 1)."""
    return f"cosignature/v1\ntime {time_s}\n".encode() + text


def cosignature_line(name: str, public_key: bytes, time_s: int, signature: bytes) -> str:
    """Write a witness's signature, which goes below those of the members."""
    key = key_hash(name, public_key, COSIGNATURE_ALGORITHM)
    blob = key + time_s.to_bytes(8, "big") + signature
    return f"— {name} {base64.b64encode(blob).decode()}\n"
