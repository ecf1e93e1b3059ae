"""ambientctl anchor status, list, retry, plan: the way of receipts into Bitcoin blocks."""

from typing import Protocol

from ambientd.api import anchor_replies, operations, requests
from ambientd.api.whole_lists import pages, whole
from ambientd.cli.console import (
    CommonArguments,
    connect,
    in_sat,
    in_words,
    print_fields,
    print_json,
    print_line,
    print_table,
    short,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.node_commands import chain_text, trouble_fields

HOUR_MS = 3_600_000


class ListArguments(CommonArguments, Protocol):
    """Options of `anchor status` and `anchor list`."""

    limit: int


class PlanArguments(CommonArguments, Protocol):
    """Options of `anchor plan`."""

    rate: list[int]
    receipts_a_day: int
    every: float


def status(arguments: ListArguments) -> ExitCode:
    """Tell how far receipts have come on their way into Bitcoin blocks."""
    answer = _ask(arguments)
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    waiting = answer.receipts - answer.receipts_anchored
    print_fields(
        [
            ("chain", chain_text(answer.chain)),
            ("receipts", f"{answer.receipts}, of which {answer.receipts_anchored} anchored"),
            ("waiting", in_words(waiting, "receipt")),
            *trouble_fields(answer.troubles),
        ]
    )
    if answer.anchors:
        print_line()
        rows = [_row(anchor) for anchor in answer.anchors]
        print_table(("ROOT", "RECEIPTS", "STATE", "HEIGHT", "CONFIRMATIONS", "TRANSACTION"), rows)
    return ExitCode.DONE


def show(arguments: ListArguments) -> ExitCode:
    """List batches with their anchors, and what this node pays for its own."""
    answer = _ask(arguments)
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    columns = ("ROOT", "RECEIPTS", "STATE", "HEIGHT", "CONFIRMATIONS", "TRANSACTION")
    rows = [(*_row(anchor), *_costs(anchor)) for anchor in answer.anchors]
    print_table((*columns, "FEE", "VERSIONS"), rows)
    return ExitCode.DONE


def retry(arguments: CommonArguments) -> ExitCode:
    """Have whatever waits tried again now."""
    with connect(arguments) as client:
        answer = client.call(operations.ANCHOR_RETRY, requests.RetryAnchors())
    if arguments.as_json:
        print_json(answer)
    else:
        print_line(f"{in_words(answer.anchors, 'anchor')} under way, looked at again now")
        print_line(f"the chain so far: {chain_text(answer.chain)}")
    return ExitCode.DONE


def plan(arguments: PlanArguments) -> ExitCode:
    """Show what anchors cost at some fee rates, before anything is spent."""
    request = requests.PlanAnchors(
        rates_msat_vb=tuple(arguments.rate),
        receipts_a_day=arguments.receipts_a_day,
        period_ms=round(arguments.every * 1_000),
    )
    with connect(arguments) as client:
        answer = client.call(operations.ANCHOR_PLAN, request)
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    estimate = answer.estimate_msat_vb
    a_day = answer.fee_sat_a_day_max
    day_cap = f"{a_day:,} sat a day" if a_day else "no cap a day"
    print_fields(
        [
            ("network", answer.network),
            ("anchor", f"{answer.vsize} vB, one every {answer.period_ms / HOUR_MS:g} h"),
            ("receipts", f"{answer.receipts_a_day:,} a day"),
            ("estimate", "none" if estimate is None else f"{estimate / 1_000:g} sat/vB"),
            ("caps", f"{answer.fee_sat_max:,} sat an anchor, {day_cap}"),
        ]
    )
    print_line()
    rows = [_cost_row(each) for each in answer.costs]
    print_table(("SAT/VB", "A BATCH", "A DAY", "A RECEIPT", "WITHIN THE CAPS"), rows)
    return ExitCode.DONE


def _ask(arguments: ListArguments) -> anchor_replies.Anchors:
    request = requests.GetAnchors()
    with connect(arguments) as client:
        found = pages(client.call, operations.ANCHOR_STATUS, request, arguments.limit)
        return whole(found, "anchors")


def _row(anchor: anchor_replies.AnchorInfo) -> tuple[str, ...]:
    return (
        short(anchor.root),
        str(anchor.size),
        anchor.state,
        "-" if anchor.height is None else str(anchor.height),
        "-" if anchor.confirmations is None else str(anchor.confirmations),
        anchor.txid or "-",
    )


def _costs(anchor: anchor_replies.AnchorInfo) -> tuple[str, ...]:
    fee = "-" if anchor.fee_sat is None else f"{anchor.fee_sat:,} sat"
    return fee, "-" if anchor.versions is None else str(anchor.versions)


def _cost_row(each: anchor_replies.AnchorCost) -> tuple[str, ...]:
    return (
        f"{each.rate_msat_vb / 1_000:g}",
        f"{each.anchor_sat:,} sat",
        in_sat(each.day_msat),
        in_sat(each.receipt_msat),
        "yes" if each.allowed else "no",
    )
