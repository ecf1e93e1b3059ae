/** What happens in the mesh, as it happens: the daemon's event stream, resumed where it broke. */

import { createParser } from "eventsource-parser";
import { headers } from "./client";
import type { Event } from "./table";

const PATH = "/api/v1/events";
const LOST = "lost";
const PAUSE_MS_MIN = 500;
const PAUSE_MS_MAX = 10_000;

/** Whether events come in at present. */
export type Link = "connecting" | "live" | "lost" | "refused";

interface Listener {
  readonly onEvent: (event: Event) => void;
  readonly onLink: (link: Link) => void;
}

/** Follow events until the signal aborts; a stream that breaks is opened again after a pause. */
export async function followEvents(listener: Listener, signal: AbortSignal): Promise<void> {
  let lastId = "";
  for (let pauseMs = PAUSE_MS_MIN; !signal.aborted; pauseMs = Math.min(2 * pauseMs, PAUSE_MS_MAX)) {
    const parser = createParser({
      onEvent: (message) => {
        if (message.event === LOST) {
          lastId = ""; // what was missed is no more there: whoever shows something asks anew
          return;
        }
        lastId = message.id ?? lastId;
        listener.onEvent(JSON.parse(message.data) as Event);
      },
    });
    let link: Link = "lost";
    try {
      const resume: Record<string, string> = lastId === "" ? {} : { "Last-Event-ID": lastId };
      const response = await fetch(PATH, {
        headers: { ...headers("text/event-stream"), ...resume },
        signal,
      });
      if (response.status === 401 || response.status === 403) link = "refused";
      if (response.ok && response.body) {
        listener.onLink("live");
        pauseMs = PAUSE_MS_MIN;
        await feed(response.body, parser.feed);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof TypeError)) throw error; // what fetch throws when the network does
    }
    listener.onLink(link);
    await pause(pauseMs, signal);
  }
}

async function feed(body: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
  const reader = body.pipeThrough(new TextDecoderStream() as never).getReader();
  for (;;) {
    const { done, value } = (await reader.read()) as { done: boolean; value?: string };
    if (done) return;
    take(value ?? "");
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
