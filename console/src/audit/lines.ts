/** Two values as lines of text, of which some stayed, some went and some came. */

/** Lines beyond that many are not compared: each side is then one piece. */
const MOST = 400;

export interface Line {
  kind: "before" | "after" | "both";
  text: string;
}

export function linesOf(before: unknown, after: unknown): Line[] {
  const [went, came] = [written(before), written(after)];
  const isSmall = Math.max(went.length, came.length) <= MOST;
  return isSmall ? joined(compared(went, came)) : [...all("before", went), ...all("after", came)];
}

function written(value: unknown): string[] {
  if (value === null) return [];
  if (value === "") return ["“”"];
  return (typeof value === "string" ? value : JSON.stringify(value, null, 2)).split("\n");
}

/** The fewest lines that went and came, as the longest common subsequence leaves them. */
function compared(went: string[], came: string[]): Line[] {
  const common = table(went, came);
  const lines: Line[] = [];
  let [at, to] = [0, 0];
  while (at < went.length || to < came.length) {
    const [old, fresh] = [went[at], came[to]];
    if (old !== undefined && fresh !== undefined && isSame(old, fresh)) {
      lines.push({ kind: "both", text: fresh });
      at += 1;
      to += 1;
    } else if (old !== undefined && (fresh === undefined || length(common, at + 1, to) >= length(common, at, to + 1))) {
      lines.push({ kind: "before", text: old });
      at += 1;
    } else {
      lines.push({ kind: "after", text: fresh ?? "" });
      to += 1;
    }
  }
  return lines;
}

/** How many lines the two have in common from each pair of places on. */
function table(went: string[], came: string[]): number[][] {
  const common = [...went, ""].map(() => [...came, ""].map(() => 0));
  for (let at = went.length - 1; at >= 0; at -= 1) {
    for (let to = came.length - 1; to >= 0; to -= 1) {
      const row = common[at];
      if (row === undefined) continue;
      row[to] = isSame(went[at] ?? "", came[to] ?? "")
        ? length(common, at + 1, to + 1) + 1
        : Math.max(length(common, at + 1, to), length(common, at, to + 1));
    }
  }
  return common;
}

/** A comma says only that something follows. */
const isSame = (one: string, other: string) => one.replace(/,$/, "") === other.replace(/,$/, "");
const length = (common: number[][], at: number, to: number) => common[at]?.[to] ?? 0;

/** Neighbours of one kind as one. */
function joined(lines: Line[]): Line[] {
  const pieces: Line[] = [];
  for (const line of lines) {
    const last = pieces[pieces.length - 1];
    if (last?.kind === line.kind) last.text += `\n${line.text}`;
    else pieces.push({ ...line });
  }
  return pieces;
}

function all(kind: Line["kind"], lines: string[]): Line[] {
  return lines.length > 0 ? [{ kind, text: lines.join("\n") }] : [];
}
