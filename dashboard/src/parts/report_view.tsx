/** What a check of a file found. */

import type { ReactNode } from "react";
import { hex } from "../codec/bytes";
import type { Report } from "../receipt/check";
import type { Check } from "../receipt/examination";
import { utc } from "../receipt/shape";
import type { ReceiptFile } from "../receipt/values";

interface Finding {
  readonly checks: readonly Check[];
  readonly trust: readonly string[];
  readonly isPinned: boolean;
  readonly isValid: boolean;
}

/** What was found of a receipt. */
export function ReceiptView({ name, report }: { name: string; report: Report }) {
  return (
    <FindingView name={name} finding={report}>
      {report.file && <Facts file={report.file} />}
    </FindingView>
  );
}

interface FindingProps {
  readonly name: string;
  readonly finding: Finding;
  readonly children: ReactNode;
}

/** The verdict, each check with its finding, and the trust that remains. */
export function FindingView({ name, finding, children }: FindingProps) {
  const { isValid, isPinned, checks, trust } = finding;
  return (
    <section className="panel" aria-live="polite">
      {checks.length > 1 && !isPinned && (
        <p className="wait">
          Nothing here says that this is the cluster you mean: anyone can invent one, and with it a
          file that holds.
        </p>
      )}
      <p className={`verdict ${isValid ? "good" : "bad"}`} data-testid="verdict">
        {isValid ? "✓ valid" : "✗ not valid"}: {name}
      </p>
      {children}
      <h2>What was checked</h2>
      <div className="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">check</th>
              <th scope="col">holds</th>
              <th scope="col">found</th>
            </tr>
          </thead>
          <tbody>
            {checks.map((check) => (
              <tr key={`${check.name} ${check.detail}`}>
                <th scope="row">{check.name}</th>
                <td className={check.ok ? "good" : "bad"}>{check.ok ? "✓ yes" : "✗ no"}</td>
                <td className="mono">{check.detail}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {trust.length > 0 && (
        <>
          <h2>What you still trust</h2>
          <ul>
            {trust.map((sentence) => (
              <li key={sentence}>{sentence}</li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

function Facts({ file }: { file: ReceiptFile }) {
  const { settlement, spec, genesis } = file;
  const facts: [string, string][] = [
    ["task", hex(settlement.task)],
    ["module", hex(spec.module)],
    ["input", hex(spec.input)],
    [
      "output",
      `${hex(settlement.result.output)}, ${settlement.result.outputSizeBytes.sizeBytes} bytes`,
    ],
    ["gas", `${settlement.result.gas}`],
    ["settled", `${utc(Number(settlement.settledMs / 1000n))} by the members' clocks`],
    ["network", genesis.bitcoinNetwork],
  ];
  return (
    <div className="scroll">
      <table>
        <tbody>
          {facts.map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td className="mono">{value}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
