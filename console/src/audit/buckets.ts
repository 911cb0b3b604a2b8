/** Counts by their bucket, as both the bars and the table show them. */

import { clock, date } from "../moments.tsx";
import type { Counts } from "./log.ts";

export const SERIES = [
  { key: "DONE", name: "Done", className: "done" },
  { key: "REFUSED", name: "Refused", className: "refused" },
] as const;

export interface Bucket {
  from: number;
  to: number;
  /** In the order of the series. */
  counts: number[];
  total: number;
}

export type OnNarrow = (since: number, until: number) => void;

export function bucketsOf({ starts, groups, bucketSeconds }: Counts): Bucket[] {
  const series = SERIES.map(({ key }) => groups.find((group) => group.key === key)?.counts ?? []);
  return starts.map((start, index) => {
    const counts = series.map((each) => each[index] ?? 0);
    const from = Date.parse(start);
    return { from, to: from + bucketSeconds * 1000, counts, total: sum(counts) };
  });
}

export function said(time: number): string {
  const at = new Date(time).toISOString();
  return `${date(at)}, ${clock(at)}`;
}

export const spoken = ({ from, to }: Bucket) => `from ${said(from)} to ${said(to)}`;
export const sum = (numbers: number[]) => numbers.reduce((one, other) => one + other, 0);
export const whole = new Intl.NumberFormat("en").format;
