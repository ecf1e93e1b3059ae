"""Lessons: a participant's training as a task that anybody executes again (protocols/16 §8).

A lesson's input is put together from blobs that others know already: a header that follows from
the plan, the model that the round begins with, and the data that the participant committed to when
it joined. So its hash follows from what is in the ledger, and nobody can train on anything else.
"""

import struct
from typing import Final

from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import sha256, tagged
from ambientd.codec.statements import task_id
from ambientd.errors import ConfigError, RemoteProtocolError
from ambientd.model.base import DIGEST_BYTES, Digest, NodeId, Value
from ambientd.model.execution import ExecutionLimits
from ambientd.model.learning import (
    MODEL_BYTES_MAX,
    NO_MODULE,
    Lesson,
    LessonInput,
    Plan,
    StudyId,
    Terms,
)
from ambientd.model.task import Assurance, TaskSpec
from ambientd.rules.model_shapes import Kind, Model, parsed

LESSON_CLASS: Final = "fl-training"
"""The class of tasks that are lessons: the ledger makes them, and no submitter does."""

LESSON_MODULE_BYTES_MAX: Final = 1 << 20
INPUTS_MAX: Final = 1024
BATCH_MAX: Final = 1024
PASSES_MAX: Final = 1 << 16
RATE_SHIFT_MAX: Final = 24
SCALE: Final = 7
"""A sample's byte b stands for b / 2^7: what lies between 0 and 1 fits, the digits exactly."""

REPORT_BYTES: Final = 8
"""What a trainer says before its model: how many samples it reads right, of both kinds."""

LESSON_DATA_BYTES_MAX: Final = MODEL_BYTES_MAX
_HEADER: Final = struct.Struct("<12I")
_GAS_BASE: Final = 20_000_000
_GAS_A_PRODUCT: Final = 64
_FILTER: Final = 9
_MEMORY_BYTES: Final = 256 << 20
_SAMPLES_MAX: Final = 1 << 20


def is_proven(plan: Plan) -> bool:
    """Tell whether a study's participants prove what their training gives."""
    return plan.module != NO_MODULE and not plan.is_private


def rate_shift(batch: int, rate_micro: int) -> int:
    """Give the power of two that a batch's summed gradient is divided by, for a rate or less."""
    return max(0, (-(-batch * 1_000_000 // rate_micro) - 1).bit_length())


def trainer_fault(plan: Plan) -> str | None:
    """Say why no trainer in fixed point carries a plan out; None when there is one."""
    try:
        model = parsed(plan.model)
    except ConfigError as error:
        return str(error)
    if model.kind is Kind.MLP and len(model.sizes) != 3:
        return "the trainer in fixed point has one hidden layer: mlp:INPUTS,HIDDEN,CLASSES"
    hidden = model.sizes[1] * (model.pooled**2 if model.kind is Kind.CNN else 1)
    if model.inputs > INPUTS_MAX or hidden > INPUTS_MAX:
        return f"the trainer in fixed point has {INPUTS_MAX} inputs and hidden units at most"
    if plan.prox_micro:
        return "the trainers in fixed point have no prox; say trainer = numpy"
    if not 1 <= plan.batch <= BATCH_MAX:
        return f"the trainers in fixed point have batches of {BATCH_MAX} at most"
    if not 1 <= plan.passes < PASSES_MAX:
        return f"the trainers in fixed point make {PASSES_MAX - 1} passes at most"
    if not plan.rate_micro or rate_shift(plan.batch, plan.rate_micro) > RATE_SHIFT_MAX:
        return "the rate is too small for the trainers in fixed point"
    return None


def data_fault(plan: Plan, samples: int) -> str | None:
    """Say why so many samples are no lesson of a plan; None when they are one."""
    model = parsed(plan.model)
    if not 1 <= samples <= _SAMPLES_MAX or data_bytes(model, samples) > LESSON_DATA_BYTES_MAX:
        return f"{samples} samples: 1 to {_SAMPLES_MAX}, of 64 MiB together, make a lesson"
    needed, most = _gas(plan, model, samples), ExecutionLimits().gas_max
    if needed > most:
        return (
            f"{plan.passes} passes over {samples} samples may take {needed} gas, and a lesson has "
            f"{most}: name less data"
        )
    return None


def data_bytes(model: Model, samples: int) -> int:
    """Give how many bytes so many samples are: one for each input, and the label."""
    return samples * (model.inputs + 1)


def data_samples(parts: LessonInput) -> int:
    """Give how many samples a lesson is of, as its header says."""
    return int(_HEADER.unpack(parts.header)[3])


def _gas(plan: Plan, model: Model, samples: int) -> int:
    """Bound what training costs: measured are 35 gas a product, and the rest is for all else."""
    products = model.count + 64
    if model.kind is Kind.CNN:
        products += 4 * _FILTER * model.sizes[1] * model.pooled**2
    return _GAS_BASE + _GAS_A_PRODUCT * products * plan.passes * samples


def lesson_of(
    study: StudyId,
    number: int,
    node: NodeId,
    plan: Plan,
    terms: Terms,
    before: Digest,
    data: Digest,
    samples: int,
    price_msat_per_mgas: int,
) -> Lesson:
    """Give the task that a participant's training in a round is; everything about it follows."""
    model = parsed(plan.model)
    header = _HEADER.pack(
        *(model.sizes[0], model.sizes[1], model.classes, samples, 0),
        *(number * plan.passes % PASSES_MAX, plan.passes, plan.batch),
        *(rate_shift(plan.batch, plan.rate_micro), SCALE),
        *(int.from_bytes(plan.seed[:4], "little"), 1),
    )
    parts = LessonInput(
        header=header,
        model=before,
        model_size_bytes=model_bytes(plan),
        data=data,
        data_size_bytes=data_bytes(model, samples),
    )
    manifest = encode(parts)
    limits = ExecutionLimits()
    spec = TaskSpec(
        module=plan.module,
        input=Digest(sha256(manifest)),
        module_size_bytes=terms.module_size_bytes,
        input_size_bytes=len(manifest),
        gas_max=_gas(plan, model, samples),
        memory_bytes_max=_MEMORY_BYTES,
        wall_ms_max=limits.wall_ms_max,
        output_bytes_max=output_bytes(plan),
        assurance=Assurance.NONE,
        replicas=1,
        price_msat_per_mgas=price_msat_per_mgas,
        task_class=LESSON_CLASS,
    )
    nonce = tagged("ambient/lesson/1", study, number.to_bytes(8, "big"))
    return Lesson(
        task=task_id(node, nonce, spec), submitter=node, nonce=nonce, spec=spec, parts=parts
    )


def output_bytes(plan: Plan) -> int:
    """Give how long what a lesson comes to is, which is the participant's update."""
    return REPORT_BYTES + model_bytes(plan)


def model_bytes(plan: Plan) -> int:
    """Give how long a plan's model is."""
    return 4 * parsed(plan.model).count


def lesson_parts(spec: TaskSpec, manifest: bytes) -> LessonInput | None:
    """Give what a task's input is put together of; None where it is an input as it is."""
    if spec.task_class != LESSON_CLASS:
        return None
    try:
        parts: LessonInput = decode(manifest, LessonInput)
    except RemoteProtocolError:
        return None
    sizes = (parts.model_size_bytes, parts.data_size_bytes)
    is_sound = all(0 <= size <= MODEL_BYTES_MAX for size in sizes)
    return parts if is_sound and {len(parts.model), len(parts.data)} == {DIGEST_BYTES} else None


class WholeInput(Value, frozen=True):
    """A lesson's input with its parts, as a certificate carries it for strangers."""

    header: bytes
    model: bytes
    data: bytes


def whole_input(parts: LessonInput, model: bytes, data: bytes) -> bytes:
    """Give the bytes of a lesson's input for a certificate."""
    return encode(WholeInput(header=parts.header, model=model, data=data))


def joined(parts: LessonInput, model: bytes, data: bytes) -> bytes:
    """Give what the module is given."""
    return parts.header + model + data


def input_of(spec: TaskSpec, given: bytes) -> tuple[bytes, bytes]:
    """Give the hash by which a task knows an input out of a certificate, and what is executed."""
    if spec.task_class != LESSON_CLASS or sha256(given) == spec.input:
        return sha256(given), given
    try:
        whole: WholeInput = decode(given, WholeInput, 3 * MODEL_BYTES_MAX)
    except RemoteProtocolError:
        return sha256(given), given
    parts = LessonInput(
        header=whole.header,
        model=Digest(sha256(whole.model)),
        model_size_bytes=len(whole.model),
        data=Digest(sha256(whole.data)),
        data_size_bytes=len(whole.data),
    )
    return sha256(encode(parts)), joined(parts, whole.model, whole.data)
