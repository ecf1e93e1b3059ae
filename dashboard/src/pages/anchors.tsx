/** How receipts come into Bitcoin blocks: a timeline of batches, the newest first. */

import { useState } from "react";
import { useCall } from "../api/live";
import type { AnchorInfo } from "../api/table";
import { More, PAGE } from "../parts/more";
import { Answered, Facts } from "../parts/panel";
import { brief, clock, count } from "../parts/words";

/** The chain, what waits, and the latest batches with their anchors. */
export function AnchorsPage() {
  const [limit, setLimit] = useState(PAGE);
  const anchors = useCall("anchor.status", { limit });
  return (
    <>
      <h1>Anchors</h1>
      <Answered of={anchors}>
        {(answer) => (
          <>
            <section className="panel" aria-label="Chain">
              {answer.troubles.map(({ kind, text, hint }) => (
                <p key={kind} className="bad" role="alert">
                  {text}: {hint}
                </p>
              ))}
              <Facts
                of={[
                  ["chain", `${answer.chain.kind}, ${answer.chain.state}`],
                  ["network", answer.network],
                  ["height", count(answer.chain.height)],
                  ["headers checked here", headers(answer.chain.headers)],
                  ["receipts", count(answer.receipts)],
                  ["anchored", count(answer.receipts_anchored)],
                ]}
              />
            </section>
            <section className="panel">
              <h2>Batches</h2>
              {answer.anchors.length === 0 && <p className="faint">No batch is closed yet.</p>}
              <ol className="timeline">
                {answer.anchors.map((anchor) => (
                  <Batch
                    key={`${anchor.size} ${anchor.root}`}
                    anchor={anchor}
                    explorer={answer.explorer}
                  />
                ))}
              </ol>
              <More
                shown={answer.anchors.length}
                total={null}
                next={answer.next}
                onMore={setLimit}
              />
            </section>
          </>
        )}
      </Answered>
    </>
  );
}

function headers(known: { base_height: number; height: number } | null): string {
  return known === null ? "none" : `${count(known.base_height)} to ${count(known.height)}`;
}

function Batch({ anchor, explorer }: { anchor: AnchorInfo; explorer: string }) {
  const { block, block_ms, confirmations, fee_sat, height, receipts, size, state, txid } = anchor;
  const first = size - receipts + 1;
  return (
    <li data-state={block === null ? "under way" : "anchored"}>
      <strong>
        {receipts === 1 ? `Receipt ${count(size)}` : `Receipts ${count(first)} to ${count(size)}`}
      </strong>
      : {state}
      {block_ms !== null && (
        <>
          {" "}
          <time dateTime={new Date(block_ms).toISOString()}>{clock(block_ms)}</time>
        </>
      )}
      <br />
      <span className="faint">root</span> <span className="mono">{brief(anchor.root)}</span>
      {txid !== null && (
        <>
          , <span className="faint">transaction</span>{" "}
          <Place explorer={explorer} path={`tx/${txid}`} name={brief(txid)} />
        </>
      )}
      {block !== null && (
        <>
          , <span className="faint">block {count(height)}</span>{" "}
          <Place explorer={explorer} path={`block/${block}`} name={`…${block.slice(-12)}`} />,{" "}
          {count(confirmations)} confirmations
        </>
      )}
      {fee_sat !== null && `, ${count(fee_sat)} sat`}
    </li>
  );
}

/** A place in an explorer, where the node's owner has chosen one: it learns who looks. */
function Place({ explorer, path, name }: { explorer: string; path: string; name: string }) {
  const text = <span className="mono">{name}</span>;
  if (!explorer) return text;
  return (
    <a href={`${explorer}/${path}`} rel="noreferrer" target="_blank">
      {text}
    </a>
  );
}
