"""The operations of federated learning, for the table in `operations`."""

from ambientd.api import learning_values as values
from ambientd.api.operation import Operation
from ambientd.api.routes import Scope, get, post

FL_START = Operation(
    "fl.start",
    values.StartStudy,
    values.StudyInfo,
    post("/studies", Scope.ADMIN, "invite nodes to train a model together", status=201),
)
FL_LIST = Operation(
    "fl.list", values.ListStudies, values.Studies, get("/studies", "the studies and their states")
)
FL_SHOW = Operation(
    "fl.show",
    values.ShowStudy,
    values.StudyDetail,
    get("/studies/{study}", "one study with its rounds"),
)
FL_STOP = Operation(
    "fl.stop",
    values.StopStudy,
    values.StudyInfo,
    post("/studies/{study}/stop", Scope.ADMIN, "end a study that this node began"),
)
FL_JOIN = Operation(
    "fl.join",
    values.JoinStudy,
    values.StudyInfo,
    post("/studies/{study}/join", Scope.ADMIN, "let this node train on its own data for a study"),
)
FL_LEAVE = Operation(
    "fl.leave",
    values.LeaveStudy,
    values.StudyInfo,
    post("/studies/{study}/leave", Scope.ADMIN, "let this node take part no more"),
)
FL_EXPORT = Operation(
    "fl.export",
    values.ExportModel,
    values.ModelFile,
    get("/studies/{study}/model", "a study's present model as a file", raw="data"),
)

FL_RECEIPT = Operation(
    "fl.receipt",
    values.GetRound,
    values.RoundFileReply,
    get("/studies/{study}/rounds/{round}", "what shows a stranger a round's outcome", raw="data"),
)

FL_BUDGET = Operation(
    "fl.budget",
    values.GetBudget,
    values.Budget,
    get("/privacy", "what private studies have spent here"),
)

FL_BOUND = Operation(
    "fl.bound",
    values.BoundBudget,
    values.Budget,
    post("/privacy", Scope.ADMIN, "bound what all private studies may spend here together"),
)

LEARNING = (
    FL_START,
    FL_LIST,
    FL_SHOW,
    FL_STOP,
    FL_JOIN,
    FL_LEAVE,
    FL_EXPORT,
    FL_RECEIPT,
    FL_BUDGET,
    FL_BOUND,
)
