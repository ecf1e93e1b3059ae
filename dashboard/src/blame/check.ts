/**
 * Check a blame certificate in the browser: who says what of whom, and that it excludes each other
 * (protocols/13 section 3, all but the replay, which takes an engine).
 */

import { type Bytes, bigEndian, equal, hex, sha256, tagged } from "../codec/bytes";
import {
  DecodeError,
  decode,
  encodeBytes,
  encodeList,
  encodeNumber,
  encodeText,
} from "../codec/canonical";
import { bytes, list } from "../codec/fields";
import { verify } from "../codec/signing";
import { verdictIsSigned } from "../receipt/agreement";
import { followEpochs, quorum } from "../receipt/committees";
import { benches, type Check, checkCluster, note, resultRoot, short } from "../receipt/examination";
import { foundersFault } from "../receipt/shape";
import type { SignedReceipt } from "../receipt/values";
import { convicted, segmentIsSigned, traceIsSigned } from "./contradictions";
import { readState } from "./state";
import {
  type BlameFile,
  blameFile,
  type TracePoint,
  type WrongResult,
  type WrongStep,
} from "./values";

const FILE_BYTES_MAX = 256 * 1024 * 1024;
const MEMBERS_MAX = 128;
const EPOCHS_MAX = 1024;
const AUDITS_MAX = 16;
const AUDIT_STRATEGY = "weighted";
const LESSON_CLASS = "fl-training";
const POINTS = 15n;
const SEGMENT_GAS = 1_000_000n;
const PLAIN = /^[\x20-\x7e]*$/;
const BEGINNING = new Uint8Array(32);

/** What a check of a certificate found. */
export interface BlameReport {
  readonly checks: readonly Check[];
  readonly trust: readonly string[];
  readonly culprit: string;
  readonly cluster: string;
  readonly isPinned: boolean;
  readonly isValid: boolean;
}

interface Examination {
  readonly file: BlameFile;
  readonly cluster: Bytes;
  readonly committees: (readonly Bytes[])[];
  readonly checks: Check[];
}

/** Check a `*.blame` file; never throws, whatever the bytes are. */
export function checkBlameFile(data: Bytes, pinned?: Bytes): BlameReport {
  const file = readFile(data);
  if (typeof file === "string") {
    const checks = [{ name: "format", ok: false, detail: file }];
    return { checks, trust: [], culprit: "", cluster: "", isPinned: false, isValid: false };
  }
  const cluster = tagged("ambient/genesis/1", file.genesis.raw);
  const founders = file.genesis.members.map((member) => member.node);
  const exam: Examination = { file, cluster, committees: [founders], checks: [] };
  note(exam, "format", null, `version ${file.version}, ${data.length} bytes in canonical form`);
  checkCluster(exam, pinned);
  if (file.epochs.length > 0) checkCommittee(exam);
  checkEvidence(exam);
  return {
    checks: exam.checks,
    trust: trustSentences(exam, pinned !== undefined),
    culprit: hex(file.culprit),
    cluster: hex(cluster),
    isPinned: pinned !== undefined,
    isValid: exam.checks.every((check) => check.ok),
  };
}

function readFile(data: Bytes): BlameFile | string {
  try {
    const file = blameFile(decode(data, FILE_BYTES_MAX), "file");
    return shapeFault(file) ?? file;
  } catch (error) {
    if (error instanceof DecodeError) return `this is no blame certificate: ${error.message}`;
    throw error;
  }
}

function shapeFault({ version, genesis, epochs, evidence, module, input }: BlameFile) {
  if (version !== 1n) return `version ${version} is unknown here, only 1 is`;
  const fault = foundersFault(genesis);
  if (fault !== null) return fault;
  if (epochs.length > EPOCHS_MAX) return `${epochs.length} epochs are too many`;
  const texts: [string, number][] = [[genesis.bitcoinNetwork, 32]];
  if (evidence.tag === "contradiction") {
    if (module !== null || input !== null) return "two statements need no module and no input";
    texts.push([evidence.it.kind, 32]);
  } else {
    const { task, verdicts } = evidence.it;
    const { receipt } = evidence.it.receipt;
    if (verdicts.length > MEMBERS_MAX) return `${verdicts.length} verdicts are too many`;
    if (task.nonce.length > 64) return "the nonce is too long";
    if (evidence.tag === "step" && evidence.it.traces.length > 2) return "too many traces";
    texts.push([receipt.engine, 64], [receipt.engineVersion, 64], [receipt.energySource, 64]);
    texts.push([receipt.result.reason, 256]);
    if (evidence.tag === "result") {
      for (const { result } of evidence.it.verdicts) texts.push([result.reason, 256]);
    }
  }
  const isPlain = texts.every(([text, most]) => text.length <= most && PLAIN.test(text));
  return isPlain ? null : "a text is too long, or is not printable ASCII";
}

function checkCommittee(exam: Examination): void {
  const found = followEpochs(exam.file.genesis, exam.cluster, exam.file.epochs);
  if (typeof found === "string") {
    note(exam, "committee", found, "");
    return;
  }
  exam.committees.push(...found.map((epoch) => epoch.members));
  const count = exam.committees.at(-1)?.length ?? 0;
  note(exam, "committee", null, `${count} members, by ${found.length} changes, each signed`);
}

function checkEvidence(exam: Examination): void {
  const { file, cluster } = exam;
  const { evidence, culprit } = file;
  if (evidence.tag === "contradiction") {
    const bench = { genesis: file.genesis, cluster, ends: file.epochs };
    const found = convicted(evidence.it, bench);
    const fault =
      found && equal(found, culprit) ? null : `the statements do not convict ${short(culprit)}`;
    const text = `${short(culprit)} signed two statements (${evidence.it.kind}) that exclude each other`;
    note(exam, "statements", fault, text);
    return;
  }
  const { task, receipt } = evidence.it;
  const name = tagged("ambient/task/1", task.submitter, task.nonce, task.spec.raw);
  note(exam, "task", limitsFault(task.spec), `${hex(name)}, of submitter ${short(task.submitter)}`);
  checkReceipt(exam, evidence.it, name, receipt);
  if (evidence.tag === "result") checkVerdicts(exam, evidence.it, name);
  else checkStep(exam, evidence.it, name);
  checkBlobs(exam, evidence.it);
}

function limitsFault(spec: WrongStep["task"]["spec"]): string | null {
  const bounds: [bigint, bigint, bigint][] = [
    [spec.memoryBytesMax, 65_536n, 8192n * 65_536n],
    [spec.wallMsMax, 1n, 3_600_000n],
    [spec.gasMax, 1n, 1n << 62n],
    [spec.outputBytesMax, 0n, 64n << 20n],
  ];
  const isPossible = bounds.every(([value, least, most]) => value >= least && value <= most);
  return isPossible ? null : "nobody executes such a task: its limits are impossible";
}

/** Give the ids under which a task's first audits run: the same execution, by others. */
function auditIds(task: Bytes): Bytes[] {
  return Array.from({ length: AUDITS_MAX }, (_, number) =>
    tagged("ambient/audit-task/1", task, bigEndian(number, 4)),
  );
}

/** Give the specification of a task's audits: one auditor, whenever, by the plain draw. */
function auditSpec(spec: WrongStep["task"]["spec"]): Bytes {
  const parts = [...spec.parts];
  const names = Object.keys(spec).filter((name) => name !== "raw" && name !== "parts");
  const put = (name: keyof typeof spec, value: Bytes) => {
    parts[names.indexOf(name)] = value;
  };
  put("assurance", encodeNumber(0n));
  put("replicas", encodeNumber(1n));
  put("deadlineMs", encodeNumber(0n));
  put("attempts", encodeNumber(0n));
  put("strategy", encodeText(AUDIT_STRATEGY));
  return encodeList(...parts);
}

function checkReceipt(
  exam: Examination,
  { task }: WrongResult | WrongStep,
  name: Bytes,
  { receipt, signature }: SignedReceipt,
): void {
  const { culprit } = exam.file;
  const isAudit = auditIds(name).some((each) => equal(each, receipt.task));
  const spec = isAudit ? auditSpec(task.spec) : task.spec.raw;
  let fault: string | null = null;
  const isSigned =
    equal(receipt.worker, culprit) &&
    verify(culprit, "receipt", exam.cluster, receipt.raw, signature);
  if (!isSigned) fault = `${short(culprit)} did not sign this receipt`;
  else if (!equal(receipt.task, name) && !isAudit) fault = "the receipt answers another task";
  else if (!equal(receipt.spec, tagged("ambient/spec/1", spec))) {
    fault = "the receipt answers another specification";
  } else if (receipt.started.marks !== null) {
    fault = "the answer stands on others' states: it does not show whose word was false";
  }
  const { output, gas } = receipt.result;
  note(exam, "receipt", fault, `${short(culprit)} signed output ${short(output)}, ${gas} gas`);
}

/** Say why these are not a quorum of one committee, each once. */
function benchFault(exam: Examination, referees: readonly Bytes[]): string | null {
  if (new Set(referees.map(hex)).size !== referees.length) return "one referee is counted twice";
  const sizes = benches(exam, referees);
  if (sizes.length === 0) return "the referees are not all members of one committee";
  const needed = quorum(Math.min(...sizes));
  if (referees.length >= needed) return null;
  return `${referees.length} referees said so, ${needed} are needed`;
}

function checkVerdicts(exam: Examination, { verdicts, receipt }: WrongResult, name: Bytes): void {
  const roots = new Set(verdicts.map(({ result }) => resultRoot(result)));
  const about = new Set(verdicts.map(({ task }) => hex(task)));
  const known = new Set([name, ...auditIds(name)].map(hex));
  let fault = benchFault(
    exam,
    verdicts.map(({ referee }) => referee),
  );
  if (about.size > 1 || [...about].some((task) => !known.has(task))) {
    fault = "a verdict is on another task";
  } else if (roots.size !== 1) {
    fault = "the referees do not all say the same";
  } else if (!verdicts.every((verdict) => verdictIsSigned(verdict, exam.cluster))) {
    fault = "a referee did not sign its verdict";
  } else if (roots.has(resultRoot(receipt.receipt.result))) {
    fault = "the referees found what the receipt says";
  }
  const output = verdicts[0]?.result.output ?? BEGINNING;
  note(exam, "referees", fault, `${verdicts.length} members found output ${short(output)}`);
}

function checkStep(exam: Examination, step: WrongStep, name: Bytes): void {
  checkTraces(exam, step, name);
  checkSegment(exam, step, name);
  if (step.verdicts.length > 0) checkState(exam, step);
}

function isBeginning({ gasIndex, root }: TracePoint): boolean {
  return gasIndex === 0n && equal(root, BEGINNING);
}

/** Give the gas indices that cut a stretch into 16; none when it is short (protocols/12). */
function targets(low: bigint, until: bigint): bigint[] {
  if (until - low <= SEGMENT_GAS) return [];
  const step = (until - low + POINTS) / (POINTS + 1n);
  return Array.from({ length: Number(POINTS) }, (_, number) => low + step * BigInt(number + 1));
}

/** Give where the culprit said that it was at the end of the stretch; in all honesty, one. */
function claimsOf({ verdicts, receipt, traces }: WrongStep): string[] {
  const until = verdicts[0]?.untilGas ?? 0n;
  const { result } = receipt.receipt;
  const said = result.gas < until ? [`${result.gas} ${resultRoot(result)}`] : [];
  for (const trace of traces) {
    if (trace.points.length === 0 && trace.stateSizeBytes === 0n) continue;
    const asked = targets(trace.low.gasIndex, trace.untilGas);
    trace.points.forEach((point, at) => {
      if (asked[at] === until) said.push(pointOf(point));
    });
  }
  return [...new Set(said)];
}

function pointOf({ gasIndex, root }: TracePoint): string {
  return `${gasIndex} ${hex(root)}`;
}

function checkTraces(exam: Examination, step: WrongStep, name: Bytes): void {
  const { traces, verdicts } = step;
  const who = short(exam.file.culprit);
  let [fault, found]: [string | null, string] = [null, ""];
  const areSigned = traces.every(
    (each) => equal(each.party, exam.file.culprit) && traceIsSigned(each, exam.cluster),
  );
  if (!areSigned) fault = `${who} did not sign a trace`;
  else if (traces.some((each) => !equal(each.task, name))) fault = "a trace is of another task";
  else if (verdicts[0] !== undefined) {
    const { start, untilGas } = verdicts[0];
    const isSaid = isBeginning(start) || traces.some((each) => equal(each.low.raw, start.raw));
    const claims = claimsOf(step);
    if (untilGas <= start.gasIndex) fault = `a stretch to ${untilGas} does not begin there`;
    else if (!isSaid) fault = `${who} never said that its execution stood at the start`;
    else if (claims.length === 0) fault = `${who} never said where it was at ${untilGas}`;
    else found = `${who} signed where it came from ${start.gasIndex} to ${untilGas} of gas`;
  }
  note(exam, "traces", fault, found);
}

function checkSegment(exam: Examination, step: WrongStep, name: Bytes): void {
  const { verdicts } = step;
  let fault = benchFault(
    exam,
    verdicts.map(({ referee }) => referee),
  );
  let found = "";
  const said = verdicts.map(
    (each) => `${hex(each.start.raw)} ${each.untilGas} ${hex(each.end.raw)}`,
  );
  const end = verdicts[0]?.end;
  if (verdicts.some(({ task }) => !equal(task, name))) fault = "a verdict is on another task";
  else if (new Set(said).size !== 1) fault = "the referees do not all say the same";
  else if (!verdicts.every((each) => segmentIsSigned(each, exam.cluster))) {
    fault = "a referee did not sign its verdict";
  } else if (fault === null && end !== undefined) {
    found = `${verdicts.length} members came to ${short(end.root)} at gas index ${end.gasIndex}`;
    if (claimsOf(step).includes(pointOf(end))) fault = "the referees came to where the traces came";
  }
  note(exam, "referees", fault, found);
}

/** See that the state in the file is the one at the start of the stretch. */
function checkState(exam: Examination, { verdicts, state, task }: WrongStep): void {
  const start = verdicts[0]?.start;
  if (start === undefined) return;
  if (isBeginning(start)) {
    const fault =
      state.length > 0 ? "the stretch begins with the execution, yet here is a state" : null;
    note(exam, "state", fault, "none is needed: the stretch begins with the execution");
    return;
  }
  try {
    const found = readState(state);
    let fault: string | null = null;
    if (found.gasIndex !== start.gasIndex || !equal(found.root, start.root)) {
      fault = "the state is not the one at the start of the stretch";
    } else if (!equal(found.input, task.spec.input)) {
      fault = "the state is of another input";
    }
    const without = found.pagesLeftOut > 0 ? `, ${found.pagesLeftOut} of them left out` : "";
    note(exam, "state", fault, `${found.pages} pages of memory${without}, of the signed root`);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    note(exam, "state", error.message, "");
  }
}

function checkBlobs(exam: Examination, { task }: WrongResult | WrongStep): void {
  for (const name of ["module", "input"] as const) {
    const data = exam.file[name];
    if (data === null) continue;
    const found = name === "input" ? inputHash(task.spec.taskClass, data) : sha256(data);
    const fault = equal(found, task.spec[name]) ? null : `the ${name} is not the task's`;
    note(exam, name, fault, `${hex(task.spec[name])}, ${data.length} bytes`);
  }
}

/** Give the hash by which a task knows an input: a participant's training names its parts. */
export function inputHash(taskClass: string, data: Bytes): Bytes {
  if (taskClass !== LESSON_CLASS) return sha256(data);
  const parts = partsOf(data);
  if (parts === null) return sha256(data);
  const [header, model, samples] = parts;
  const named = [model, samples].flatMap((part) => [
    encodeBytes(sha256(part)),
    encodeNumber(BigInt(part.length)),
  ]);
  return sha256(encodeList(encodeBytes(header), ...named));
}

function partsOf(data: Bytes): readonly [Bytes, Bytes, Bytes] | null {
  try {
    const [header, model, samples] = list(bytes, 3, 3)(decode(data, FILE_BYTES_MAX), "input");
    return header && model && samples ? [header, model, samples] : null;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return null;
  }
}

function trustSentences({ file, committees }: Examination, isPinned: boolean): string[] {
  const sentences: string[] = [];
  if (!isPinned) {
    sentences.push(
      "That the cluster is the one you mean: anyone can invent a cluster. Compare its fingerprint with one that you got elsewhere.",
    );
  }
  const { evidence } = file;
  if (evidence.tag !== "contradiction") {
    const count = evidence.it.verdicts.length;
    sentences.push(
      `The ${count} members who say what the execution gives, and that no such quorum conspired: nothing was executed here. \`ambientctl blame verify\` executes it again.`,
    );
  }
  const hangsOnKeys = evidence.tag !== "contradiction" || evidence.it.kind === "log";
  if (committees.length > 1 && hangsOnKeys) {
    sentences.push(
      "That no quorum of an earlier committee signed for other successors, then or since.",
    );
  }
  sentences.push("That the node kept its key to itself: whoever has it can sign in its name.");
  return sentences;
}
