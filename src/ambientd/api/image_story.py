"""What is said of modules' own images, in words and fields for people and programs."""

from ambientd.api.replies import EventKind
from ambientd.api.story_words import Line, short
from ambientd.ledger.image_events import ImageDecided, ImageDenied, ImageEvent, ImageNamed


def image_line(event: ImageEvent) -> Line:
    """Put one word on an image, or what came of several, into words."""
    fields: dict[str, str] = {"module": event.module.hex(), "image": event.image.hex()}
    module, image = short(event.module), short(event.image)
    match event:
        case ImageNamed(author=author):
            text = f"{short(author)} says that module {module} becomes the image {image}"
            return EventKind.IMAGE, text, {**fields, "state": "named", "node": author.hex()}
        case ImageDecided():
            text = f"members have found that module {module} becomes the image {image}"
            return EventKind.IMAGE, text, {**fields, "state": "decided"}
        case ImageDenied(author=author):
            text = f"{short(author)} had said that module {module} becomes {image}: it does not"
            return EventKind.IMAGE, text, {**fields, "state": "denied", "node": author.hex()}
