/** A file, dropped or chosen. */

import { type DragEvent, useId, useState } from "react";
import type { Bytes } from "../codec/bytes";

const FILE_BYTES_MAX = 64 * 1024 * 1024;

interface DropFileProps {
  readonly label: string;
  readonly onFile: (name: string, data: Bytes) => void;
}

/** Takes one file by drag and drop, by mouse or by keyboard, and reads it. */
export function DropFile({ label, onFile }: DropFileProps) {
  const id = useId();
  const [isOver, setIsOver] = useState(false);
  const [fault, setFault] = useState("");

  async function take(file: File | undefined) {
    if (file === undefined) return;
    if (file.size > FILE_BYTES_MAX) {
      setFault(`${file.name} has more than 64 MiB; nothing was read.`);
      return;
    }
    setFault("");
    onFile(file.name, new Uint8Array(await file.arrayBuffer()));
  }

  function drop(event: DragEvent) {
    event.preventDefault();
    setIsOver(false);
    void take(event.dataTransfer.files[0]);
  }

  return (
    <>
      <label
        htmlFor={id}
        className="drop"
        data-over={isOver}
        onDrop={drop}
        onDragOver={(event) => {
          event.preventDefault();
          setIsOver(true);
        }}
        onDragLeave={() => setIsOver(false)}
      >
        {label}: drop it here, or choose it
        <br />
        <input id={id} type="file" onChange={(event) => void take(event.target.files?.[0])} />
      </label>
      <p className="bad" role="status">
        {fault}
      </p>
    </>
  );
}
