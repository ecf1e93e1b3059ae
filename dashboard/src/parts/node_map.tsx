/** The mesh as a map: nodes coloured by their condition, drawn on a canvas so that thousands move. */

import {
  forceCollide,
  forceLink,
  forceManyBody,
  forceSimulation,
  forceX,
  forceY,
  type Simulation,
  type SimulationLinkDatum,
  type SimulationNodeDatum,
} from "d3-force";
import { type MouseEvent, useEffect, useRef } from "react";
import type { LinkTold, NodeInfo } from "../api/table";
import { to } from "../route";
import { colourOf, useScheme } from "./colours";
import { conditionOf, MEANINGS } from "./condition";
import { brief, latency } from "./words";

type Point = readonly [x: number, y: number];

const HEIGHT_PX = 360;
const RADIUS_PX = 7;
const NAMED_MAX = 60;
const ROUND_MAX = 400;
const NEAR_US = 20_000;
const FAR_US = 100_000;
const TONES = ["good", "wait", "bad", "faint"] as const;
const LATENCIES = [
  ["good", `link below ${NEAR_US / 1000} ms one way`],
  ["wait", `below ${FAR_US / 1000} ms`],
  ["bad", "more"],
  ["faint", "not measured"],
] as const;

interface Dot extends SimulationNodeDatum {
  readonly id: string;
  info: NodeInfo;
}

interface Link extends SimulationLinkDatum<Dot> {
  source: Dot | string;
  target: Dot | string;
  /** One way, as one of the two has measured it; null when none has. */
  readonly us: number | null;
}

interface Scene {
  readonly simulation: Simulation<Dot, Link>;
  dots: Dot[];
  links: readonly Link[];
  colours: Readonly<Record<string, string>>;
  text: string;
  /** Where the dots of each colour are, members among them: found anew with the nodes alone. */
  tones: ReadonlyMap<string, readonly Dot[]>;
}

/** Draws the nodes and who is linked to whom by their own word; the tables below say the same. */
export function NodeMap({
  nodes,
  links,
}: {
  nodes: readonly NodeInfo[];
  links: readonly LinkTold[];
}) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const scene = useRef<Scene | null>(null);
  const scheme = useScheme();

  useEffect(() => {
    const simulation = forceSimulation<Dot, Link>([])
      .force("charge", forceManyBody().strength(-120).distanceMax(240).theta(1.2))
      .force("collide", forceCollide(RADIUS_PX + 2))
      .force("x", forceX(0).strength(0.04))
      .force("y", forceY(0).strength(0.07));
    scene.current = { simulation, dots: [], links: [], colours: {}, text: "", tones: new Map() };
    simulation.on("tick", () => {
      if (canvas.current && scene.current) draw(canvas.current, scene.current);
    });
    return () => {
      simulation.stop();
    };
  }, []);

  useEffect(() => {
    const { current } = scene;
    if (current === null || canvas.current === null) return;
    const { parentElement } = canvas.current;
    current.colours = Object.fromEntries(
      TONES.map((tone) => [tone, parentElement ? colourOf(parentElement, `--${tone}`) : ""]),
    );
    const before = new Map(current.dots.map((dot) => [dot.id, dot]));
    const hasChanged = nodes.length !== before.size || nodes.some(({ id }) => !before.has(id));
    current.dots = nodes.map((info) =>
      Object.assign(before.get(info.id) ?? { id: info.id }, { info }),
    );
    const { simulation, dots } = current;
    current.text = getComputedStyle(canvas.current).color;
    current.tones = new Map(
      TONES.map((tone) => [tone, dots.filter(({ info }) => conditionOf(info)[0] === tone)]),
    );
    current.links = linksOf(links, new Set(dots.map(({ id }) => id)));
    if (hasChanged) simulation.nodes(dots);
    // It puts the dots in the place of their names.
    simulation.force(
      "link",
      forceLink<Dot, Link>([...current.links])
        .id((dot) => dot.id)
        .distance(({ us }) => lengthOf(us))
        .strength(0.05),
    );
    if (hasChanged) simulation.alpha(0.6).restart();
    else draw(canvas.current, current);
  }, [nodes, links, scheme]);

  function dotAt(event: MouseEvent<HTMLCanvasElement>): Dot | undefined {
    const box = event.currentTarget.getBoundingClientRect();
    const [x, y] = [
      event.clientX - box.left - box.width / 2,
      event.clientY - box.top - box.height / 2,
    ];
    return scene.current?.simulation.find(x, y, 2 * RADIUS_PX);
  }

  function open(event: MouseEvent<HTMLCanvasElement>) {
    const dot = dotAt(event);
    if (dot) location.hash = to("nodes", dot.id);
  }

  function name(event: MouseEvent<HTMLCanvasElement>) {
    const info = dotAt(event)?.info;
    event.currentTarget.title = info
      ? `${info.name || brief(info.id)}: ${conditionOf(info)[1]}`
      : "";
  }

  return (
    <>
      <canvas
        ref={canvas}
        className="map"
        style={{ height: HEIGHT_PX }}
        onClick={open}
        onMouseMove={name}
        role="img"
        aria-label={`A map of ${nodes.length} nodes; the table below says the same in words.`}
      />
      <Legend />
    </>
  );
}

function Legend() {
  return (
    <ul className="legend" aria-label="What the colours say">
      {MEANINGS.map(([tone, text]) => (
        <li key={tone}>
          <span className={tone} aria-hidden="true">
            ●
          </span>{" "}
          {text}
        </li>
      ))}
      {LATENCIES.map(([tone, text]) => (
        <li key={tone}>
          <span className={tone} aria-hidden="true">
            ―
          </span>{" "}
          {text}
        </li>
      ))}
      <li>○ around a dot: of the committee</li>
    </ul>
  );
}

/** Give a link for each pair that has one by the word of either; the first word is the newest. */
function linksOf(told: readonly LinkTold[], known: ReadonlySet<string>): readonly Link[] {
  const found = new Map<string, Link>();
  for (const { by, to: target, one_way_us: us } of told) {
    if (by === target || !known.has(by) || !known.has(target)) continue;
    const pair = by < target ? by + target : target + by;
    if ((found.get(pair)?.us ?? null) === null) found.set(pair, { source: by, target, us });
  }
  return [...found.values()];
}

/** The farther a node is, the longer its link: twice the time, 15 pixels more. */
function lengthOf(us: number | null): number {
  return us === null ? 120 : Math.min(200, 60 + 15 * Math.log2(1 + us / 1000));
}

function toneOf(us: number): (typeof TONES)[number] {
  if (us < NEAR_US) return "good";
  return us < FAR_US ? "wait" : "bad";
}

function positionOf({ x = 0, y = 0 }: Dot): Point {
  return [x, y];
}

function draw(canvas: HTMLCanvasElement, scene: Scene): void {
  const { dots, links, colours } = scene;
  const [width, height, scale] = [canvas.clientWidth, canvas.clientHeight, devicePixelRatio || 1];
  if (canvas.width !== width * scale || canvas.height !== height * scale) {
    canvas.width = width * scale;
    canvas.height = height * scale;
  }
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.setTransform(scale, 0, 0, scale, (width * scale) / 2, (height * scale) / 2);
  context.clearRect(-width / 2, -height / 2, width, height);
  context.font = "12px system-ui";
  drawLinks(context, links, colours, dots.length <= NAMED_MAX);
  drawDots(context, scene);
}

/** Draw the links, all of one colour at once: faint where nobody has measured. */
function drawLinks(
  context: CanvasRenderingContext2D,
  links: readonly Link[],
  colours: Scene["colours"],
  isNamed: boolean,
): void {
  context.lineWidth = 1;
  for (const tone of TONES) {
    context.beginPath();
    for (const { source, target, us } of links) {
      if ((us === null ? "faint" : toneOf(us)) !== tone) continue;
      if (typeof source === "string" || typeof target === "string") continue;
      const [[x, y], [u, v]] = [positionOf(source), positionOf(target)];
      context.moveTo(x, y);
      context.lineTo(u, v);
      if (isNamed && us !== null) {
        context.fillStyle = colours.faint ?? "";
        context.fillText(latency(us), (x + u) / 2 + 4, (y + v) / 2 - 4);
      }
    }
    context.strokeStyle = colours[tone] ?? "";
    context.stroke();
  }
}

function drawDots(context: CanvasRenderingContext2D, { dots, colours, text, tones }: Scene): void {
  // With squares a frame of 1,000 nodes takes a quarter less of a processor.
  const isRound = dots.length <= ROUND_MAX;
  for (const [tone, all] of tones) {
    context.beginPath();
    for (const dot of all) {
      const [x, y] = positionOf(dot);
      const radius = dot.info.committee ? RADIUS_PX : RADIUS_PX - 2;
      if (isRound) {
        context.moveTo(x + radius, y);
        context.arc(x, y, radius, 0, 2 * Math.PI);
      } else {
        context.rect(Math.round(x) - radius, Math.round(y) - radius, 2 * radius, 2 * radius);
      }
    }
    context.fillStyle = colours[tone] ?? "";
    context.fill();
  }
  context.beginPath();
  for (const dot of dots.filter(({ info }) => info.committee)) {
    const [x, y] = positionOf(dot);
    context.moveTo(x + RADIUS_PX, y);
    context.arc(x, y, RADIUS_PX, 0, 2 * Math.PI);
  }
  context.lineWidth = 2;
  context.strokeStyle = text;
  context.stroke();
  context.fillStyle = text;
  if (dots.length > NAMED_MAX) return;
  for (const dot of dots) {
    const [x, y] = positionOf(dot);
    context.fillText(dot.info.name, x + RADIUS_PX + 3, y + 4);
  }
}
