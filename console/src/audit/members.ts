/** Members by their names: offered while one is typed, and found once it is. */

import { useEffect, useRef, useState } from "react";

import membersDocument from "../asked/members.graphql?raw";
import type { Asker } from "../asking.ts";
import type { Named } from "./filter.ts";

const TYPED_MS = 200;

interface Members {
  members: { nodes: { id: string; name: string; resource: string }[] } | null;
}

/** Members whose names hold what was typed; a name that several have is told apart by the end of the id. */
async function named(asker: Asker, text: string): Promise<Named[]> {
  const { members } = await asker.ask<Members>(membersDocument, { text });
  const nodes = members?.nodes ?? [];
  return nodes.map(({ id, name, resource }) => ({
    text: nodes.filter((other) => other.name === name).length > 1 ? `${name} …${resource.slice(-4)}` : name,
    id,
  }));
}

/** Completes what names a member; null where it names none, or not one. */
export async function found(asker: Asker, wanted: Named): Promise<Named | null> {
  const text = wanted.text.trim();
  if (wanted.id !== null || text === "") return { ...wanted, text };
  const among = await named(asker, text).catch(() => []);
  const same = among.filter((member) => member.text.toLowerCase() === text.toLowerCase());
  const [one, other] = same.length > 0 ? same : among;
  return one !== undefined && other === undefined ? one : null;
}

export function useMembers(asker: Asker, { text, id }: Named): Named[] {
  const [members, setMembers] = useState<Named[]>([]);
  const latest = useRef("");
  useEffect(() => {
    latest.current = text;
    if (text.trim() === "") setMembers([]);
    if (text.trim() === "" || id !== null) return;
    const timer = setTimeout(() => {
      // Whoever may see no members has none offered.
      named(asker, text.trim()).then(
        (members) => latest.current === text && setMembers(members),
        () => undefined,
      );
    }, TYPED_MS);
    return () => clearTimeout(timer);
  }, [asker, text, id]);
  return members;
}
