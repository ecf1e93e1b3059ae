"""What members say of a module's own image, read from a file that they made; no daemon."""

from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError, UsageError
from ambientd.model.base import Digest
from ambientd.node.stops import follow_epochs
from ambientd.rules.images import Vouched, read_image_file


def read_images(
    data: bytes, module: bytes, cluster: bytes | None, epoch: bytes | None = None
) -> Vouched:
    """Give whose word it is what a module becomes; raise UsageError where it is nobody's."""
    try:
        vouched = read_image_file(data, Digest(sha256(module)), follow_epochs, epoch)
    except RemoteProtocolError as error:
        msg = f"the file vouches for no image: {error}; translate the module yourself: `--image`"
        raise UsageError(msg) from error
    if cluster is not None and cluster != vouched.cluster:
        msg = f"its words are of the cluster {vouched.cluster.hex()}, you believe {cluster.hex()}"
        raise UsageError(msg)
    return vouched
