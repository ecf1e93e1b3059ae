/** A chart of lines over time; the list below it says in words what the lines show. */

import { useEffect, useRef, useState } from "react";
import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { colourOf, useScheme } from "./colours";
import { clock, figure } from "./words";

const HEIGHT_PX = 170;
const ROWS = 12;
const COLOURS = ["--accent", "--wait", "--good"];

/** One measure at equal steps; null is not known. */
export interface ChartLine {
  readonly name: string;
  readonly unit: string;
  /** How its values are written, where not as measured ones. */
  readonly write?: (value: number | null) => string;
  readonly values: readonly (number | null)[];
}

interface ChartProps {
  readonly title: string;
  readonly times: readonly number[];
  readonly lines: readonly ChartLine[];
}

/** Draws up to three lines of one unit. */
export function Chart({ title, times, lines }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | null>(null);
  const [cursor, setCursor] = useState<number | null>(null);
  const scheme = useScheme();
  const names = lines.map(({ name }) => name).join();

  // Values come below, without a new plot.
  useEffect(() => {
    const { current } = place;
    if (current === null) return;
    const made = new UPlot(optionsOf(current, lines, setCursor), dataOf(times, lines), current);
    plot.current = made;
    const resized = new ResizeObserver(() =>
      made.setSize({ width: current.clientWidth, height: HEIGHT_PX }),
    );
    resized.observe(current);
    return () => {
      resized.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [names, scheme]);

  useEffect(() => plot.current?.setData(dataOf(times, lines)), [times, lines]);

  return (
    <figure className="chart">
      <figcaption>{title}</figcaption>
      <div ref={place} aria-hidden="true" style={{ minHeight: HEIGHT_PX }} />
      <ul>
        {lines.map((line, number) => (
          <li key={line.name}>
            <span className={`stroke stroke-${number}`} aria-hidden="true" />
            {says(line, cursor)}
          </li>
        ))}
      </ul>
      <Figures title={title} times={times} lines={lines} />
    </figure>
  );
}

function says({ name, unit, values, write = figure }: ChartLine, cursor: number | null): string {
  const known = values.filter((value) => value !== null);
  const at = cursor === null ? known.at(-1) : values[cursor];
  const last = `${name}: ${cursor === null ? "last " : ""}${write(at ?? null)} ${unit}`;
  if (known.length < 2) return last;
  return `${last}, between ${write(Math.min(...known))} and ${write(Math.max(...known))}`;
}

function Figures({ title, times, lines }: ChartProps) {
  const every = Math.max(1, Math.floor(times.length / ROWS));
  const rows = times.map((time, at) => ({ time, at })).filter(({ at }) => (at + 1) % every === 0);
  return (
    <details>
      <summary>Figures of {title}</summary>
      <table>
        <thead>
          <tr>
            <th scope="col">time</th>
            {lines.map(({ name, unit }) => (
              <th key={name} scope="col">
                {name} ({unit})
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ time, at }) => (
            <tr key={time}>
              <th scope="row">{clock(time)}</th>
              {lines.map(({ name, values, write = figure }) => (
                <td key={name}>{write(values[at] ?? null)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

function dataOf(times: readonly number[], lines: readonly ChartLine[]): UPlot.AlignedData {
  return [[...times], ...lines.map(({ values }) => [...values])];
}

function optionsOf(
  place: HTMLElement,
  lines: readonly ChartLine[],
  onCursor: (at: number | null) => void,
): UPlot.Options {
  const [text, grid] = [colourOf(place, "--faint"), colourOf(place, "--line")];
  const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid } };
  const isShare = lines.every(({ unit }) => unit === "%");
  return {
    width: place.clientWidth,
    height: HEIGHT_PX,
    ms: 1,
    legend: { show: false },
    cursor: { drag: { x: false, y: false } },
    scales: {
      y: { range: isShare ? [0, 100] : (_, least, most) => [Math.min(0, least), most * 1.1 || 1] },
    },
    axes: [axis, { ...axis, size: 60 }],
    series: [
      {},
      ...lines.map(({ name }, number) => ({
        label: name,
        stroke: colourOf(place, COLOURS[number] ?? "--text"),
        width: 1.5,
        dash: number === 0 ? [] : [3 + 3 * number, 3],
        points: { show: false },
      })),
    ],
    hooks: { setCursor: [(made) => onCursor(made.cursor.idx ?? null)] },
  };
}
