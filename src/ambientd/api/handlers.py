"""Which method of the desk answers which operation."""

from collections.abc import Mapping

from ambientd.api import operations
from ambientd.api.desk import Desk
from ambientd.api.local_socket import Handler


def build_handlers(desk: Desk) -> Mapping[str, Handler]:
    """Give the whole table; an operation without a row here cannot be served."""
    return {
        operations.PING.name: desk.ping,
        operations.STATUS.name: desk.status,
        operations.NODES.name: desk.nodes,
        operations.TASK_SUBMIT.name: desk.submit,
        operations.TASK_QUOTE.name: desk.quote,
        operations.TASK_LIST.name: desk.list_tasks,
        operations.TASK_SHOW.name: desk.show_task,
        operations.TASK_WHY.name: desk.why,
        operations.TASK_WAIT.name: desk.wait_for_task,
        operations.TASK_CANCEL.name: desk.cancel,
        operations.TASK_OUTPUT.name: desk.output,
        operations.RECEIPT_GET.name: desk.receipt,
        operations.BLAME_LIST.name: desk.blaming.blames,
        operations.BLAME_EXPORT.name: desk.blaming.export,
        operations.CLUSTER_INVITE.name: desk.invite,
        operations.MEMBER_LIST.name: desk.seating.members,
        operations.MEMBER_ASK.name: desk.seating.ask,
        operations.MEMBER_VOTE.name: desk.seating.vote,
        operations.ACCOUNT_SHOW.name: desk.accounts.show,
        operations.ACCOUNT_TRANSFER.name: desk.accounts.transfer,
        operations.ACCOUNT_BOND.name: desk.accounts.bond,
        operations.ACCOUNT_UNBOND.name: desk.accounts.unbond,
        operations.BACKUP_CREATE.name: desk.back_up,
        operations.LOG_UPDATE.name: desk.log.update,
        operations.ANCHOR_STATUS.name: desk.anchoring.status,
        operations.ANCHOR_RETRY.name: desk.anchoring.retry,
        operations.ANCHOR_PLAN.name: desk.anchoring.plan,
        operations.PEG_ADDRESS.name: desk.pegging.address,
        operations.PEG_LIST.name: desk.pegging.list_own,
        operations.PEG_WITHDRAW.name: desk.pegging.withdraw,
        operations.PEG_RAISE.name: desk.pegging.raise_fee,
        operations.PEG_AUDIT.name: desk.pegging.audit,
        operations.EVENTS.name: desk.events,
    }
