"""The architecture's picture and tables are those of the code."""

from scripts import architecture


def test_the_picture_of_the_layers_is_drawn_from_what_is_enforced() -> None:
    meant = "say python -m scripts.architecture"
    assert architecture.PICTURE.read_text("utf-8") == architecture.picture(), meant


def test_the_tables_name_every_package_and_every_library_of_today() -> None:
    written = architecture.PAGE.read_text("utf-8")
    assert written == architecture.page(written), "say python -m scripts.architecture"


def test_every_package_says_what_it_is_for() -> None:
    silent = [
        name
        for layer in architecture.layers()
        for name in layer
        if not architecture.purpose_of(name)
    ]
    assert not silent
