/** What an entry changed, field by field: what went, and what came. Of long values what stayed is told apart. */

import { linesOf, type Line } from "./lines.ts";
import type { Change } from "./log.ts";

const NAMES: Record<Line["kind"], string> = { before: "Before: ", after: "After: ", both: "" };

/** Of what is new or gone, what held nothing says nothing. */
const tells = ({ before, after }: Change) => !(isEmpty(before) && isEmpty(after));
const isEmpty = (value: unknown) => value === null || value === "" || ["[]", "{}"].includes(JSON.stringify(value));

export function Differences({ changes }: { changes: Change[] }) {
  return (
    <dl className="differences">
      {changes.filter(tells).map(({ field, before, after }) => (
        <div key={field}>
          <dt>
            <code>{field}</code>
          </dt>
          <dd>
            {linesOf(before, after).map(({ kind, text }, index) => (
              <pre key={index} className={kind}>
                {NAMES[kind] && <span className="unseen">{NAMES[kind]}</span>}
                {text}
              </pre>
            ))}
          </dd>
        </div>
      ))}
    </dl>
  );
}
