// A text that somebody edits while others may change it, too: loaded, mine, theirs.
import { useEffect, useRef, useState } from "preact/hooks";
import { diff3Merge } from "node-diff3";
import type { Tagged } from "./types";

export interface Merging {
  /** What was loaded; null before it is. */
  base: Tagged<string> | null;
  mine: string;
  /** What it became meanwhile, if that is not what mine began with. */
  theirs: Tagged<string> | null;
  isChanged: boolean;
  error: unknown;
  /** Grows when mine is not what the editor wrote, but what it is to show. */
  edition: number;
  write: (text: string) => void;
  discard: () => void;
  takeTheirs: () => void;
  putMineOnTop: () => void;
  /** Load again; what is there is taken to be saved. */
  reload: () => Promise<void>;
}

/** A text and what becomes of it; load is called again whenever `turn` is another.
 *
 * While it is frozen nothing becomes of it: it is being saved, and that may be taken back. */
export function useMerging(
  load: () => Promise<Tagged<string>>, key: string, turn: unknown, isFrozen: boolean,
): Merging {
  const [base, setBase] = useState<Tagged<string> | null>(null);
  const [mine, write] = useState("");
  const [theirs, setTheirs] = useState<Tagged<string> | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [edition, setEdition] = useState(0);
  const now = useRef({ base, mine });
  const begin = (found: Tagged<string>, text = found.value) => {
    setBase(found);
    setTheirs(null);
    if (text === now.current.mine) return;
    write(text);
    setEdition((last) => last + 1);
  };
  now.current = { base, mine };
  const look = async (isForced: boolean, isCurrent: () => boolean) => {
    try {
      const found = await load();
      if (!isCurrent()) return;
      const { base, mine } = now.current;
      setError(null);
      if (isForced || base === null || mine === base.value) begin(found);
      else if (found.value === base.value) setBase(found);
      else if (found.value === mine) begin(found);
      else setTheirs(found);
    } catch (found) {
      if (isCurrent()) setError(found);
    }
  };
  useEffect(() => {
    if (isFrozen) return;
    let isCurrent = true;
    void look(false, () => isCurrent);
    return () => void (isCurrent = false);
  }, [key, turn, isFrozen]);
  return {
    base, mine, theirs, error, edition, write,
    discard: () => base && begin(base),
    isChanged: base !== null && mine !== base.value,
    takeTheirs: () => theirs && begin(theirs),
    putMineOnTop: () => theirs && base && begin(theirs, onTop(mine, base.value, theirs.value)),
    reload: () => look(true, () => true),
  };
}

/** My lines on top of theirs; where both changed the same lines, mine. */
export function onTop(mine: string, base: string, theirs: string): string {
  const regions = diff3Merge(mine.split("\n"), base.split("\n"), theirs.split("\n"));
  return regions.flatMap((region) => region.ok ?? region.conflict!.a).join("\n");
}
