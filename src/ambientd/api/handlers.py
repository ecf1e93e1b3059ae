"""Which method of the desk answers which operation."""

from collections.abc import Mapping

from ambientd.api import image_operations, learning_operations, operations
from ambientd.api.answering import Handler
from ambientd.api.desk import Desk


def build_handlers(desk: Desk) -> Mapping[str, Handler]:
    """Give the whole table; an operation without a row here cannot be served."""
    return {
        operations.PING.name: desk.ping,
        operations.STATUS.name: desk.status,
        operations.READY.name: desk.ready,
        operations.NODES.name: desk.census.nodes,
        operations.NODE_SHOW.name: desk.census.show,
        operations.TELEMETRY_SHOW.name: desk.charting.telemetry,
        operations.CLUSTER_SHOW.name: desk.census.cluster,
        operations.TASK_SUBMIT.name: desk.submit,
        operations.TASK_QUOTE.name: desk.quote,
        operations.TASK_LIST.name: desk.list_tasks,
        operations.TASK_SHOW.name: desk.show_task,
        operations.TASK_WHY.name: desk.why,
        operations.TASK_WAIT.name: desk.wait_for_task,
        operations.TASK_CANCEL.name: desk.cancel,
        operations.TASK_OUTPUT.name: desk.output,
        operations.TASK_LOGS.name: desk.materials.log,
        operations.TASK_MATERIAL.name: desk.materials.material,
        operations.RECEIPT_GET.name: desk.receipt,
        operations.RECEIPT_VERIFY.name: desk.verifier.receipt,
        operations.HEADERS_VERIFY.name: desk.verifier.headers,
        operations.SPLIT_VERIFY.name: desk.verifier.split,
        operations.BLAME_VERIFY.name: desk.verifier.blame,
        operations.PROOF_VERIFY.name: desk.verifier.proof,
        operations.BLAME_LIST.name: desk.blaming.blames,
        operations.BLAME_EXPORT.name: desk.blaming.export,
        operations.CLUSTER_INVITE.name: desk.invite,
        operations.MEMBER_LIST.name: desk.seating.members,
        operations.MEMBER_ASK.name: desk.seating.ask,
        operations.MEMBER_VOTE.name: desk.seating.vote,
        operations.ACCOUNT_SHOW.name: desk.accounts.show,
        operations.ACCOUNT_LIST.name: desk.accounts.list_all,
        operations.ACCOUNT_HISTORY.name: desk.accounts.history,
        operations.ACCOUNT_TRANSFER.name: desk.accounts.transfer,
        operations.ACCOUNT_BOND.name: desk.accounts.bond,
        operations.ACCOUNT_UNBOND.name: desk.accounts.unbond,
        operations.MODULE_LIST.name: desk.registry.list,
        operations.MODULE_SHOW.name: desk.registry.show,
        operations.MODULE_PUBLISH.name: desk.registry.publish,
        operations.MODULE_YANK.name: desk.registry.yank,
        operations.MODULE_BRING.name: desk.registry.bring,
        operations.MODULE_PIN.name: desk.registry.pin,
        operations.MODULE_UNPIN.name: desk.registry.unpin,
        image_operations.IMAGE_NAME.name: desk.imaging.name,
        image_operations.IMAGE_SHOW.name: desk.imaging.show,
        operations.BACKUP_CREATE.name: desk.backups.make,
        operations.BACKUP_LOOK.name: desk.backups.look_at,
        operations.LOG_UPDATE.name: desk.log.update,
        operations.ANCHOR_STATUS.name: desk.anchoring.status,
        operations.ANCHOR_RETRY.name: desk.anchoring.retry,
        operations.ANCHOR_PLAN.name: desk.anchoring.plan,
        **_of_the_peg(desk),
        operations.OWNER_SHOW.name: desk.owning.show,
        operations.OWNER_SET.name: desk.owning.change,
        operations.PAUSE.name: desk.owning.pause,
        operations.RESUME.name: desk.owning.resume,
        operations.DOCTOR_LOOK.name: desk.doctoring.look,
        operations.LINKS.name: desk.doctoring.links,
        operations.WEBHOOK_TEST.name: desk.webhooks.test,
        **_learning(desk),
        operations.EVENTS.name: desk.events,
    }


def _learning(desk: Desk) -> Mapping[str, Handler]:
    return {
        learning_operations.FL_START.name: desk.learning.start,
        learning_operations.FL_LIST.name: desk.learning.list,
        learning_operations.FL_SHOW.name: desk.learning.show,
        learning_operations.FL_STOP.name: desk.learning.stop,
        learning_operations.FL_JOIN.name: desk.learning.join,
        learning_operations.FL_LEAVE.name: desk.learning.leave,
        learning_operations.FL_EXPORT.name: desk.learning.export,
        learning_operations.FL_RECEIPT.name: desk.learning.receipt,
        learning_operations.FL_BUDGET.name: desk.learning.budget,
        learning_operations.FL_BOUND.name: desk.learning.bound,
    }


def _of_the_peg(desk: Desk) -> Mapping[str, Handler]:
    return {
        operations.PEG_ADDRESS.name: desk.pegging.address,
        operations.PEG_LIST.name: desk.pegging.list_own,
        operations.PEG_QUOTE.name: desk.pegging.quote,
        operations.PEG_WITHDRAW.name: desk.pegging.withdraw,
        operations.PEG_RAISE.name: desk.pegging.raise_fee,
        operations.PEG_RETURN_QUOTE.name: desk.pegging.quote_return,
        operations.PEG_RETURN.name: desk.pegging.give_back,
        operations.PEG_AUDIT.name: desk.pegging.audit,
    }
