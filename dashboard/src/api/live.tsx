/** What pages show: answers that are asked for again whenever something has happened. */

import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useRef,
  useState,
} from "react";
import { type Answer, call, type Name, onToken, Problem, type Request, token } from "./client";
import { followEvents, type Link } from "./events";
import type { Event } from "./table";

const REFRESH_MS = 5_000;
const GATHER_MS = 300;
const EVENTS_KEPT = 200;

interface Live {
  readonly link: Link;
  /** Grows with what has happened, at most a few times a second. */
  readonly version: number;
  /** The newest first. */
  readonly events: readonly Event[];
}

const LiveContext = createContext<Live>({ link: "connecting", version: 0, events: [] });

/** Follows events for all pages below. */
export function LiveMesh({ children }: { children: ReactNode }) {
  const [live, setLive] = useState<Live>({ link: "connecting", version: 0, events: [] });
  const waiting = useRef<Event[]>([]);
  const [known, setKnown] = useState(token);
  useEffect(() => onToken(() => setKnown(token())), []);
  // Another token opens another stream.
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const flush = () => {
      const fresh = waiting.current.splice(0).reverse();
      timer = undefined;
      setLive((before) => ({
        ...before,
        version: before.version + 1,
        events: [...fresh, ...before.events].slice(0, EVENTS_KEPT),
      }));
    };
    const onEvent = (event: Event) => {
      waiting.current.push(event);
      timer ??= setTimeout(flush, GATHER_MS);
    };
    const onLink = (link: Link) =>
      setLive((before) => ({ ...before, link, version: before.version + 1 }));
    void followEvents({ onEvent, onLink }, stop.signal);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [known]);
  return <LiveContext.Provider value={live}>{children}</LiveContext.Provider>;
}

/** Give the link and the latest events. */
export function useLive(): Live {
  return useContext(LiveContext);
}

/** An answer as far as it is known, and what went wrong when it was last asked for. */
export interface Asked<T> {
  readonly answer: T | null;
  readonly problem: Problem | null;
  readonly refresh: () => void;
}

/** Ask for an operation, and again whenever something has happened, at least every few seconds.
 *
 * With `everyMs` it is asked so often instead, whatever happens. */
export function useCall<N extends Name>(
  name: N,
  request: Request<N>,
  everyMs?: number,
): Asked<Answer<N>> {
  const { version: latest } = useLive();
  const version = everyMs === undefined ? latest : 0;
  const [state, setState] = useState<Omit<Asked<Answer<N>>, "refresh">>({
    answer: null,
    problem: null,
  });
  const wanted = JSON.stringify(request);
  const asking = useRef(() => {});
  const refresh = useCallback(() => asking.current(), []);
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let [isUnderWay, isOld] = [false, false];
    // What happens while an answer is on its way makes it old, never late.
    asking.current = () => {
      isOld = isUnderWay;
      if (isUnderWay) return;
      clearTimeout(timer);
      isUnderWay = true;
      call(name, JSON.parse(wanted) as Request<N>, stop.signal)
        .then((answer) => setState({ answer, problem: null }))
        .catch((error: unknown) => {
          if (stop.signal.aborted) return;
          if (!(error instanceof Problem)) throw error;
          setState((before) => ({ ...before, problem: error }));
        })
        .finally(() => {
          isUnderWay = false;
          if (stop.signal.aborted) return;
          timer = setTimeout(asking.current, isOld ? GATHER_MS : (everyMs ?? REFRESH_MS));
        });
    };
    asking.current();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [name, wanted, everyMs]);
  const seen = useRef(version);
  useEffect(() => {
    if (seen.current === version) return;
    seen.current = version;
    refresh();
  }, [version, refresh]);
  return { ...state, refresh };
}
