/** Parts of the pages that are loaded when they are first shown. */

import { Component, type ComponentType, type ReactNode, useEffect, useState } from "react";
import { useLive } from "../api/live";

/** Show a part once it is here; what could not be loaded is asked for again when the daemon is back. */
export function later<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  let known: ComponentType<P> | null = null;
  return function Later(props: P) {
    const { link } = useLive();
    const [Part, setPart] = useState<ComponentType<P> | null>(() => known);
    const [isMissing, setIsMissing] = useState(false);
    // A link that is back is worth another try.
    useEffect(() => {
      if (Part !== null) return;
      let isShown = true;
      load().then(
        (loaded) => {
          known = loaded;
          if (isShown) setPart(() => loaded);
        },
        () => isShown && setIsMissing(true),
      );
      return () => {
        isShown = false;
      };
    }, [Part, link]);
    if (Part !== null) return <Part {...props} />;
    if (!isMissing) return <p className="faint">…</p>;
    return <Failed title="This page is not here yet" text="the daemon did not send it" />;
  };
}

function Failed({ title, text }: { title: string; text: string }) {
  return (
    <>
      <h1>{title}</h1>
      <section className="panel">
        <p className="bad" role="alert">
          {text}
        </p>
        <button type="button" onClick={() => location.reload()}>
          Load it again
        </button>
      </section>
    </>
  );
}

/** Keeps the navigation where a page fails, and says what failed. */
export class Guard extends Component<{ children: ReactNode }, { fault: string }> {
  override state = { fault: "" };

  static getDerivedStateFromError(error: unknown) {
    return { fault: String(error) };
  }

  override render() {
    if (this.state.fault === "") return this.props.children;
    return <Failed title="This page failed" text={this.state.fault} />;
  }
}
