/** Following the log: what was recorded is gathered for a moment, and then asked for as the filter has it. */

import endsDocument from "../asked/audit-ends.graphql?raw";
import recordedDocument from "../asked/audit-entry-recorded.graphql?raw";
import type { Asker } from "../asking.ts";
import type { Ends } from "./log.ts";

const GATHERED_MS = 300;

interface Following {
  /** Reads what there is, once it is known from where on it is followed. */
  begun: () => Promise<void>;
  came: (ids: ReadonlySet<string>, since: string) => Promise<void>;
  ended: (problem: unknown) => void;
}

interface Recorded {
  auditEntryRecorded: { id: string; at: string } | null;
}

/** Follows the log from its end on: what was recorded while it was read comes as well, so that nothing is missed. */
export function follow(asker: Asker, { begun, came, ended }: Following): () => void {
  let waiting = new Map<string, string>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stop = () => undefined as void;
  let stopped = false;

  const hand = async () => {
    const gathered = waiting;
    waiting = new Map();
    await came(new Set(gathered.keys()), [...gathered.values()].sort()[0] ?? "");
    timer = waiting.size > 0 && !stopped ? setTimeout(hand, GATHERED_MS) : undefined;
  };
  const start = async () => {
    const { latest } = await asker.ask<Ends>(endsDocument);
    await begun();
    if (stopped) return;
    const after = latest?.pageInfo.endCursor ?? null;
    stop = asker.follow<Recorded>(
      recordedDocument,
      { after },
      {
        next: ({ auditEntryRecorded: entry }) => {
          if (entry === null) return;
          waiting.set(entry.id, entry.at);
          timer ??= setTimeout(hand, GATHERED_MS);
        },
        ended: (problem) => {
          if (!stopped) ended(problem);
          stopped = true;
        },
      },
    );
  };
  start().catch((problem: unknown) => stopped || ended(problem));
  return () => {
    stopped = true;
    clearTimeout(timer);
    stop();
  };
}
