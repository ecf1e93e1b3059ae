/** Ed25519 signatures under a domain tag and a cluster fingerprint (protocols/01-signatures.md). */

import { etc, hash, hashes, Point } from "@noble/ed25519";
import { sha512 } from "@noble/hashes/sha2.js";
import { type Bytes, equal, tagged } from "./bytes";
import { encodeBytes, encodeList, encodeNumber } from "./canonical";
import { leafHash, rootFromInclusion } from "./merkle";

hashes.sha512 = sha512;

const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const PLACE_BYTES = 4;
const STEP_BYTES = 32;
const BATCH_MAX = 1024;
const BATCH_PATH_MAX = 10;

/** Tell whether a key signed these bytes; the stricter rules of protocols/01 section 4 hold. */
export function verifyBytes(key: Bytes, message: Bytes, signature: Bytes): boolean {
  if (key.length !== KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  const commitment = signature.subarray(0, 32);
  const scalar = littleEndian(signature.subarray(32));
  const { n } = Point.CURVE();
  if (scalar >= n) return false;
  try {
    const signer = Point.fromBytes(key);
    const point = Point.fromBytes(commitment);
    if (signer.isSmallOrder() || point.isSmallOrder()) return false;
    const challenge = etc.mod(littleEndian(hash(etc.concatBytes(commitment, key, message))), n);
    // Without the cofactor: the point itself, not eight times it, must come out.
    const found = Point.BASE.multiplyUnsafe(scalar).subtract(signer.multiplyUnsafe(challenge));
    return equal(found.toBytes(), commitment);
  } catch {
    return false; // the key or the point is none, or not in canonical form
  }
}

/** Tell whether the key signed the payload for this domain and cluster, alone or in a batch. */
export function verify(
  key: Bytes,
  domain: string,
  cluster: Bytes,
  payload: Bytes,
  signature: Bytes,
): boolean {
  const statement = tagged(`ambient/${domain}/1`, cluster, payload);
  if (signature.length === SIGNATURE_BYTES) return verifyBytes(key, statement, signature);
  const batch = batchPayload(statement, signature);
  if (batch === null) return false;
  const signed = tagged("ambient/batch/1", cluster, batch);
  return verifyBytes(key, signed, signature.subarray(0, SIGNATURE_BYTES));
}

/** Give what a batch signature says was signed, or null when it has no canonical form (section 5). */
function batchPayload(statement: Bytes, signature: Bytes): Bytes | null {
  const pathAt = SIGNATURE_BYTES + PLACE_BYTES;
  const steps = (signature.length - pathAt) / STEP_BYTES;
  if (!Number.isInteger(steps) || steps < 1 || steps > BATCH_PATH_MAX) return null;
  const place = new DataView(signature.buffer, signature.byteOffset + SIGNATURE_BYTES, PLACE_BYTES);
  const [count, index] = [BigInt(place.getUint16(0)), BigInt(place.getUint16(2))];
  if (count > BATCH_MAX) return null;
  const path = Array.from({ length: steps }, (_, step) =>
    signature.subarray(pathAt + step * STEP_BYTES, pathAt + (step + 1) * STEP_BYTES),
  );
  const head = rootFromInclusion(leafHash(statement), index, count, path);
  return head === null ? null : encodeList(encodeNumber(count), encodeBytes(head));
}

function littleEndian(bytes: Bytes): bigint {
  return bytes.reduceRight((number, byte) => (number << 8n) | BigInt(byte), 0n);
}
