/** The audit log: what to look for, how much there was over time, and the entries, the latest first. */

import { useId, useMemo } from "react";

import { day } from "../moments.tsx";
import { useMedia } from "../pieces.tsx";
import { told } from "../problems.ts";
import { Refusal } from "../server.ts";
import { Chart } from "./chart.tsx";
import { EntryLine } from "./entry.tsx";
import { FilterForm } from "./filter-form.tsx";
import { between, isOpen, narrowing, type Filter } from "./filter.ts";
import type { Entry } from "./log.ts";
import { useLog } from "./use-log.ts";

interface Props {
  filter: Filter;
  onFilter: (filter: Filter) => void;
}

export function AuditPanel({ filter, onFilter }: Props) {
  const isWide = useMedia("(min-width: 860px)");
  const { log, problem, busy, older, following, setFollowing } = useLog(filter, isWide ? 60 : 30);
  const wrong = useMemo(() => wrongField(problem), [problem]);
  const form = <FilterForm filter={filter} onFilter={onFilter} wrong={wrong} />;
  const given = narrowing(filter);

  return (
    <section className="panel audit" aria-labelledby="audit-title">
      <div className="panel-head">
        <h1 id="audit-title">Audit log</h1>
        <p className="hint">Who did what, with which token, and why they might. Times are in UTC.</p>
        <button
          type="button"
          className="plain live"
          aria-pressed={following}
          disabled={!isOpen(filter)}
          onClick={() => setFollowing(!following)}
        >
          Live
        </button>
      </div>
      {isWide ? (
        <aside aria-label="Filters">{form}</aside>
      ) : (
        <details className="filters-fold">
          <summary>Filters{given > 0 && ` (${given})`}</summary>
          {form}
        </details>
      )}
      <div className="found" aria-busy={busy}>
        <div role="alert" className={problem !== null && wrong === null ? "problem" : undefined}>
          {problem !== null && wrong === null && told(problem)}
        </div>
        {log?.counts && (
          <Chart counts={log.counts} onNarrow={(since, until) => onFilter(between(filter, since, until))} />
        )}
        {log && (
          <>
            <p role="status" className="unseen">
              {following && (log.news.size > 0 ? `${log.news.size} new` : "Following the log")}
            </p>
            <Days entries={log.entries} news={log.news} filter={filter} onFilter={onFilter} />
            {log.entries.length === 0 && log.further === null && <p className="hint none">Nothing was found.</p>}
            {log.entries.length === 0 && log.further !== null && <p className="hint none">Nothing was found so far.</p>}
            {log.further !== null && (
              <button type="button" className="plain older" aria-disabled={busy} onClick={() => busy || older()}>
                Older entries
              </button>
            )}
          </>
        )}
      </div>
    </section>
  );
}

interface DaysProps extends Props {
  entries: Entry[];
  news: ReadonlySet<string>;
}

function Days({ entries, news, filter, onFilter }: DaysProps) {
  const days = new Map<string, Entry[]>();
  for (const entry of entries) days.set(day(entry.at), [...(days.get(day(entry.at)) ?? []), entry]);
  return [...days].map(([name, entries]) => (
    <Day key={name} name={name}>
      {entries.map((entry) => (
        <EntryLine
          key={entry.id}
          entry={entry}
          isNew={news.has(entry.id)}
          onMember={(member) => onFilter({ ...filter, member })}
          onToken={(token) => onFilter({ ...filter, token })}
        />
      ))}
    </Day>
  ));
}

function Day({ name, children }: { name: string; children: React.ReactNode }) {
  const id = useId();
  return (
    <section className="day" aria-labelledby={id}>
      <h2 id={id}>{name}</h2>
      <ol>{children}</ol>
    </section>
  );
}

/** What is wrong with a field of the filter, for beside that field. */
function wrongField(problem: unknown) {
  if (!(problem instanceof Refusal) || problem.code !== "BAD_USER_INPUT") return null;
  // Beside the field, its name in the schema says nothing.
  const message = problem.message.replace(/^`[^`]*` /, "it ");
  return { field: String(problem.extensions.field), message: told(message) };
}
