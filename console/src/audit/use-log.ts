/** The part of the log that a filter finds: from its newest entry on, further back on demand, and on as it grows. */

import { useCallback, useEffect, useRef, useState } from "react";

import endsDocument from "../asked/audit-ends.graphql?raw";
import logDocument from "../asked/audit-log.graphql?raw";
import { useAsker, type Asker } from "../asking.ts";
import { isOpen, spanOf, worded, type Filter } from "./filter.ts";
import { follow } from "./follow.ts";
import { counted, type Counts, type Ends, type Entry, type Part } from "./log.ts";

const PAGE = 25;
const MOST_NEWS = 100;

export interface Log {
  entries: Entry[];
  counts: Counts | null;
  /** Where older entries may be. Null: there are none. */
  further: string | null;
  /** The filter that found them, as the server was asked. */
  words: Record<string, unknown>;
  /** Whether an entry came that is of no bucket, for time went on. */
  isUncounted: boolean;
  /** Which of the entries came while the log was followed. */
  news: ReadonlySet<string>;
}

export function useLog(filter: Filter, buckets: number) {
  const asker = useAsker();
  const [log, setLog] = useState<Log | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(true);
  const [following, setFollowing] = useState(false);
  const reading = useRef(0);
  const follows = following && isOpen(filter);

  const read = useCallback(async () => {
    const mine = ++reading.current;
    const isLatest = () => reading.current === mine;
    setBusy(true);
    try {
      const found = await begin(asker, filter, buckets);
      if (!isLatest()) return;
      setLog(found);
      setProblem(null);
    } catch (error) {
      if (!isLatest()) return;
      setLog(null);
      setProblem(error);
    } finally {
      if (isLatest()) setBusy(false);
    }
  }, [asker, filter, buckets]);
  useEffect(() => void read(), [read]);

  /** Adds to what was read, unless something else is read by then. */
  const add = useCallback(
    async (words: Record<string, unknown>, after: string | null, first: number, onto: Onto) => {
      const mine = reading.current;
      try {
        const { auditEntries } = await asker.ask<Part>(logDocument, page(words, after, first));
        if (reading.current === mine) setLog((log) => log && onto(log, auditEntries));
      } catch (error) {
        if (reading.current === mine) setProblem(error);
      }
    },
    [asker],
  );
  const older = async () => {
    setBusy(true);
    await add(log?.words ?? {}, log?.further ?? null, PAGE, (log, part) => ({ ...log, ...beyond(log.entries, part) }));
    setBusy(false);
  };

  useEffect(() => {
    if (!follows) return;
    return follow(asker, {
      begun: read,
      came: async (ids, since) => {
        if (ids.size > MOST_NEWS) return await read();
        const wanted = { ...worded(filter), since };
        await add(wanted, null, MOST_NEWS, (log, part) =>
          ahead(log, part?.nodes.filter(({ id }) => ids.has(id)) ?? []),
        );
      },
      ended: (error) => {
        setFollowing(false);
        setProblem(error ?? new Error("the server ended what was followed"));
      },
    });
  }, [add, asker, filter, follows, read]);

  useEffect(() => {
    if (!log?.isUncounted) return;
    const mine = reading.current;
    const recount = async () => {
      const { counts } = await begin(asker, filter, buckets, 0);
      if (reading.current === mine) setLog((log) => log && { ...log, counts, isUncounted: false });
    };
    recount().catch(setProblem);
  }, [asker, filter, buckets, log?.isUncounted]);

  return { log, problem, busy, older, following: follows, setFollowing };
}

type Onto = (log: Log, part: Part["auditEntries"]) => Log;

async function begin(asker: Asker, filter: Filter, buckets: number, first = PAGE): Promise<Log> {
  const { earliest } = await asker.ask<Ends>(endsDocument);
  const { since, until } = spanOf(filter, Date.now(), earliest?.nodes[0]?.at ?? null);
  const words = { ...worded(filter), since, ...(until === null ? {} : { until }) };
  const asked = { ...page(words, null, first), since, until, buckets, counted: true };
  const { auditEntries, auditCounts } = await asker.ask<Part>(logDocument, asked);
  return { ...beyond([], auditEntries), counts: auditCounts ?? null, isUncounted: false, words, news: new Set() };
}

function page(words: Record<string, unknown>, after: string | null, first: number) {
  const uncounted = { since: new Date(0).toISOString(), buckets: 1, counted: false };
  return { filter: words, first, after, ...uncounted };
}

function beyond(entries: Entry[], more: Part["auditEntries"]) {
  const further = more?.pageInfo.hasNextPage ? more.pageInfo.endCursor : null;
  return { entries: [...entries, ...(more?.nodes ?? [])], further };
}

function ahead(log: Log, came: Entry[]): Log {
  const known = new Set(log.entries.map(({ id }) => id));
  const news = came.filter(({ id }) => !known.has(id));
  if (news.length === 0) return log;
  const counts = log.counts && counted(log.counts, news);
  return {
    ...log,
    entries: [...news, ...log.entries].sort((one, other) => other.sequence - one.sequence),
    counts: counts ?? log.counts,
    isUncounted: counts === null,
    news: new Set([...log.news, ...news.map(({ id }) => id)]),
  };
}
