/** Statements of policies, as people read them. */

import { useState } from "react";

const FEW = 6;

export interface Statement {
  effect: "ALLOW" | "DENY";
  actions: string[] | null;
  notActions: string[] | null;
  resources: string[] | null;
  notResources: string[] | null;
}

export type Side = "SCOPE" | "OWNER" | "CEILING";

/** Shows a statement; the word that it is about comes first, whatever else it holds. */
export function StatementLine({ statement, about }: { statement: Statement; about?: string }) {
  const { effect, actions, notActions, resources, notResources } = statement;
  return (
    <p className="statement">
      <strong className={effect === "DENY" ? "denies" : "allows"}>{effect === "DENY" ? "Deny" : "Allow"}</strong>{" "}
      {notActions && "all but "}
      <Words of={ahead(about, notActions ?? actions ?? [])} /> on {notResources && "all but "}
      <Words of={notResources ?? resources ?? []} />
    </p>
  );
}

function ahead(about: string | undefined, words: string[]): string[] {
  if (about === undefined || !words.includes(about)) return words;
  return [about, ...words.filter((word) => word !== about)];
}

/** Names a policy: a role, or statements of a token's own. Null is a role that is kept from the viewer. */
export function policyName(name: string | null): string {
  if (name === null) return "a role that you may not see";
  return name === "inline" ? "statements of its own" : `role ${name}`;
}

/** Built-in roles hold dozens of words; at first a few of them say enough. */
function Words({ of }: { of: string[] }) {
  const [all, setAll] = useState(of.length <= FEW + 1);
  return (
    <>
      {of.slice(0, all ? undefined : FEW).map((word, index) => (
        <span key={word}>
          {index > 0 && ", "}
          <code>{word}</code>
        </span>
      ))}
      {!all && ", "}
      {!all && (
        <button type="button" className="link" onClick={() => setAll(true)}>
          and {of.length - FEW} more
        </button>
      )}
    </>
  );
}
