"""What members say of a module's own image, read from a file that they made; no daemon."""

from ambientd.errors import RemoteProtocolError, UsageError
from ambientd.model.base import Digest
from ambientd.node.stops import follow_epochs
from ambientd.rules.images import Vouched, read_image_file


class NotVouchedError(UsageError):
    """The file says of no image that those who are believed know it as the module's."""


def read_images(
    data: bytes, module: Digest, cluster: bytes | None, epoch: bytes | None = None
) -> Vouched:
    """Give whose word it is what a module becomes, by its SHA-256.

    Raises:
        NotVouchedError: nobody's who is to be believed.
    """
    try:
        vouched = read_image_file(data, module, follow_epochs, epoch)
    except RemoteProtocolError as error:
        msg = f"the file vouches for no image: {error}; translate the module yourself: `--image`"
        raise NotVouchedError(msg) from error
    if cluster is not None and cluster != vouched.cluster:
        msg = f"its words are of the cluster {vouched.cluster.hex()}, you believe {cluster.hex()}"
        raise NotVouchedError(msg)
    return vouched
