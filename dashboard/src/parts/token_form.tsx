/** Asks for the token that this daemon wants of its callers. */

import { type FormEvent, useId, useState } from "react";
import { setToken } from "../api/client";

/** A token stays in this tab, and is gone when the tab is closed. */
export function TokenForm({ onToken }: { onToken: () => void }) {
  const id = useId();
  const [text, setText] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setToken(text);
    onToken();
  };
  return (
    <form className="panel" onSubmit={submit}>
      <h1>This daemon asks who you are</h1>
      <label htmlFor={id}>Token (`ambientctl token create` makes one)</label>
      <input
        id={id}
        type="password"
        autoComplete="off"
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <button type="submit">Use it in this tab</button>
    </form>
  );
}
