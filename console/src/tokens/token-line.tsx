/** A token as a line, and what it may really do once it is opened. */

import { useState } from "react";

import tokenDocument from "../asked/token.graphql?raw";
import { useAnswer } from "../asking.ts";
import { Away, whole } from "../moments.tsx";
import { Fact } from "../pieces.tsx";
import { policyName, StatementLine, type Side } from "../policies.tsx";
import { told } from "../problems.ts";
import { flagsOf, KINDS, type Token, type Whole } from "./token.ts";

const SIDES: Record<Side, string> = {
  SCOPE: "Its scope allows",
  OWNER: "and its owner may, now",
  CEILING: "and whoever made it might, then",
};
const LIMITS: Record<Side, string> = { SCOPE: "its scope", OWNER: "its owner’s rights", CEILING: "a ceiling" };

/** A policy of more statements is opened by whoever wants to read it. */
const MOST_OPEN = 15;

interface Props {
  token: Token;
  onEntries: (id: string, text: string) => void;
}

export function TokenLine({ token, onEntries }: Props) {
  const [opened, setOpened] = useState(false);
  return (
    <li className="token">
      <details onToggle={(event) => setOpened(event.currentTarget.open)}>
        <summary>
          <span className="title">
            {token.name} <code>…{token.ending}</code>
          </span>
          <span className="kind">{KINDS[token.kind]}</span>
          <Times token={token} />
          <span className="flags">
            {flagsOf(token, Date.now()).map(({ name, isBad, why }) => (
              <span key={name} className={isBad ? "flag bad" : "flag"} title={why}>
                {name}
              </span>
            ))}
          </span>
        </summary>
        {opened && <InFull token={token} onEntries={onEntries} />}
      </details>
    </li>
  );
}

function Times({ token: { createdAt, lastUsedAt, endsAt } }: { token: Token }) {
  return (
    <span className="times">
      <span>
        made <Away at={createdAt} />
      </span>
      <span>
        {lastUsedAt === null ? "never used" : "used "}
        {lastUsedAt !== null && <Away at={lastUsedAt} />}
      </span>
      <span>
        {endsAt === null ? "never ends" : Date.parse(endsAt) < Date.now() ? "ended " : "ends "}
        {endsAt !== null && <Away at={endsAt} />}
      </span>
    </span>
  );
}

function InFull({ token, onEntries }: Props) {
  const { answer, problem } = useAnswer<{ token: Whole }>(tokenDocument, token.id);
  if (problem !== null) return <p className="hint opened">{told(problem)}</p>;
  if (answer === null) return <p className="hint opened">One moment</p>;
  const found = answer.token;
  return (
    <div className="opened">
      {found.description && <p>{found.description}</p>}
      {found.exceedsOwner.length > 0 && <Dead statements={found.exceedsOwner} />}
      <section>
        <h3>What it may really do</h3>
        <p className="hint">What all of these allow. Within one, a single policy is enough.</p>
        <MayDo of={found.effectiveScope} />
      </section>
      {found.deeds && (
        <section>
          <h3>What was done with it last</h3>
          {found.deeds.nodes.length === 0 && <p className="hint">Nothing that the log holds.</p>}
          <ol className="deeds-done">
            {found.deeds.nodes.map(({ id, at, title }) => (
              <li key={id}>
                {title} <time dateTime={at}>{whole(at)}</time>
              </li>
            ))}
          </ol>
        </section>
      )}
      <dl className="facts">
        <Fact name="Made for">{scopeOf(found.scope)}</Fact>
        {found.owner && <Fact name="Owner">{found.owner.name}</Fact>}
        {found.responsible && <Fact name="Answers for it">{found.responsible.name}</Fact>}
        {found.parent && (
          <Fact name="Made with">
            {found.parent.name} …{found.parent.ending}
          </Fact>
        )}
        {found.networks.length > 0 && <Fact name="Only from">{found.networks.join(", ")}</Fact>}
        {found.rateLimits.length > 0 && <Fact name="At most">{found.rateLimits.join(", ")}</Fact>}
        {found.lastUsedAddress && (
          <Fact name="Last used from">{[found.lastUsedAddress, found.lastUsedAgent].filter(Boolean).join(", ")}</Fact>
        )}
        <Fact name="In policies">
          <code>{found.resource}</code>
        </Fact>
      </dl>
      <button type="button" className="plain" onClick={() => onEntries(token.id, `${token.name} …${token.ending}`)}>
        Its entries in the log
      </button>
    </div>
  );
}

function MayDo({ of }: { of: Whole["effectiveScope"] }) {
  const sides = [...new Set(of.map(({ side }) => side))];
  return (
    <div className="sides">
      {sides.map((side) => (
        <div key={side}>
          <h4>{SIDES[side]}</h4>
          {of
            .filter((policy) => policy.side === side)
            .map(({ name, statements }, index) => (
              <details key={index} className="policy" open={(statements?.length ?? 0) <= MOST_OPEN}>
                <summary>
                  {policyName(name)}
                  <span className="hint"> {statements === null ? "words hidden" : counted(statements.length)}</span>
                </summary>
                {statements?.map((statement, at) => (
                  <StatementLine key={at} statement={statement} />
                ))}
              </details>
            ))}
        </div>
      ))}
    </div>
  );
}

function Dead({ statements }: { statements: Whole["exceedsOwner"] }) {
  const some =
    statements.length === 1 ? "A statement of its scope is" : `${statements.length} statements of its scope are`;
  return (
    <details className="dead">
      <summary>{some} dead, in part or whole: beyond what limits the token they allow nothing, for now</summary>
      {statements.map(({ role, index, limitedBy, statement }) => (
        <div key={`${role} ${index} ${limitedBy}`} className="reason">
          <p className="hint">
            Statement {index + 1} of {policyName(role)}, beyond {LIMITS[limitedBy]}
          </p>
          {statement && <StatementLine statement={statement} />}
        </div>
      ))}
    </details>
  );
}

function scopeOf({ kind, builtInRole, customRoles }: Whole["scope"]): string {
  if (kind === "BUILT_IN") return `all that a ${builtInRole?.toLowerCase().replaceAll("_", " ")} may`;
  if (kind === "INLINE") return "statements of its own";
  return `roles ${(customRoles ?? []).map(({ key }) => key).join(", ")}, followed live`;
}

const counted = (statements: number) => (statements === 1 ? "1 statement" : `${statements} statements`);
