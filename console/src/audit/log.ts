/** What the log answers: entries, how many over time, and one of them in full. */

import type { Statement, Side } from "../policies.tsx";

export interface Entry {
  id: string;
  sequence: number;
  at: string;
  title: string;
  outcome: "DONE" | "REFUSED";
  reportedAt: string | null;
}

export interface Counts {
  since: string;
  until: string;
  countedFrom: string;
  bucketSeconds: number;
  starts: string[];
  groups: { key: string; counts: number[] }[];
}

export interface Part {
  auditEntries: { nodes: Entry[]; pageInfo: { hasNextPage: boolean; endCursor: string | null } } | null;
  auditCounts?: Counts | null;
}

export interface Ends {
  latest: { pageInfo: { endCursor: string | null } } | null;
  earliest: { nodes: { at: string }[] } | null;
}

export interface Change {
  field: string;
  before: unknown;
  after: unknown;
}

export interface Whole {
  requestId: string;
  comment: string | null;
  seal: string;
  address: string | null;
  userAgent: string | null;
  reportedAt: string | null;
  actor: {
    kind: string;
    memberId: string | null;
    memberName: string | null;
    tokenId: string | null;
    tokenName: string | null;
    tokenEnding: string | null;
  };
  onBehalfOf: {
    memberName: string | null;
    tokenName: string | null;
    tokenEnding: string | null;
    verified: "VERIFIED" | "CLAIMED";
  } | null;
  target: { name: string; resource: string };
  accesses: { action: string; resource: string }[];
  changes: Change[] | null;
  because: { action: string; side: Side; role: string | null; statement: Statement | null }[];
}

/** Counts entries that came since into their buckets; null where one is of a time without. */
export function counted(counts: Counts, news: Entry[]): Counts | null {
  const from = Date.parse(counts.starts[0] ?? "");
  const groups = counts.groups.map((group) => ({ ...group, counts: [...group.counts] }));
  for (const { at, outcome } of news) {
    const bucket = Math.floor((Date.parse(at) - from) / (counts.bucketSeconds * 1000));
    if (!(bucket >= 0 && bucket < counts.starts.length)) return null;
    let group = groups.find(({ key }) => key === outcome);
    if (group === undefined) groups.push((group = { key: outcome, counts: counts.starts.map(() => 0) }));
    group.counts[bucket] = (group.counts[bucket] ?? 0) + 1;
  }
  return { ...counts, groups };
}
