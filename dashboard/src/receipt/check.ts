/**
 * Check a receipt file in the browser: no daemon, no network (protocols/06-receipts.md section 7).
 *
 * Every check is named and says what it found; what no arithmetic can show is said as trust.
 */

import { type Bytes, base64, equal, hex, sha256, tagged, utf8 } from "../codec/bytes";
import { DecodeError, decode, encodeList, encodeNumber } from "../codec/canonical";
import { leafHash, rootFromInclusion } from "../codec/merkle";
import { verify, verifyBytes } from "../codec/signing";
import { checkAgreement, replicasMax } from "./agreement";
import { checkAnchor, NETWORKS } from "./bitcoin";
import { extentFits, itemChecks, readItemReceipt } from "./bundles";
import { epochHash, epochLeaf, followEpochs, includes, quorum } from "./committees";
import { type Check, checkCluster, type Examination, note, present, short } from "./examination";
import { marksFault, marksText } from "./marks";
import { shapeFault, utc } from "./shape";
import { trustSentences } from "./trust";
import { type ReceiptFile, receiptFile, type SignedReceipt, Verdict } from "./values";

const FILE_BYTES_MAX = 1024 * 1024;
const ITEM_BYTES_MAX = FILE_BYTES_MAX + 4096;
const ADMIT_TAG = 4n;
const NONCE_AT = 3;
const OUTCOMES = ["completed", "trapped", "out of gas", "refused"];

/** What a check of a receipt file found; `file` is null when the bytes are none. */
export interface Report {
  readonly checks: readonly Check[];
  readonly trust: readonly string[];
  readonly file: ReceiptFile | null;
  readonly cluster: string;
  /** Whether the cluster was compared with one that was meant: else anyone can have invented it. */
  readonly isPinned: boolean;
  readonly isValid: boolean;
}

/** What a file is compared with, as far as it is given. */
export interface Given {
  /** The fingerprint of the cluster that is meant. */
  readonly pinned?: Bytes;
  /** The hash of an epoch that is known to be right. */
  readonly trustedEpoch?: Bytes;
  readonly output?: Bytes;
}

/** Tell whether bytes are the receipt of one item of a bundle. */
export function isItemReceipt(data: Bytes): boolean {
  return readItemReceipt(data, ITEM_BYTES_MAX) !== null;
}

/** Check a `*.receipt` file against what is given; never throws, whatever the bytes are. */
export function checkReceiptFile(data: Bytes, given: Given = {}): Report {
  const item = readItemReceipt(data, ITEM_BYTES_MAX);
  if (item === null) return checkTaskFile(data, given);
  const { output, ...others } = given;
  const report = checkTaskFile(item.receipt, others);
  if (report.file === null) return report;
  const checks = [...report.checks, ...itemChecks(item, report.file, output)];
  return { ...report, checks, isValid: checks.every((check) => check.ok) };
}

function checkTaskFile(data: Bytes, given: Given): Report {
  const file = readFile(data);
  if (typeof file === "string") {
    const checks = [{ name: "format", ok: false, detail: file }];
    return { checks, trust: [], file: null, cluster: "", isPinned: false, isValid: false };
  }
  const cluster = tagged("ambient/genesis/1", file.genesis.raw);
  const founders = file.genesis.members.map((member) => member.node);
  const exam: Examination = { file, cluster, committees: [founders], epochs: [], checks: [] };
  note(exam, "format", null, `version ${file.version}, ${data.length} bytes in canonical form`);
  checkCluster(exam, given.pinned);
  if (file.epochs.length > 0 || given.trustedEpoch) checkCommittee(exam, given.trustedEpoch);
  checkIssuer(exam);
  checkTask(exam);
  for (const signed of file.receipts) checkReceipt(exam, signed);
  checkSettlement(exam);
  checkAgreement(exam);
  checkInclusion(exam);
  if (file.doubt !== null) note(exam, "standing", doubtFault(exam), "");
  if (file.epochLeaf !== null) checkEpoch(exam);
  checkNote(exam);
  const anchoredS = checkAnchored(exam);
  if (given.output) checkOutput(exam, given.output);
  return {
    checks: exam.checks,
    trust: trustSentences(exam, given, anchoredS),
    file,
    cluster: hex(cluster),
    isPinned: given.pinned !== undefined,
    isValid: exam.checks.every((check) => check.ok),
  };
}

function readFile(data: Bytes): ReceiptFile | string {
  try {
    const file = receiptFile(decode(data, FILE_BYTES_MAX), "file");
    return shapeFault(file) ?? file;
  } catch (error) {
    if (error instanceof DecodeError) return `this is no receipt file: ${error.message}`;
    throw error;
  }
}

function checkCommittee(exam: Examination, trusted: Bytes | undefined): void {
  const found = followEpochs(exam.file.genesis, exam.cluster, exam.file.epochs);
  if (typeof found === "string") {
    note(exam, "committee", found, "");
    return;
  }
  exam.epochs.push(...found);
  exam.committees.push(...found.map((epoch) => epoch.members));
  const known = found.find((epoch) => trusted && equal(epochHash(epoch), trusted));
  const fault =
    trusted && !known ? "no epoch on the way from the founders has the hash that was given" : null;
  const way = `${present(exam).length} members, by ${found.length} changes that a quorum signed each`;
  note(exam, "committee", fault, known ? `${way}; epoch ${known.number} is the one given` : way);
}

function checkIssuer(exam: Examination): void {
  const { file, cluster } = exam;
  const sealed = encodeList(...file.parts.slice(0, -1));
  const isMember = exam.committees.some((seats) => includes(seats, file.issuer));
  const mayIssue = isMember || (file.note !== null && equal(file.issuer, file.submitter));
  const who = short(file.issuer);
  let fault: string | null = null;
  if (!mayIssue) {
    fault = `${who} issued the file and is neither a member nor the submitter`;
  } else if (!verify(file.issuer, "receipt-file", cluster, sealed, file.signature)) {
    fault = `the signature of ${who} does not fit the file: bytes were changed`;
  }
  note(
    exam,
    "issuer",
    fault,
    `${isMember ? "member" : "submitter"} ${who} signed the file as it is`,
  );
}

function checkTask(exam: Examination): void {
  const { file, cluster } = exam;
  const { settlement, spec } = file;
  // What was signed are the bytes of nonce, specification and time limit as they stand in the file.
  const admit = encodeList(encodeNumber(ADMIT_TAG), ...file.parts.slice(NONCE_AT, NONCE_AT + 3));
  let fault: string | null = null;
  if (!verify(file.submitter, "record", cluster, admit, file.admitSignature)) {
    fault = `submitter ${short(file.submitter)} did not sign this specification`;
  } else if (
    !equal(settlement.task, tagged("ambient/task/1", file.submitter, file.nonce, spec.raw)) ||
    !equal(settlement.submitter, file.submitter)
  ) {
    fault = "the settlement belongs to another task";
  } else if (!equal(settlement.spec, tagged("ambient/spec/1", spec.raw))) {
    fault = "the settlement belongs to another specification";
  }
  const found = `${hex(settlement.task)}, signed by submitter ${short(file.submitter)}`;
  note(exam, "task", fault, found);
}

function checkReceipt(exam: Examination, signed: SignedReceipt): void {
  const { receipt } = signed;
  const outcome = OUTCOMES[Number(receipt.result.kind)] ?? `outcome ${receipt.result.kind}`;
  const engine = `${receipt.engine} ${receipt.engineVersion}`;
  const ended = `${outcome}, ${receipt.result.gas} gas${marksText(receipt)}`;
  const found = `worker ${short(receipt.worker)} on ${engine}: ${ended}`;
  note(exam, `receipt ${receipt.slot}`, receiptFault(exam, signed), found);
}

function receiptFault(exam: Examination, { receipt, signature }: SignedReceipt): string | null {
  const { file, cluster } = exam;
  const { result } = receipt;
  if (!verify(receipt.worker, "receipt", cluster, receipt.raw, signature)) {
    return `worker ${short(receipt.worker)} did not sign this receipt`;
  }
  if (!equal(receipt.task, file.settlement.task) || !equal(receipt.spec, file.settlement.spec)) {
    return "the receipt answers another task";
  }
  if (!equal(receipt.module, file.spec.module) || !equal(receipt.input, file.spec.input)) {
    return "the receipt is about another module or input";
  }
  if (receipt.slot < 0n || receipt.slot >= replicasMax(exam)) {
    return `the task has no slot ${receipt.slot}`;
  }
  if (result.gas < 0n || result.gas > file.spec.gasMax) {
    return `${result.gas} gas is outside the task's limit of ${file.spec.gasMax}`;
  }
  if (!extentFits(result, file.spec)) {
    return "the output is larger than the task allows, or not of its items";
  }
  if (result.kind < 0n || result.kind > 3n) return `${result.kind} is no outcome`;
  return marksFault(receipt, file.spec, cluster);
}

/** Compare the hashes that the leaf binds with the statements that the file carries. */
function checkSettlement(exam: Examination): void {
  const { settlement, receipts, verdicts } = exam.file;
  const areSame = (named: readonly Bytes[], there: readonly { raw: Bytes }[]) =>
    named.length === there.length &&
    named.every((hash, at) => equal(hash, sha256((there[at] as { raw: Bytes }).raw)));
  let fault: string | null = null;
  if (!areSame(settlement.receipts, receipts)) {
    fault = "the settlement names other receipts than the file carries";
  } else if (!areSame(settlement.referees, verdicts)) {
    fault = "the settlement names other verdicts than the file carries";
  } else if (new Set(receipts.map(({ receipt }) => hex(receipt.worker))).size !== receipts.length) {
    fault = "one worker answered twice";
  } else if (new Set(receipts.map(({ receipt }) => receipt.slot)).size !== receipts.length) {
    fault = "one slot was answered twice";
  }
  const found = `names ${receipts.length} receipts and ${verdicts.length} verdicts, all here`;
  note(exam, "settlement", fault, found);
}

function checkInclusion(exam: Examination): void {
  const { file } = exam;
  if (file.note === null) {
    note(exam, "inclusion", null, "pending: there is no head yet that it could lead to");
    return;
  }
  const leaf = leafHash(file.settlement.raw);
  const fault = leadsTo(exam, leaf, file.leafIndex, file.path)
    ? null
    : `the path does not lead from leaf ${file.leafIndex} to the checkpoint's root`;
  note(exam, "inclusion", fault, `leaf ${file.leafIndex} of ${file.note.size}`);
}

function leadsTo(exam: Examination, leaf: Bytes, index: bigint, path: readonly Bytes[]): boolean {
  if (exam.file.note === null) return false;
  const root = rootFromInclusion(leaf, index, exam.file.note.size, path);
  return root !== null && equal(root, exam.file.note.root);
}

/** Say why the result is not to be relied on. */
function doubtFault(exam: Examination): string {
  const { doubt, settlement, leafIndex } = exam.file;
  const revocation = doubt?.revocation ?? null;
  if (doubt === null || revocation === null) {
    return "suspect: all who vouched for the answer were convicted, and it is not audited yet";
  }
  if (!equal(revocation.task, settlement.task) || revocation.leaf !== leafIndex) {
    return "the revocation in the file is of another result";
  }
  const isLater = doubt.leafIndex > leafIndex;
  if (!isLater || !leadsTo(exam, leafHash(revocation.raw), doubt.leafIndex, doubt.path)) {
    return "the revocation in the file does not lead to the checkpoint's root";
  }
  return `revoked: the referees found another result in audit ${short(revocation.audit)}`;
}

/** Look for the last epoch among the leaves: an anchor is then one of the epoch, too. */
function checkEpoch(exam: Examination): void {
  const [last, place] = [exam.epochs.at(-1), exam.file.epochLeaf];
  if (last === undefined || place === null) {
    note(exam, "epoch", "the file proves no epoch that a leaf could be of", "");
    return;
  }
  const fault = leadsTo(exam, epochLeaf(last), place.leafIndex, place.path)
    ? null
    : `the path does not lead from epoch ${last.number} to the checkpoint's root`;
  note(exam, "epoch", fault, `${last.number}, ${hex(epochHash(last))}, is a leaf`);
}

function checkNote(exam: Examination): void {
  const [{ note: head }, members] = [exam.file, present(exam)];
  if (head === null) {
    // Without a cosigned head, workers and referees are whoever the issuer says they are.
    const fault = "the receipt's batch is not closed yet: ask again in a few seconds";
    note(exam, "checkpoint", fault, "");
    return;
  }
  const text = utf8(`ambient/${hex(exam.cluster)}\n${head.size}\n${base64(head.root)}\n`);
  const needed = quorum(members.length);
  const signers = new Set(head.cosignatures.map(({ member }) => hex(member)));
  const stranger = head.cosignatures.find(({ member }) => !includes(members, member));
  const forged = head.cosignatures.find((each) => !verifyBytes(each.member, text, each.signature));
  let fault: string | null = null;
  if (stranger) {
    fault = `${short(stranger.member)} cosigned and is no member`;
  } else if (forged) {
    fault = `the cosignature of member ${short(forged.member)} does not fit`;
  } else if (signers.size < needed || signers.size !== head.cosignatures.length) {
    fault = `${signers.size} members cosigned, ${needed} different ones are needed`;
  }
  const found = `${signers.size} of ${members.length} members cosigned, ${needed} needed`;
  note(exam, "checkpoint", fault, found);
}

/** Check the anchor; give its Bitcoin block's time in seconds where it means anything. */
function checkAnchored(exam: Examination): number | null {
  const { anchor, note: head, genesis } = exam.file;
  if (anchor === null) {
    note(exam, "anchor", null, "pending: not in a Bitcoin block yet");
    return null;
  }
  const target = NETWORKS.get(genesis.bitcoinNetwork);
  if (head === null || target === undefined) {
    const fault = head === null ? "an anchor without a checkpoint" : "an unknown Bitcoin network";
    note(exam, "anchor", fault, "");
    return null;
  }
  const found = checkAnchor(head.root, anchor, target);
  if (typeof found === "string") {
    note(exam, "anchor", found, "");
    return null;
  }
  const { block, timeS, confirmations } = found;
  const network = genesis.bitcoinNetwork;
  const text = `Bitcoin block ${block} (${network}), mined ${utc(timeS)}, ${confirmations} confirmations`;
  note(exam, "anchor", null, text);
  return network === "main" ? timeS : null;
}

function checkOutput(exam: Examination, output: Bytes): void {
  const { verdict, result } = exam.file.settlement;
  const digest = sha256(output);
  const size = result.outputSizeBytes.sizeBytes;
  let fault: string | null = null;
  if (verdict === Verdict.INCONCLUSIVE) {
    fault = "the task has no answer to compare the output with";
  } else if (result.kind === 3n) {
    fault = `the task was refused (${result.reason}) and has no output`;
  } else if (!equal(digest, result.output) || BigInt(output.length) !== size) {
    const [has, says] = [`${hex(digest)} and ${output.length}`, hex(result.output)];
    fault = `the output has hash ${has} bytes, the receipt says ${says} and ${size}`;
  }
  note(exam, "output", fault, `${hex(digest)}, ${output.length} bytes`);
}
