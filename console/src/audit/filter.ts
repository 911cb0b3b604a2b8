/** Which entries are looked at, as people say it and as the server is asked. */

/** What is typed to name a member or a token, and its id once that is known. */
export interface Named {
  text: string;
  id: string | null;
}

export interface Filter {
  span: Span;
  /** In UTC, as `datetime-local` has it: `2026-11-26T14:00`. For the span `between` alone. */
  since: string;
  until: string;
  text: string;
  member: Named;
  token: Named;
  action: string;
  resource: string;
  outcome: "" | "DONE" | "REFUSED";
  source: "" | "LATCHKEY" | "INTEGRATION";
}

export type Span = keyof typeof SPANS;

export const SPANS = {
  hour: "The last hour",
  day: "The last 24 hours",
  week: "The last 7 days",
  month: "The last 30 days",
  year: "The last 12 months",
  ever: "All of the time",
  between: "Between two times",
} as const;

export const OUTCOMES = { "": "Any", DONE: "Done", REFUSED: "Refused" } as const;
export const SOURCES = { "": "Any", LATCHKEY: "Latchkey’s own", INTEGRATION: "Reported by integrations" } as const;

const HOUR_MS = 3_600_000;
const LENGTHS_MS: Partial<Record<Span, number>> = {
  hour: HOUR_MS,
  day: 24 * HOUR_MS,
  week: 7 * 24 * HOUR_MS,
  month: 30 * 24 * HOUR_MS,
  year: 365 * 24 * HOUR_MS,
};
const NOBODY: Named = { text: "", id: null };

export const NO_FILTER: Filter = {
  span: "week",
  since: "",
  until: "",
  text: "",
  member: NOBODY,
  token: NOBODY,
  action: "",
  resource: "",
  outcome: "",
  source: "",
};

/** How many of its fields narrow. */
export function narrowing(filter: Filter): number {
  const { member, token, text, action, resource, outcome, source } = filter;
  return [member.text, token.text, text, action, resource, outcome, source].filter((given) => given.trim() !== "")
    .length;
}

/** Tells whether what happens from now on is looked at as well. */
export function isOpen({ span, until }: Filter): boolean {
  return span !== "between" || until === "";
}

/** When what is looked at begins and ends; the earliest entry says it where all is. */
export function spanOf({ span, since, until }: Filter, now: number, earliest: string | null) {
  if (span === "between") return { since: given(since) ?? earliest ?? iso(now - HOUR_MS), until: given(until) };
  const length = LENGTHS_MS[span];
  return { since: length === undefined ? (earliest ?? iso(now - HOUR_MS)) : iso(now - length), until: null };
}

/** The filter in the server's words, without its times. */
export function worded(filter: Filter): Record<string, unknown> {
  const words = {
    text: filter.text.trim(),
    actor: filter.member.id,
    ...tokenWords(filter.token),
    action: filter.action.trim(),
    resource: filter.resource.trim(),
    outcome: filter.outcome,
    source: filter.source,
  };
  return Object.fromEntries(Object.entries(words).filter(([, word]) => word));
}

/** Between two times: what a bar of the chart stands for. */
export function between(filter: Filter, since: number, until: number): Filter {
  return { ...filter, span: "between", since: local(since), until: local(until) };
}

/** Another span; between two times begins with the span before it, for people to go on from. */
export function spanning(filter: Filter, span: Span): Filter {
  if (span !== "between" || filter.span === "between") return { ...filter, span };
  const length = LENGTHS_MS[filter.span];
  return { ...filter, span, since: length === undefined ? "" : local(Date.now() - length), until: "" };
}

/** Of a secret that somebody pastes no more is sent than is shown of it anyway. */
function tokenWords({ text, id }: Named): Record<string, string> {
  const typed = text.trim().replace(/^…/, "");
  if (id !== null) return { token: id };
  if (/^lk[a-z]_/.test(typed) || typed.length <= 4) return typed === "" ? {} : { tokenEnding: typed.slice(-4) };
  return { token: typed };
}

function given(local: string): string | null {
  return local === "" ? null : iso(Date.parse(`${local}Z`));
}

function local(time: number): string {
  return iso(time).slice(0, 19);
}

function iso(time: number): string {
  return new Date(time).toISOString();
}
