"""Join tokens: all that a new node needs to know, and the right to come in once (see Join)."""

import base64
import binascii
from typing import TYPE_CHECKING

from ambientd.api.genesis_files import newer_fault
from ambientd.codec.canonical import decode, encode
from ambientd.codec.signing import PUBLIC_KEY_BYTES, SEED_BYTES, Signer, verify
from ambientd.codec.statements import fingerprint, grant_payload, join_payload
from ambientd.config.options import is_loopback, is_wildcard, parse_bootstrap
from ambientd.errors import ConfigError, RemoteProtocolError, UsageError
from ambientd.model.base import NodeId, Value
from ambientd.model.genesis import Genesis, Profile
from ambientd.model.record import Join

if TYPE_CHECKING:
    from ambientd.api.replies import Invitation

TOKEN_VERSION = 1
TOKEN_BYTES_MAX = 64 * 1024
ADDRESSES_MAX = 64


class JoinToken(Value, frozen=True):
    """What travels in a token; whoever holds the invite seed may bring one node in."""

    version: int
    genesis: Genesis
    addresses: tuple[str, ...]
    inviter: NodeId
    invite_seed: bytes
    expires_ms: int
    grant_signature: bytes


def make_token(
    genesis: Genesis,
    signer: Signer,
    addresses: tuple[str, ...],
    invite_seed: bytes,
    expires_ms: int,
) -> str:
    """Write a token as `signer`; addresses are "NODE_ID@host:port", the seed freshly drawn."""
    invite_key = Signer(invite_seed, signer.cluster).public_key
    token = JoinToken(
        version=TOKEN_VERSION,
        genesis=genesis,
        addresses=addresses[:ADDRESSES_MAX],
        inviter=NodeId(signer.public_key),
        invite_seed=invite_seed,
        expires_ms=expires_ms,
        grant_signature=signer.sign("invite", grant_payload(invite_key, expires_ms)),
    )
    return base64.urlsafe_b64encode(encode(token)).decode("ascii").rstrip("=")


def invitation(
    genesis: Genesis,
    signer: Signer,
    addresses: tuple[str, ...],
    invite_seed: bytes,
    expires_ms: int,
) -> "Invitation":
    """Write a token, and say where it lets a newcomer dial."""
    from ambientd.api.replies import Invitation  # its price is for those who invite

    return Invitation(
        token=make_token(genesis, signer, addresses, invite_seed, expires_ms),
        expires_ms=expires_ms,
        addresses=addresses,
        loopback=stays_on_this_machine(addresses),
    )


def check_addresses(addresses: tuple[str, ...]) -> None:
    """Raise ConfigError when a newcomer could not dial the first one, which is this node's own."""
    peer = parse_bootstrap(addresses[0])
    if is_wildcard(peer.host):
        msg = (
            f"this node listens on {peer.host}, which nobody can dial, and names no other address; "
            f'write [transport] advertise = "HOST:{peer.port}" into its config.toml, start it again'
        )
        raise ConfigError(msg)


def stays_on_this_machine(addresses: tuple[str, ...]) -> bool:
    """Tell whether only this machine can dial any of the addresses."""
    return all(is_loopback(parse_bootstrap(address).host) for address in addresses)


def read_token(text: str) -> JoinToken:
    """Read a token from hostile text; raise UsageError saying what is wrong with it."""
    compact = "".join(text.split())
    if len(compact) > TOKEN_BYTES_MAX:
        msg = f"the token has {len(compact)} characters, at most {TOKEN_BYTES_MAX} are read"
        raise UsageError(msg)
    try:
        data = base64.b64decode(compact + "=" * (-len(compact) % 4), altchars=b"-_", validate=True)
        token: JoinToken = decode(data, JoinToken, TOKEN_BYTES_MAX)
    except (binascii.Error, ValueError, RemoteProtocolError) as error:
        msg = "this is no join token, or not all of it; copy it again as a whole"
        raise UsageError(msg) from error
    if token.version != TOKEN_VERSION:
        msg = f"the token has version {token.version}, this ambientctl reads {TOKEN_VERSION}"
        raise UsageError(msg)
    _check(token)
    return token


def _check(token: JoinToken) -> None:
    fault = newer_fault(token.genesis)
    if fault is not None:
        raise UsageError(fault)
    keys = (token.inviter, *(member.node for member in token.genesis.members))
    if len(token.invite_seed) != SEED_BYTES or any(len(key) != PUBLIC_KEY_BYTES for key in keys):
        msg = "the token holds a malformed key; ask for a new one"
        raise UsageError(msg)
    cluster = fingerprint(token.genesis)
    invite_key = Signer(token.invite_seed, cluster).public_key
    grant = grant_payload(invite_key, token.expires_ms)
    if not verify(token.inviter, "invite", cluster, grant, token.grant_signature):
        msg = "the token's grant is not signed by its inviter; ask for a new one"
        raise UsageError(msg)
    if not token.addresses or len(token.addresses) > ADDRESSES_MAX:
        msg = "the token names no address to dial; the inviting node must have one to give"
        raise UsageError(msg)
    try:
        for address in token.addresses:
            parse_bootstrap(address)
    except ConfigError as error:
        msg = f"the token holds a malformed address: {error}"
        raise UsageError(msg) from error


def make_join(token: JoinToken, node: NodeId, profile: Profile) -> Join:
    """Give the record body by which `node` enters the allow-list."""
    invite = Signer(token.invite_seed, fingerprint(token.genesis))
    unsigned = Join(
        node=node,
        profile=profile,
        inviter=token.inviter,
        invite_key=invite.public_key,
        expires_ms=token.expires_ms,
        grant_signature=token.grant_signature,
        invite_signature=b"",
    )
    signature = invite.sign("join", join_payload(unsigned))
    return Join(
        node=node,
        profile=profile,
        inviter=token.inviter,
        invite_key=invite.public_key,
        expires_ms=token.expires_ms,
        grant_signature=token.grant_signature,
        invite_signature=signature,
    )
