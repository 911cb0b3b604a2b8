/** Which part of the workbench is in front, as the address says, so that it can be linked to and gone back from. */

import { useEffect, useSyncExternalStore } from "react";

const FACES = { explorer: "GraphiQL", audit: "Audit", tokens: "Tokens" } as const;

export type Face = keyof typeof FACES;

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
      {(Object.keys(FACES) as Face[]).map((each) => (
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
  return found === "audit" || found === "tokens" ? found : "explorer";
}
