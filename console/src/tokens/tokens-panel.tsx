/** Tokens by who made them: how old they are, when they were used and end, and what stands out about them. */

import { useCallback, useEffect, useId, useRef, useState, type FormEvent } from "react";

import tokensDocument from "../asked/tokens.graphql?raw";
import { useAsker, type Asker } from "../asking.ts";
import { Choice, Given } from "../pieces.tsx";
import { told } from "../problems.ts";
import { Refusal } from "../server.ts";
import { TokenLine } from "./token-line.tsx";
import { KINDS, ORDERS, sorted, STATES, type Token } from "./token.ts";

interface Wanted {
  state: string;
  kind: string;
  text: string;
}

interface Page {
  tokens: { nodes: Token[]; pageInfo: { hasNextPage: boolean; endCursor: string | null } } | null;
}

type Order = keyof typeof ORDERS;
type OnEntries = (id: string, text: string) => void;

export function TokensPanel({ onEntries }: { onEntries: OnEntries }) {
  const [wanted, setWanted] = useState<Wanted>({ state: "ACTIVE", kind: "", text: "" });
  const [order, setOrder] = useState<Order>("made");
  const { tokens, further, problem, busy, more } = useTokens(wanted);
  return (
    <section className="panel tokens" aria-labelledby="tokens-title">
      <div className="panel-head">
        <h1 id="tokens-title">Tokens</h1>
        <p className="hint">By who made them. Open one to see what it may really do.</p>
      </div>
      <TokensForm {...{ wanted, order }} onWanted={setWanted} onOrder={setOrder} />
      <div className="found" aria-busy={busy}>
        <div role="alert" className={problem === null ? undefined : "problem"}>
          {problem !== null && told(problem)}
        </div>
        <p role="status" className="unseen">
          {tokens && `${tokens.length} tokens`}
        </p>
        {grouped(tokens ?? []).map(([key, tokens]) => (
          <Made key={key} tokens={sorted(tokens, order)} onEntries={onEntries} />
        ))}
        {tokens?.length === 0 && <p className="hint none">No tokens were found.</p>}
        {further !== null && (
          <button type="button" className="plain older" aria-disabled={busy} onClick={() => busy || more()}>
            More tokens
          </button>
        )}
      </div>
    </section>
  );
}

interface FormProps {
  wanted: Wanted;
  order: Order;
  onWanted: (wanted: Wanted) => void;
  onOrder: (order: Order) => void;
}

function TokensForm({ wanted, order, onWanted, onOrder }: FormProps) {
  const [text, setText] = useState(wanted.text);
  const choose = (change: Partial<Wanted>) => onWanted({ ...wanted, text, ...change });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    choose({});
  };
  return (
    <form className="filters row" role="search" aria-label="Tokens" onSubmit={submit}>
      <Given label="Name" placeholder="a part of it" value={text} onChange={setText} />
      <Choice
        label="State"
        value={wanted.state}
        of={{ "": "Any", ...STATES }}
        onChange={(state) => choose({ state })}
      />
      <Choice label="Kind" value={wanted.kind} of={KINDS} onChange={(kind) => choose({ kind })} />
      <Choice label="Order by" value={order} of={ORDERS} onChange={(chosen) => onOrder(chosen as Order)} />
      <div className="deeds">
        <button className="plain strong">Find</button>
      </div>
    </form>
  );
}

function Made({ tokens, onEntries }: { tokens: Token[]; onEntries: OnEntries }) {
  const id = useId();
  const creator = tokens[0]?.creator;
  return (
    <section className="day" aria-labelledby={id}>
      <h2 id={id}>
        {creator ? creator.name || "A member without a name" : "Made by nobody you see"}
        <span className="hint"> {tokens.length === 1 ? "1 token" : `${tokens.length} tokens`}</span>
      </h2>
      <ul>
        {tokens.map((token) => (
          <TokenLine key={token.id} token={token} onEntries={onEntries} />
        ))}
      </ul>
    </section>
  );
}

/** Tokens by who made them, in the order they came. */
function grouped(tokens: Token[]): [string, Token[]][] {
  const groups = new Map<string, Token[]>();
  for (const token of tokens) {
    const key = token.creator?.id ?? "";
    groups.set(key, [...(groups.get(key) ?? []), token]);
  }
  return [...groups];
}

function useTokens(wanted: Wanted) {
  const asker = useAsker();
  const [tokens, setTokens] = useState<Token[] | null>(null);
  const [further, setFurther] = useState<string | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(true);
  const reading = useRef(0);
  const order = useRef("CREATOR");

  const read = useCallback(
    async (after: string | null) => {
      const mine = ++reading.current;
      setBusy(true);
      try {
        const { tokens } = await page(asker, wanted, after, order.current).catch((error: unknown) => {
          if (!(error instanceof Refusal) || error.extensions.action !== "viewMember" || after !== null) throw error;
          order.current = "CREATED_AT";
          return page(asker, wanted, after, order.current);
        });
        if (reading.current !== mine) return;
        const nodes = tokens?.nodes ?? [];
        setTokens((before) => (after === null ? nodes : [...(before ?? []), ...nodes]));
        setFurther(tokens?.pageInfo.hasNextPage ? tokens.pageInfo.endCursor : null);
        setProblem(null);
      } catch (error) {
        if (reading.current === mine) setProblem(error);
      } finally {
        if (reading.current === mine) setBusy(false);
      }
    },
    [asker, wanted],
  );
  useEffect(() => void read(null), [read]);
  return { tokens, further, problem, busy, more: () => read(further) };
}

/** Asks for whole groups, one after the other; who sees only some of the members gets those of a page. */
async function page(asker: Asker, { state, kind, text }: Wanted, after: string | null, order: string): Promise<Page> {
  const given = Object.entries({ state, kind, text: text.trim() }).filter(([, word]) => word !== "");
  return await asker.ask<Page>(tokensDocument, { filter: Object.fromEntries(given), after, order });
}
