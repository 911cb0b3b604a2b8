/** What an entry changed, field by field: what went, and what came. */

import type { Change } from "./log.ts";

export function Differences({ changes }: { changes: Change[] }) {
  return (
    <dl className="differences">
      {changes.map(({ field, before, after }) => (
        <div key={field}>
          <dt>
            <code>{field}</code>
          </dt>
          <dd>
            {before !== null && <Value className="before" name="Before: " value={before} />}
            {after !== null && <Value className="after" name="After: " value={after} />}
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Value({ className, name, value }: { className: string; name: string; value: unknown }) {
  return (
    <pre className={className}>
      <span className="unseen">{name}</span>
      {typeof value === "string" ? value || "“”" : JSON.stringify(value, null, 2)}
    </pre>
  );
}
