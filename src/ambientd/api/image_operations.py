"""The operations on modules' own images."""

from ambientd.api import image_values
from ambientd.api.operation import Operation
from ambientd.api.routes import Scope, get, post

IMAGE_NAME = Operation(
    "image.name",
    image_values.NameImage,
    image_values.ImageInfo,
    post("/images", Scope.ADMIN, "say as this node what a module's own image is", status=201),
)
IMAGE_SHOW = Operation(
    "image.show",
    image_values.ShowImage,
    image_values.ImageInfo,
    get("/images/{module_sha256}", "a module's own image, and who says so"),
)
IMAGES = (IMAGE_NAME, IMAGE_SHOW)
