/** Times, in UTC as the server keeps them, and how long ago they were. */

import { useEffect, useState } from "react";

const UTC = { timeZone: "UTC" } as const;
const DAY = new Intl.DateTimeFormat("en-GB", {
  ...UTC,
  weekday: "long",
  day: "numeric",
  month: "long",
  year: "numeric",
});
const DATE = new Intl.DateTimeFormat("en-GB", { ...UTC, day: "numeric", month: "short", year: "numeric" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { ...UTC, timeStyle: "medium" });
const AGO = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS = [
  ["year", 365 * 86_400],
  ["month", 30 * 86_400],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
] as const;

export const day = (at: string) => DAY.format(new Date(at));
export const clock = (at: string) => CLOCK.format(new Date(at));
export const date = (at: string) => DATE.format(new Date(at));
export const whole = (at: string) => `${date(at)}, ${clock(at)} UTC`;

/** Says how far away a time is: `3 days ago`, `in 2 hours`. */
export function away(at: string, now: number): string {
  const seconds = (new Date(at).getTime() - now) / 1000;
  const unit = UNITS.find(([, length]) => Math.abs(seconds) >= length);
  return unit ? AGO.format(Math.trunc(seconds / unit[1]), unit[0]) : "just now";
}

export function Away({ at }: { at: string }) {
  const now = useMinutes();
  return (
    <time dateTime={at} title={whole(at)}>
      {away(at, now)}
    </time>
  );
}

/** The time, anew each minute. */
function useMinutes(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 60_000);
    return () => clearInterval(timer);
  }, []);
  return now;
}
