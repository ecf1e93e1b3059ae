/** Submit a task: what it will cost is shown before anything is sent to the mesh. */

import { type FormEvent, useState } from "react";
import { call, Problem } from "../api/client";
import type { ModuleInfo, Quote } from "../api/table";
import { type Bytes, base64 } from "../codec/bytes";
import { DropFile } from "../parts/drop_file";
import { Facts } from "../parts/panel";
import { count, sat } from "../parts/words";
import { to } from "../route";

const NONCE_BYTES = 32;
const ASSURANCES = ["replicated", "audited", "none"];

/** PUBLISHER/NAME, and @VERSION where it is not the one that is pinned here. */
const NAMED = /^([^/@\s]{1,64})\/([^/@\s]{1,63})(?:@([^/@\s]{1,32}))?$/;
const TERMS = [
  "gas_max",
  "memory_bytes_max",
  "wall_ms_max",
  "output_bytes_max",
  "price_msat_per_mgas",
] as const;

interface Loaded {
  readonly name: string;
  readonly data: Bytes;
}

/** Have a published module's bytes on the node, and its publisher's terms. */
async function brought(text: string): Promise<ModuleInfo> {
  const found = NAMED.exec(text.trim());
  if (found === null) {
    throw new Problem(0, "this names no module", "write PUBLISHER/NAME@VERSION");
  }
  const [, publisher = "", name = "", version = ""] = found;
  return call("module.bring", { publisher, name, version });
}

/** Give what the publisher advises to ask for and to offer. */
function termsOf(info: ModuleInfo | null): Partial<Record<(typeof TERMS)[number], number>> {
  const said = info?.manifest;
  return said ? Object.fromEntries(TERMS.map((term) => [term, said[term]])) : {};
}

/** The form; `name` is that of a published module, empty for a file. */
export function SubmitPage({ name: first }: { name: string }) {
  const [name, setName] = useState(first);
  const [published, setPublished] = useState<ModuleInfo | null>(null);
  const [module, setModule] = useState<Loaded | null>(null);
  const [input, setInput] = useState<Loaded | null>(null);
  const [assurance, setAssurance] = useState(ASSURANCES[0] as string);
  const [quote, setQuote] = useState<Quote | null>(null);
  // Of the quote: however often it is submitted, it is one task, and paid once.
  const [nonce, setNonce] = useState("");
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState("");

  const attempt = async (act: () => Promise<void>) => {
    setFault("");
    setBusy(true);
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setFault(`${error.message}. ${error.hint}`);
    } finally {
      setBusy(false);
    }
  };
  const ask = (event: FormEvent) => {
    event.preventDefault();
    void attempt(async () => {
      const info = module === null ? await brought(name) : null;
      setPublished(info);
      const sizes = {
        module_size_bytes: info?.shown.module_size_bytes ?? module?.data.length ?? 0,
        input_size_bytes: input?.data.length ?? 0,
      };
      setNonce(base64(crypto.getRandomValues(new Uint8Array(NONCE_BYTES))));
      setQuote(await call("task.quote", { assurance, ...sizes, ...termsOf(info) }));
    });
  };
  const submit = () =>
    attempt(async () => {
      if (module === null && published === null) return;
      const meant = published
        ? { module_sha256: published.shown.module_sha256, ...termsOf(published) }
        : { module: base64(module?.data ?? new Uint8Array()) };
      const data = base64(input?.data ?? new Uint8Array());
      const { task_id } = await call("task.submit", { assurance, input: data, nonce, ...meant });
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
        {module === null && (
          <label>
            or a published one{" "}
            <input
              type="text"
              placeholder="PUBLISHER/NAME@VERSION"
              maxLength={160}
              value={name}
              onChange={(event) => {
                setName(event.target.value);
                setQuote(null);
              }}
            />
          </label>
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
        <button type="submit" disabled={busy || (module === null && name.trim() === "")}>
          Show what it costs
        </button>
      </form>
      {quote && (
        <section className="panel" aria-label="Cost">
          {published && (
            <p>
              {published.name}@{published.shown.version} of {published.publisher_name}, SHA-256{" "}
              <span className="mono" data-testid="named">
                {published.shown.module_sha256}
              </span>
              {published.shown.yanked && (
                <strong className="bad">
                  {" "}
                  Its publisher advises against it: {published.shown.yanked}
                </strong>
              )}
            </p>
          )}
          <Facts
            of={[
              ["probably", sat(quote.likely_msat)],
              ["at most, held until it is final", sat(quote.escrow_msat)],
              ["this node has", sat(quote.balance_msat)],
              ["nodes that may take it", count(quote.suited)],
            ]}
          />
          <button type="button" disabled={busy} onClick={() => void submit()}>
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
