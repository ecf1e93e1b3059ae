/** What most pages are made of: a panel around an answer, facts, and tables. */

import type { ReactNode } from "react";
import type { Asked } from "../api/live";

interface AnswerProps<T> {
  readonly of: Asked<T>;
  readonly children: (answer: T) => ReactNode;
}

/** Shows an answer once it is there, and what went wrong beside what was known before. */
export function Answered<T>({ of, children }: AnswerProps<T>) {
  const { answer, problem } = of;
  return (
    <>
      {problem && (
        <p className="panel bad" role="alert">
          {problem.message}
          {problem.hint && `: ${problem.hint}`}
        </p>
      )}
      {answer === null
        ? !problem && <p className="faint">asking the daemon …</p>
        : children(answer)}
    </>
  );
}

/** One named value. */
export type Fact = readonly [name: string, value: ReactNode];

/** Shows named values below each other. */
export function Facts({ of }: { of: readonly Fact[] }) {
  return (
    <dl className="facts">
      {of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

interface TableProps<T> {
  readonly caption: string;
  readonly columns: readonly string[];
  readonly rows: readonly T[];
  readonly keyOf: (row: T) => string;
  readonly cells: (row: T) => readonly ReactNode[];
  readonly none: string;
}

/** Shows rows; the first cell of each names it. */
export function Table<T>({ caption, columns, rows, keyOf, cells, none }: TableProps<T>) {
  if (rows.length === 0) return <p className="faint">{none}</p>;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
    <section className="scroll" aria-label={caption} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {cells(row).map((cell, at) => {
                const column = columns[at] ?? "";
                return at === 0 ? (
                  <th key={column} scope="row">
                    {cell}
                  </th>
                ) : (
                  <td key={column}>{cell}</td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
