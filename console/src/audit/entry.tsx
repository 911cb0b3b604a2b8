/** An entry as a line, and all of it once it is opened. */

import { useState } from "react";

import entryDocument from "../asked/audit-entry.graphql?raw";
import { useAnswer } from "../asking.ts";
import { clock, whole } from "../moments.tsx";
import { Fact } from "../pieces.tsx";
import { policyName, StatementLine, type Side } from "../policies.tsx";
import { told } from "../problems.ts";
import { Differences } from "./differences.tsx";
import type { Named } from "./filter.ts";
import type { Entry, Whole } from "./log.ts";

const SIDES: Record<Side, string> = { SCOPE: "of the token’s scope", OWNER: "of the member", CEILING: "of a ceiling" };

interface Props {
  entry: Entry;
  isNew: boolean;
  onMember: (member: Named) => void;
  onToken: (token: Named) => void;
}

export function EntryLine({ entry, isNew, onMember, onToken }: Props) {
  const [opened, setOpened] = useState(false);
  return (
    <li className={isNew ? "entry new" : "entry"}>
      <details onToggle={(event) => setOpened(event.currentTarget.open)}>
        <summary>
          <time dateTime={entry.at}>{clock(entry.at)}</time>
          <span className="title">{entry.title}</span>
          {entry.outcome === "REFUSED" && <span className="flag bad">Refused</span>}
          {entry.reportedAt !== null && <span className="flag">Reported</span>}
        </summary>
        {opened && <InFull entry={entry} onMember={onMember} onToken={onToken} />}
      </details>
    </li>
  );
}

function InFull({ entry, onMember, onToken }: Omit<Props, "isNew">) {
  const { answer, problem } = useAnswer<{ auditEntry: Whole }>(entryDocument, entry.id);
  if (problem !== null) return <p className="hint opened">{told(problem)}</p>;
  if (answer === null) return <p className="hint opened">One moment</p>;
  const found = answer.auditEntry;
  const { actor, onBehalfOf, target, accesses, changes, because } = found;
  return (
    <div className="opened">
      {found.comment && <blockquote>{found.comment}</blockquote>}
      <section>
        <h3>What changed</h3>
        {changes === null && <p className="hint">You may not see what changed.</p>}
        {changes?.length === 0 && <p className="hint">No field of it.</p>}
        {changes !== null && <Differences changes={changes} />}
      </section>
      <section>
        <h3>{because.length > 0 ? "What allowed it" : "In words of policies"}</h3>
        <ul className="because">
          {[...new Set(accesses.map(({ action }) => action))].map((action) => (
            <li key={action}>
              <p>
                <code>{action}</code> on <Codes of={accesses.filter((access) => access.action === action)} />
              </p>
              {because
                .filter((each) => each.action === action)
                .map(({ side, role, statement }, index) => (
                  <div key={index} className="reason">
                    <p className="hint">
                      A statement {SIDES[side]}, in {policyName(role)}
                    </p>
                    {statement && <StatementLine statement={statement} about={action} />}
                  </div>
                ))}
            </li>
          ))}
        </ul>
      </section>
      <dl className="facts">
        <Fact name="When">{whole(entry.at)}</Fact>
        {found.reportedAt && <Fact name="Happened, as reported">{whole(found.reportedAt)}</Fact>}
        {actor.memberName !== null && (
          <Fact name="Member">
            <Narrow named={{ text: actor.memberName, id: actor.memberId }} by={onMember} />
          </Fact>
        )}
        <Fact name="With">
          <With {...{ actor, onToken }} />
        </Fact>
        {onBehalfOf && (
          <Fact name="On behalf of">
            {onBehalfOf.memberName ?? "the account"}, with {onBehalfOf.tokenName} …{onBehalfOf.tokenEnding}
            {onBehalfOf.verified === "VERIFIED" ? ", which is proven" : ", as the integration says"}
          </Fact>
        )}
        <Fact name="Target">
          {target.name} <code>{target.resource}</code>
        </Fact>
        <Fact name="From">{[found.address, found.userAgent].filter(Boolean).join(", ") || "not shown"}</Fact>
        <Fact name="Request">
          <code>{found.requestId}</code>
        </Fact>
        <Fact name="Entry">
          {entry.sequence}, sealed <code>{found.seal}</code>
        </Fact>
      </dl>
    </div>
  );
}

function Codes({ of }: { of: Whole["accesses"] }) {
  return of.map(({ resource }, index) => (
    <span key={resource}>
      {index > 0 && ", "}
      <code>{resource}</code>
    </span>
  ));
}

function With({ actor, onToken }: { actor: Whole["actor"]; onToken: Props["onToken"] }) {
  const kind = actor.kind.toLowerCase().replaceAll("_", " ");
  if (actor.tokenId === null) return `a ${kind}`;
  const ending = `…${actor.tokenEnding}`;
  if (actor.kind === "SESSION") return `a session, ${ending}`;
  const text = `${actor.tokenName} ${ending}`;
  return (
    <>
      a {kind} token, <Narrow named={{ text, id: actor.tokenId }} by={onToken} />
    </>
  );
}

function Narrow({ named, by }: { named: Named; by: (named: Named) => void }) {
  if (named.id === null) return named.text;
  return (
    <button type="button" className="link" title={`Only entries of ${named.text}`} onClick={() => by(named)}>
      {named.text}
    </button>
  );
}
