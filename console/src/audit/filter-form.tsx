/** The fields that narrow the log. Choices hold at once, what is typed with Enter. */

import { useEffect, useState, type FormEvent } from "react";

import { useAsker } from "../asking.ts";
import { Choice, Given } from "../pieces.tsx";
import { NO_FILTER, OUTCOMES, SOURCES, SPANS, spanning, type Filter } from "./filter.ts";
import { found, useMembers } from "./members.ts";

interface Props {
  filter: Filter;
  onFilter: (filter: Filter) => void;
  /** What the server says is wrong, by the name that it has for the field. */
  wrong: { field: string; message: string } | null;
}

export function FilterForm({ filter, onFilter, wrong }: Props) {
  const asker = useAsker();
  const [draft, setDraft] = useState(filter);
  const [nobody, setNobody] = useState<string>();
  const members = useMembers(asker, draft.member);
  useEffect(() => setDraft(filter), [filter]);
  const type = (change: Partial<Filter>) => setDraft((before) => ({ ...before, ...change }));
  const wrongWith = (name: string) => (wrong?.field === `filter.${name}` ? wrong.message : undefined);

  const hold = async (wanted: Filter) => {
    setNobody(undefined);
    const member = await found(asker, wanted.member);
    if (member === null) setNobody("You see no one member of that name.");
    else onFilter({ ...wanted, member });
  };
  const choose = (wanted: Filter) => {
    setDraft(wanted);
    void hold(wanted);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void hold(draft);
  };

  return (
    <form className="filters" role="search" aria-label="Entries" onSubmit={submit}>
      <Choice
        label="When"
        value={draft.span}
        of={SPANS}
        onChange={(span) => choose(spanning(draft, span as Filter["span"]))}
      />
      {draft.span === "between" && (
        <>
          <Given
            label="From, in UTC"
            type="datetime-local"
            step={1}
            value={draft.since}
            onChange={(since) => type({ since })}
          />
          <Given
            label="Until, in UTC"
            type="datetime-local"
            step={1}
            value={draft.until}
            onChange={(until) => type({ until })}
            min={draft.since}
          />
        </>
      )}
      <Given
        label="Text"
        placeholder="in a name or comment"
        value={draft.text}
        onChange={(text) => type({ text })}
        problem={wrongWith("text")}
      />
      <Given
        label="Member"
        placeholder="a name"
        list="audit-members"
        value={draft.member.text}
        onChange={(text) => type({ member: members.find((member) => member.text === text) ?? { text, id: null } })}
        problem={nobody ?? wrongWith("actor")}
      >
        <datalist id="audit-members">
          {members.map(({ text, id }) => (
            <option key={id} value={text} />
          ))}
        </datalist>
      </Given>
      <Given
        label="Token"
        placeholder="its last characters or id"
        value={draft.token.text}
        onChange={(text) => type({ token: { text, id: null } })}
        problem={wrongWith("token") ?? wrongWith("tokenEnding")}
      />
      <Given
        label="Action"
        placeholder="update*"
        value={draft.action}
        onChange={(action) => type({ action })}
        problem={wrongWith("action")}
      />
      <Given
        label="Resource"
        placeholder="role/*"
        value={draft.resource}
        onChange={(resource) => type({ resource })}
        problem={wrongWith("resource")}
      />
      <Choice
        label="Outcome"
        value={draft.outcome}
        of={OUTCOMES}
        onChange={(outcome) => choose({ ...draft, outcome: outcome as Filter["outcome"] })}
      />
      <Choice
        label="Source"
        value={draft.source}
        of={SOURCES}
        onChange={(source) => choose({ ...draft, source: source as Filter["source"] })}
      />
      <div className="deeds">
        <button className="plain strong">Find</button>
        <button
          type="button"
          className="plain"
          onClick={() => onFilter({ ...NO_FILTER, span: filter.span, since: filter.since, until: filter.until })}
        >
          Clear
        </button>
      </div>
    </form>
  );
}
