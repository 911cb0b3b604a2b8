/** Which part of the workbench is in front, as the address says, so that it can be linked to and gone back from. */

import { useEffect, useSyncExternalStore } from "react";

const FACES = { explorer: "GraphiQL", audit: "Audit", tokens: "Tokens" } as const;

export type Face = keyof typeof FACES;

/** The server says in the page if it is to have no GraphiQL. */
const HAS_GRAPHIQL = document.documentElement.dataset.graphiql !== "off";
const SHOWN = (Object.keys(FACES) as Face[]).filter((face) => face !== "explorer" || HAS_GRAPHIQL);

export function useFace(): Face {
  const subscribe = (changed: () => void) => {
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  };
  const face = useSyncExternalStore(subscribe, faceOf);
  useEffect(() => {
    document.title = face === "explorer" ? "Latchkey" : `${FACES[face]} – Latchkey`;
  }, [face]);
  return face;
}

export function turnTo(face: Face) {
  location.hash = addressOf(face);
}

export function Faces({ face }: { face: Face }) {
  return (
    <nav className="faces" aria-label="Console">
      {SHOWN.map((each) => (
        <a key={each} href={addressOf(each)} aria-current={each === face ? "page" : undefined}>
          {FACES[each]}
        </a>
      ))}
    </nav>
  );
}

function addressOf(face: Face): string {
  return face === "explorer" ? "#/" : `#/${face}`;
}

function faceOf(): Face {
  const found = location.hash.replace(/^#\//, "");
  return SHOWN.find((face) => face === found) ?? SHOWN[0]!;
}
