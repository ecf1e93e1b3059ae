/** Submit a task: what it will cost is shown before anything is sent to the mesh. */

import { type FormEvent, useState } from "react";
import { call, Problem } from "../api/client";
import type { Quote } from "../api/table";
import { type Bytes, base64 } from "../codec/bytes";
import { DropFile } from "../parts/drop_file";
import { Facts } from "../parts/panel";
import { count, sat } from "../parts/words";
import { to } from "../route";

const ASSURANCES = ["replicated", "audited", "none"];

interface Loaded {
  readonly name: string;
  readonly data: Bytes;
}

/** The form. */
export function SubmitPage() {
  const [module, setModule] = useState<Loaded | null>(null);
  const [input, setInput] = useState<Loaded | null>(null);
  const [assurance, setAssurance] = useState(ASSURANCES[0] as string);
  const [quote, setQuote] = useState<Quote | null>(null);
  const [fault, setFault] = useState("");

  const attempt = async (act: () => Promise<void>) => {
    setFault("");
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setFault(`${error.message}. ${error.hint}`);
    }
  };
  const ask = (event: FormEvent) => {
    event.preventDefault();
    void attempt(async () => {
      const sizes = {
        module_size_bytes: module?.data.length ?? 0,
        input_size_bytes: input?.data.length ?? 0,
      };
      setQuote(await call("task.quote", { assurance, ...sizes }));
    });
  };
  const submit = () =>
    attempt(async () => {
      if (module === null) return;
      const bytes = { module: base64(module.data), input: base64(input?.data ?? new Uint8Array()) };
      const { task_id } = await call("task.submit", { assurance, ...bytes });
      location.hash = to("tasks", task_id);
    });

  return (
    <>
      <h1>Submit a task</h1>
      <form className="panel" onSubmit={ask}>
        <DropFile
          label="Module (*.wasm)"
          onFile={(name, data) => {
            setModule({ name, data });
            setQuote(null);
          }}
        />
        {module && (
          <p className="faint">
            Module: {module.name}, {count(module.data.length)} bytes
          </p>
        )}
        <DropFile
          label="Input (none is empty)"
          onFile={(name, data) => {
            setInput({ name, data });
            setQuote(null);
          }}
        />
        {input && (
          <p className="faint">
            Input: {input.name}, {count(input.data.length)} bytes
          </p>
        )}
        <label>
          Assurance{" "}
          <select
            value={assurance}
            onChange={(event) => {
              setAssurance(event.target.value);
              setQuote(null);
            }}
          >
            {ASSURANCES.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <p>The workers that are chosen see the module and the input in the clear.</p>
        <button type="submit" disabled={module === null}>
          Show what it costs
        </button>
      </form>
      {quote && (
        <section className="panel" aria-label="Cost">
          <Facts
            of={[
              ["probably", sat(quote.likely_msat)],
              ["at most, held until it is final", sat(quote.escrow_msat)],
              ["this node has", sat(quote.balance_msat)],
              ["nodes that may take it", count(quote.suited)],
            ]}
          />
          <button type="button" onClick={() => void submit()}>
            Submit it
          </button>
        </section>
      )}
      <p className="bad" role="alert">
        {fault}
      </p>
    </>
  );
}
