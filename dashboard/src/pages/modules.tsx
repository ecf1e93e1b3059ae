/** The registry: which modules are published, and what a publisher says of a version. */

import { useState } from "react";
import { call, Problem } from "../api/client";
import { useCall } from "../api/live";
import type { ImageInfo, ImageWord, ManifestInfo, ModuleInfo } from "../api/table";
import { More, PAGE } from "../parts/more";
import { Answered, type Fact, Facts, Table } from "../parts/panel";
import { brief, clock, count } from "../parts/words";
import { to } from "../route";

/** A version never changes; whether it is yanked may. */
const LOOK_MS = 60_000;

/** The modules with a text in name, summary or publisher. */
export function ModulesPage() {
  const [text, setText] = useState("");
  const [limit, setLimit] = useState(PAGE);
  const modules = useCall("module.list", { text, limit });
  return (
    <>
      <h1>Modules</h1>
      <label>
        Search{" "}
        <input
          type="search"
          maxLength={100}
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </label>
      <Answered of={modules}>
        {(answer) => (
          <section className="panel">
            <p className="faint">
              {count(answer.modules.length)} of {count(answer.total)}
            </p>
            <Table
              caption="Modules"
              columns={["module", "newest", "publisher", "summary"]}
              rows={answer.modules}
              none="None is published. `ambientctl module publish` publishes one."
              keyOf={(module) => `${module.publisher}/${module.name}`}
              cells={(module) => [
                <a key="module" href={to("modules", module.publisher, module.name)}>
                  {module.name}
                </a>,
                module.version || "–",
                <a key="publisher" href={to("nodes", module.publisher)}>
                  {module.publisher_name} <span className="mono">{brief(module.publisher)}</span>
                </a>,
                module.convicted ? (
                  <span key="summary" className="bad">
                    convicted publisher
                  </span>
                ) : (
                  module.summary
                ),
              ]}
            />
            <More
              shown={answer.modules.length}
              total={answer.total}
              next={answer.next}
              onMore={setLimit}
            />
          </section>
        )}
      </Answered>
    </>
  );
}

/** One module, at its newest version or the one that is chosen. */
export function ModulePage({ publisher, name }: { publisher: string; name: string }) {
  const [version, setVersion] = useState("");
  const module = useCall("module.show", { publisher, name, version }, LOOK_MS);
  return (
    <>
      <h1>{name}</h1>
      <Answered of={module}>
        {(answer) => <Version of={answer} onChoose={setVersion} onPinned={module.refresh} />}
      </Answered>
    </>
  );
}

interface VersionProps {
  readonly of: ModuleInfo;
  readonly onChoose: (version: string) => void;
  readonly onPinned: () => void;
}

function Version({ of, onChoose, onPinned }: VersionProps) {
  const { shown } = of;
  const exact = `${brief(of.publisher)}/${of.name}@${shown.version}`;
  const kept = of.here ? "on this node" : "not on this node";
  return (
    <section className="panel">
      <p>{of.summary}</p>
      <label>
        Version{" "}
        <select value={shown.version} onChange={(event) => onChoose(event.target.value)}>
          {of.versions.map((each) => (
            <option key={each.version} value={each.version}>
              {each.version}
              {each.yanked && " (yanked)"}
            </option>
          ))}
        </select>
      </label>
      {shown.yanked && (
        <p className="bad" role="alert">
          Its publisher advises against this version: {shown.yanked}
        </p>
      )}
      {of.convicted && (
        <p className="bad" role="alert">
          Its publisher was convicted of a lie.
        </p>
      )}
      <Facts
        of={[
          [
            "publisher",
            <a key="publisher" href={to("nodes", of.publisher)}>
              {of.publisher_name} <span className="mono">{of.publisher}</span>
            </a>,
          ],
          [
            "SHA-256",
            <span key="sha256" className="mono" data-testid="sha256">
              {shown.module_sha256}
            </span>,
          ],
          [
            "size",
            `${count(shown.module_size_bytes)} bytes, ${kept}${of.pinned ? ", pinned" : ""}`,
          ],
          ["published", clock(shown.published_ms)],
          ...said(of.manifest, of.problem),
        ]}
      />
      <p>
        <code>ambientctl run {exact} --input FILE</code>, or{" "}
        <a href={to("submit", of.publisher, of.name, shown.version)}>submit a task with it here</a>
      </p>
      {of.image && <OwnImage of={of.image} />}
      <Pin of={of} onPinned={onPinned} />
      {of.published_as.length > 1 && (
        <p className="faint">
          The same bytes are published as{" "}
          {of.published_as.map((each) => each.replace(/^(.{12})[^/]*/, "$1")).join(", ")}.
        </p>
      )}
    </section>
  );
}

/** What the bytes become as a program that can be proven, and which nodes say so. */
function OwnImage({ of }: { of: ImageInfo }) {
  const id = (image: string) => <span className="mono">{image}</span>;
  const isDecided = of.decided_ms !== null && of.decided_epoch !== null;
  return (
    <>
      <h2>Own image</h2>
      <Facts
        of={[
          [
            "image",
            <span key="image" data-testid="own-image">
              {isDecided ? id(of.image) : `not decided: ${of.needed} members must say the same`}
            </span>,
          ],
          [
            "decided",
            <span key="decided" data-testid="own-image-decided">
              {isDecided ? `${clock(of.decided_ms ?? 0)}, in epoch ${of.decided_epoch}` : "not yet"}
            </span>,
          ],
          ["translation", id(of.translation)],
        ]}
      />
      <Table
        caption="Who said what the module becomes"
        columns={["node", "image", "its word"]}
        rows={of.words}
        none="Nobody has named an image."
        keyOf={(word) => word.node}
        cells={(word) => [
          <a key="node" href={to("nodes", word.node)}>
            {word.name} <span className="mono">{brief(word.node)}</span>
          </a>,
          id(word.image),
          standing(word, of.image),
        ]}
      />
      <p className="faint">
        {isDecided
          ? `Proven tasks may be proven with it. Whoever takes it believes that fewer than ${of.needed} members lied together.`
          : "Until it is decided, tasks are proven with the universal image alone."}
      </p>
    </>
  );
}

/** Say what a node's word on an image is worth. */
function standing(word: ImageWord, decided: string) {
  if (decided && word.image !== decided) return <span className="bad">not what members found</span>;
  if (word.denied) return <span className="bad">was wrong about another module</span>;
  return word.is_member ? "a member’s" : "no member’s: counts for nothing";
}

/** Keep the version that is shown on this node, or let it go. */
function Pin({ of, onPinned }: { of: ModuleInfo; onPinned: () => void }) {
  const [said, setSaid] = useState("");

  async function change() {
    setSaid("");
    const { publisher, name } = of;
    const wanted = { publisher, name, version: of.shown.version };
    try {
      await call(of.pinned ? "module.unpin" : "module.pin", wanted);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setSaid(`${error.message}. ${error.hint}`);
    }
    onPinned();
  }

  return (
    <>
      <button type="button" onClick={() => void change()}>
        {of.pinned ? "Let it go" : "Pin it: keep it on this node"}
      </button>
      <p className="bad" role="alert">
        {said}
      </p>
    </>
  );
}

/** Give what its publisher says; nobody else vouches for it, so a source is shown, never linked. */
function said(manifest: ManifestInfo | null, problem: string): Fact[] {
  if (manifest === null) return [["manifest", `not known: ${problem}`]];
  const price = manifest.price_msat_per_mgas;
  return [
    ["interface", manifest.interface],
    ["gas", `at most ${count(manifest.gas_max)}`],
    ["memory", `at most ${count(manifest.memory_bytes_max)} bytes`],
    ["time", `at most ${count(manifest.wall_ms_max)} ms`],
    ["output", `at most ${count(manifest.output_bytes_max)} bytes`],
    ["price", price ? `${count(price)} msat for a million gas is advised` : "none is advised"],
    ["licence", `${manifest.licence} (its publisher’s word)`],
    ["source", manifest.source_url || "none named"],
  ];
}
