/** Bounds of a receipt file's lists and texts, checked before anything is computed over them. */

import { equal } from "../codec/bytes";
import type { Genesis, ReceiptFile } from "./values";

const FILE_VERSION = 4n;
const FIRST_STATE_VERSION = 1n;
const MEMBERS_MAX = 128;
const RECEIPTS_MAX = 64;
const PATH_MAX = 64;
const EPOCHS_MAX = 1024;
const HEIGHT_MAX = 499_999_999n;
const PLAIN = /^[\x20-\x7e]*$/;

/** Say what is out of bounds, or null. */
export function shapeFault(file: ReceiptFile): string | null {
  if (file.version !== FILE_VERSION) {
    return `version ${file.version} is unknown here, only ${FILE_VERSION} is`;
  }
  return foundersFault(file.genesis) ?? countsFault(file) ?? textFault(file);
}

/** Say why nobody can have founded a cluster like this. */
export function foundersFault(genesis: Genesis): string | null {
  if (genesis.stateVersion < FIRST_STATE_VERSION) {
    return `the genesis names state version ${genesis.stateVersion}; the first is 1`;
  }
  const members = genesis.members.map((member) => member.node);
  const isTwice = members.some((one, at) => members.slice(at + 1).some((two) => equal(one, two)));
  if (members.length < 1 || members.length > MEMBERS_MAX || isTwice) {
    return `the genesis must name 1 to ${MEMBERS_MAX} different members`;
  }
  return null;
}

function countsFault(file: ReceiptFile): string | null {
  const paths = [file.path, file.epochLeaf?.path ?? [], file.doubt?.path ?? []];
  const counts: [string, number, number][] = [
    ["receipts", file.receipts.length, RECEIPTS_MAX],
    ["verdicts", file.verdicts.length, MEMBERS_MAX],
    ["epochs", file.epochs.length, EPOCHS_MAX],
    ["cosignatures", file.note?.cosignatures.length ?? 0, MEMBERS_MAX],
    ...paths.map((path): [string, number, number] => ["steps of a path", path.length, PATH_MAX]),
  ];
  for (const [name, count, most] of counts) {
    if (count > most) return `${count} ${name} are more than the ${most} allowed`;
  }
  if (paths.some((path) => path.some((step) => step.length !== 32))) {
    return "a step of a path is not 32 bytes long";
  }
  if (file.anchor && (file.anchor.height < 0n || file.anchor.height > HEIGHT_MAX)) {
    return `the anchor claims height ${file.anchor.height}; heights are 0 to ${HEIGHT_MAX}`;
  }
  return null;
}

/** Name the first text that could mislead or flood whoever reads it. */
function textFault({ genesis, spec, settlement, verdicts, receipts }: ReceiptFile): string | null {
  const asked = [
    spec.taskClass,
    spec.strategy,
    ...spec.distinct,
    ...spec.constraints.flatMap(({ key, value }) => [key, value]),
  ];
  const results = [settlement, ...verdicts, ...receipts.map(({ receipt }) => receipt)];
  const texts: [string, string, number][] = [
    ["bitcoin_network", genesis.bitcoinNetwork, 32],
    ...asked.map((text): [string, string, number] => ["spec", text, 64]),
    ...receipts.flatMap(({ receipt }): [string, string, number][] => [
      ["engine", receipt.engine, 64],
      ["engine_version", receipt.engineVersion, 64],
      ["energy_source", receipt.energySource, 64],
    ]),
    ...results.map(({ result }): [string, string, number] => ["reason", result.reason, 256]),
  ];
  for (const [name, text, most] of texts) {
    if (text.length > most) return `${name} has more than ${most} characters`;
    if (!PLAIN.test(text)) return `${name} has characters that are not printable ASCII`;
  }
  return null;
}

/** Write seconds since 1970 as a date and time. */
export function utc(timeS: number): string {
  const date = new Date(timeS * 1000);
  if (Number.isNaN(date.getTime())) return "at no date that there is";
  return `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
