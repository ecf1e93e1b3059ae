/** One task: where it stands and why, its replicas, verdict, story, output and receipt. */

import { useState } from "react";
import { bytes, call, Problem } from "../api/client";
import { useCall } from "../api/live";
import type { EnergyInfo, Task } from "../api/table";
import { type Bytes, fromHex } from "../codec/bytes";
import { Answered, Facts, Table } from "../parts/panel";
import { ReceiptView } from "../parts/report_view";
import { brief, clock, count, ending, sat, words } from "../parts/words";
import { checkReceiptFile, type Report } from "../receipt/check";
import { to } from "../route";

const CANCELLABLE = new Set(["pending", "assigned"]);
const SHOWN_BYTES = 4096;

/** The page of a task; `cluster` is what its receipt is compared with. */
export function TaskPage({ id, cluster }: { id: string; cluster: string }) {
  const task = useCall("task.show", { task: id });
  const why = useCall("task.why", { task: id });
  return (
    <>
      <h1>
        Task <span className="mono">{brief(id)}</span>
      </h1>
      <Answered of={task}>
        {(answer) => (
          <>
            <StandingPanel task={answer} />
            <Answered of={why}>
              {({ text, waits_for }) => (
                <section className="panel">
                  <h2>Why</h2>
                  <p data-testid="why">{text}</p>
                  {waits_for && <p className="faint">It waits for {waits_for}.</p>}
                </section>
              )}
            </Answered>
            <ReplicasPanel task={answer} />
            <ProofPanel task={answer} cluster={cluster} />
            <Story task={answer} />
          </>
        )}
      </Answered>
    </>
  );
}

function StandingPanel({ task }: { task: Task }) {
  return (
    <section className="panel">
      <Facts
        of={[
          [
            "state",
            <strong key="state" data-testid="state">
              {words(task.state)}
            </strong>,
          ],
          [
            "outcome",
            <span key="outcome" data-testid="outcome">
              {[ending(task), words(task.reason)].filter(Boolean).join(": ")}
            </span>,
          ],
          ["verdict", words(task.verdict) || "–"],
          ["assurance", `${words(task.assurance)}, ${count(task.replicas)} replicas`],
          ["gas", `${count(task.gas)} of at most ${count(task.gas_max)}`],
          ["fee", `${sat(task.fee_msat)}; paid ${sat(task.paid_msat)}`],
          ["receipt", words(task.receipt.state)],
          ["submitted", clock(task.submitted_ms)],
        ]}
      />
      {task.standing && (
        <p className="bad" role="alert">
          {task.standing}
        </p>
      )}
      {CANCELLABLE.has(task.state) && <CancelButton id={task.task_id} />}
    </section>
  );
}

function CancelButton({ id }: { id: string }) {
  const [said, setSaid] = useState("");
  const cancel = async () => {
    try {
      const { state } = await call("task.cancel", { task: id });
      setSaid(`It is ${words(state)}.`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setSaid(`${error.message}. ${error.hint}`);
    }
  };
  return (
    <p>
      <button type="button" onClick={() => void cancel()}>
        Cancel this task
      </button>{" "}
      <span role="status">{said}</span>
    </p>
  );
}

function energyWords({ millijoules, modelled, source }: EnergyInfo) {
  const basis = modelled ? " modelled, not measured" : "";
  return `${count(millijoules)} mJ${basis}, ${source}`;
}

function ReplicasPanel({ task }: { task: Task }) {
  return (
    <section className="panel">
      <h2>Replicas</h2>
      <Table
        caption="Replicas"
        columns={["slot", "worker", "state", "attempt", "paid", "energy"]}
        rows={task.slots}
        none="No node has been given this task yet."
        keyOf={(slot) => `${slot.slot}`}
        cells={(slot) => {
          const paid = task.payments.find(({ worker }) => worker === slot.worker);
          const energy = task.energy.find((each) => each.slot === slot.slot);
          return [
            count(slot.slot),
            <a key="worker" className="mono" href={to("nodes", slot.worker)}>
              {brief(slot.worker)}
            </a>,
            words(slot.state),
            count(slot.attempt),
            paid ? sat(paid.amount_msat) : "–",
            energy ? energyWords(energy) : "–",
          ];
        }}
      />
      {task.evidence.map((each) => (
        <p key={each.culprit + each.kind} className="bad">
          {brief(each.culprit)} lied: {each.detail || words(each.kind)}
        </p>
      ))}
    </section>
  );
}

interface Shown {
  readonly report?: Report;
  readonly text?: string;
  readonly fault?: string;
}

function ProofPanel({ task, cluster }: { task: Task; cluster: string }) {
  const [shown, setShown] = useState<Shown>({});
  const [item, setItem] = useState("");
  if (task.state !== "final") return null;
  const request = { task: task.task_id, ...(item && { item: Number(item) }) };
  const name = brief(task.task_id) + (item && `-${item}`);
  const attempt = (act: () => Promise<Shown>) => async () => {
    try {
      setShown(await act());
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setShown({ fault: `${error.message}. ${error.hint}` });
    }
  };
  const check = attempt(async () => {
    const file = await bytes("receipt.get", request);
    const output = task.outcome === "completed" ? await outputOf(request) : null;
    const pinned = fromHex(cluster);
    const given = { ...(pinned && { pinned }), ...(output && { output }) };
    return { report: checkReceiptFile(file, given) };
  });
  const show = attempt(async () => ({ text: readable(await bytes("task.output", request)) }));
  const save = (what: "task.output" | "receipt.get", suffix: string) =>
    attempt(async () => {
      download(`${name}.${suffix}`, await bytes(what, request));
      return {};
    });
  return (
    <section className="panel">
      <h2>Output and receipt</h2>
      {task.items !== null && (
        <label>
          Item, from 0; empty for the whole bundle{" "}
          <input
            type="number"
            min={0}
            max={task.items - 1}
            value={item}
            onChange={(event) => setItem(event.target.value)}
          />
        </label>
      )}
      <p className="buttons">
        <button type="button" onClick={() => void check()}>
          Check the receipt in this page
        </button>
        <button type="button" onClick={() => void show()}>
          Show the output
        </button>
        <button type="button" onClick={() => void save("task.output", "output")()}>
          Save the output
        </button>
        <button type="button" onClick={() => void save("receipt.get", "receipt")()}>
          Save the receipt
        </button>
      </p>
      <p className="bad" role="status">
        {shown.fault}
      </p>
      {shown.text !== undefined && <pre className="mono">{shown.text}</pre>}
      {shown.report && <ReceiptView name={`${name}.receipt`} report={shown.report} />}
    </section>
  );
}

/** Fetch an output; null where an item has none, of which its receipt tells. */
async function outputOf(request: { task: string; item?: number }): Promise<Bytes | null> {
  try {
    return await bytes("task.output", request);
  } catch (error) {
    if (error instanceof Problem && request.item !== undefined && error.status === 409) return null;
    throw error;
  }
}

function Story({ task }: { task: Task }) {
  return (
    <section className="panel">
      <h2>Story</h2>
      <ol className="events">
        {task.history.map(({ time_ms, text }) => (
          <li key={`${time_ms} ${text}`}>
            <time dateTime={new Date(time_ms).toISOString()}>{clock(time_ms)}</time> {text}
          </li>
        ))}
      </ol>
    </section>
  );
}

/** Show what is text as text, and anything else as hex, up to a few kilobytes. */
function readable(output: Uint8Array): string {
  const head = output.subarray(0, SHOWN_BYTES);
  const more = output.length > SHOWN_BYTES ? `\n… ${count(output.length)} bytes in all` : "";
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(head) + more;
  } catch {
    return Array.from(head, (byte) => byte.toString(16).padStart(2, "0")).join(" ") + more;
  }
}

function download(name: string, data: Uint8Array): void {
  const url = URL.createObjectURL(new Blob([data as BlobPart]));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
