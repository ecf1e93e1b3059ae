/** Check a receipt or a blame certificate in this browser; nothing is sent anywhere. */

import { useId, useState } from "react";
import { checkBlameFile } from "../blame/check";
import { type Bytes, fromHex } from "../codec/bytes";
import { DropFile } from "../parts/drop_file";
import { FindingView, ReceiptView } from "../parts/report_view";
import { checkReceiptFile, type Given, isItemReceipt } from "../receipt/check";

interface Loaded {
  readonly name: string;
  readonly data: Bytes;
}

const DIGEST_BYTES = 32;

/** Read a hash of 32 bytes as people copy it; null for any other text. */
function digestOf(text: string): Bytes | null {
  const bytes = fromHex(text.trim());
  return bytes?.length === DIGEST_BYTES ? bytes : null;
}

/** The page: a file, what it is compared with, and what was found. */
export function VerifyPage({ knownCluster = "" }: { knownCluster?: string }) {
  const [receipt, setReceipt] = useState<Loaded | null>(null);
  const [output, setOutput] = useState<Loaded | null>(null);
  const [typed, setTyped] = useState<string | null>(null);
  const [epoch, setEpoch] = useState("");
  const cluster = typed ?? knownCluster;
  const [pinned, trustedEpoch] = [digestOf(cluster), digestOf(epoch)];
  const given: Given = {
    ...(pinned && { pinned }),
    ...(trustedEpoch && { trustedEpoch }),
    ...(output && { output: output.data }),
  };
  return (
    <>
      <h1>Check a receipt or a blame certificate</h1>
      <section className="panel">
        <p>
          The check happens in this page: no server is asked, and the file does not leave your
          device.
        </p>
        <DropFile
          label="Receipt (*.receipt) or certificate (*.blame)"
          onFile={(name, data) => setReceipt({ name, data })}
        />
        <details>
          <summary>Compare with what you know</summary>
          <HashField
            label="Cluster fingerprint: which cluster you mean"
            text={cluster}
            isWrong={cluster !== "" && pinned === null}
            onText={setTyped}
          />
          <HashField
            label="Hash of a recent epoch: rules out forged changes of the committee before it"
            text={epoch}
            isWrong={epoch !== "" && trustedEpoch === null}
            onText={setEpoch}
          />
          <DropFile label="The task's output" onFile={(name, data) => setOutput({ name, data })} />
          {output && <p className="faint">Output: {output.name}</p>}
        </details>
      </section>
      {receipt && <Checked loaded={receipt} given={given} />}
    </>
  );
}

const BLAME_FIELDS = 7;

/** Show what was found; what a file is shows in its fields, whatever it is called. */
function Checked({ loaded, given }: { loaded: Loaded; given: Given }) {
  const { name, data } = loaded;
  if (data[0] !== (0x90 | BLAME_FIELDS) || isItemReceipt(data)) {
    return <ReceiptView name={name} report={checkReceiptFile(data, given)} />;
  }
  const report = checkBlameFile(data, given.pinned);
  return (
    <FindingView name={name} finding={report}>
      {report.isValid && (
        <p>
          Node <span className="mono">{report.culprit}</span> lied, in cluster{" "}
          <span className="mono">{report.cluster}</span>.
        </p>
      )}
    </FindingView>
  );
}

interface HashFieldProps {
  readonly label: string;
  readonly text: string;
  readonly isWrong: boolean;
  readonly onText: (text: string) => void;
}

function HashField({ label, text, isWrong, onText }: HashFieldProps) {
  const id = useId();
  return (
    <>
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type="text"
        className="mono"
        value={text}
        spellCheck={false}
        aria-invalid={isWrong}
        aria-describedby={`${id}-fault`}
        onChange={(event) => onText(event.target.value)}
      />
      <p id={`${id}-fault`} className="bad" role="status">
        {isWrong ? "This is no hash: 64 hex digits are needed. It is not compared." : ""}
      </p>
    </>
  );
}
