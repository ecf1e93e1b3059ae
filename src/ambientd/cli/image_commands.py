"""ambientctl image name, show, check: what modules' own images are, and who says so."""

import re
from typing import Protocol

from ambientd.api.image_operations import IMAGE_NAME, IMAGE_SHOW
from ambientd.api.image_values import ImageInfo, NameImage, ShowImage
from ambientd.api.proof_program import find_verifier, image_id
from ambientd.cli.console import (
    CommonArguments,
    confirm,
    connect,
    in_sat,
    print_fields,
    print_json,
    print_line,
    short,
    warn,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import (
    check_writable,
    read_file,
    read_module,
    readable_place,
    report_beside,
    write_file,
)

_HASH = re.compile("[0-9a-fA-F]{64}")


class ShowArguments(CommonArguments, Protocol):
    """Options of `image show`."""

    module: str
    output: str | None


class CheckArguments(CommonArguments, Protocol):
    """Options of `image check`."""

    module: str
    image: str
    verifier: str | None


class NameArguments(CheckArguments, Protocol):
    """Options of `image name`."""

    yes: bool


def name(arguments: NameArguments) -> ExitCode:
    """Say as this node what a module's own image is."""
    from ambientd.model.image import IMAGE_FEE_MSAT

    image = image_of(arguments.image, arguments.verifier)
    request = NameImage(module_sha256=_module(arguments.module), image=image)
    cost = f"{in_sat(IMAGE_FEE_MSAT)} if nobody named one before"
    question = (
        f"say that {short(request.module_sha256)} becomes {short(request.image)}? {cost}; "
        "if members find another, this node names none any more"
    )
    if not confirm(question, is_sure=arguments.yes):
        warn("nothing was said")
        return ExitCode.FAILED
    with connect(arguments) as client:
        info = client.call(IMAGE_NAME, request)
    if arguments.as_json:
        print_json(info)
    else:
        _print(info)
        print_line(f"fee: {in_sat(info.fee_msat) if info.fee_msat else 'nothing'}")
    return ExitCode.DONE


def show(arguments: ShowArguments) -> ExitCode:
    """Show what a module's own image is, and who says so."""
    if arguments.output:
        check_writable(arguments.output)
    request = ShowImage(
        module_sha256=_module(arguments.module), with_file=arguments.output is not None
    )
    with connect(arguments) as client:
        info = client.call(IMAGE_SHOW, request)
    if arguments.output and info.file is not None:
        write_file(arguments.output, info.file)
    with report_beside(arguments.output):
        if arguments.as_json:
            print_json(info)
        else:
            _print(info)
    return ExitCode.DONE


def check(arguments: CheckArguments) -> ExitCode:
    """Compare an image that was made here with what nodes say."""
    module, image = _module(arguments.module), image_of(arguments.image, arguments.verifier)
    with connect(arguments) as client:
        info = client.call(IMAGE_SHOW, ShowImage(module_sha256=module))
    # Who was denied is believed no more: else anybody's lie would speak against the truth for ever.
    others = [each for each in info.words if each.image != image and not each.denied]
    if arguments.as_json:
        print_json({"made": image, "agrees": not others, "said": info})
        return ExitCode.NOT_VERIFIED if others else ExitCode.DONE
    _print(info, image)
    for each in others:
        warn(f"{each.name} says {each.image}: that is not what was made here")
    if info.words and not others:
        print_line("nobody says otherwise")
    return ExitCode.NOT_VERIFIED if others else ExitCode.DONE


def said_fields(info: ImageInfo) -> list[tuple[str, str]]:
    """Say in two lines what an image is and whose word that is; nothing where nobody spoke."""
    if not info.words:
        return []
    words = ", ".join(
        each.name + f" said {short(each.image)}" * (each.image != info.image) for each in info.words
    )
    members = sum(each.is_member for each in info.words)
    decided = info.image or f"not decided: {info.needed} members must say the same, {members} spoke"
    if info.decided_epoch is not None:
        decided += f", decided in epoch {info.decided_epoch}"
    agree = sum(e.is_member and not e.denied and e.image == info.image for e in info.words)
    if info.image and agree < info.needed:
        decided += f"; {agree} of {info.needed} present members stand by it: no task is proven so"
    return [("image", decided), ("said by", words)]


def _print(info: ImageInfo, made: str | None = None) -> None:
    fields = [] if made is None else [("made here", made)]
    print_fields([*fields, ("module", info.module_sha256), *said_fields(info)])
    if not info.words:
        print_line("nobody has named an image")


def _module(text: str) -> str:
    """Give a module's SHA-256: of a file, or as it is written."""
    from ambientd.codec.digest import sha256

    return text.lower() if _HASH.fullmatch(text) else sha256(read_module(text)).hex()


def words_in(path: str) -> bytes:
    """Read a file of what members say of an image."""
    from ambientd.rules.images import FILE_BYTES_MAX

    return read_file(path, "file of an image", FILE_BYTES_MAX)


def image_of(text: str, verifier: str | None) -> str:
    """Give an image's id: of a file, by the program that verifies, or as it is written."""
    from pathlib import Path

    if _HASH.fullmatch(text):
        return text.lower()
    return image_id(find_verifier(verifier), Path(readable_place(text, "image")).absolute())
