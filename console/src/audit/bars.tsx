/** The bars of the chart, done beneath refused. They are drawn here: d3 only says where. */

import { scaleLinear, scaleUtc } from "d3-scale";

import { date } from "../moments.tsx";
import { SERIES, spoken, sum, whole, type Bucket, type OnNarrow } from "./buckets.ts";

const HEIGHT = 148;
const EDGE = { top: 8, right: 4, bottom: 22, left: 36 };

interface Props {
  buckets: Bucket[];
  width: number;
  onNarrow: OnNarrow;
}

export function Bars({ buckets, width, onNarrow }: Props) {
  const [first, last] = [buckets[0], buckets[buckets.length - 1]];
  if (first === undefined || last === undefined) return null;
  const x = scaleUtc([first.from, last.to], [EDGE.left, width - EDGE.right]);
  const most = Math.max(1, ...buckets.map(({ total }) => total));
  const y = scaleLinear([0, most], [HEIGHT - EDGE.bottom, EDGE.top]).nice(3);
  const peak = buckets.reduce((one, other) => (other.total > one.total ? other : one));
  const gap = x(first.to) - x(first.from) > 6 ? 2 : 0.5;
  const told = peak.total > 0 ? `, most of them, ${peak.total}, ${spoken(peak)}` : "";
  return (
    <svg
      width={width}
      height={HEIGHT}
      role="img"
      aria-label={`Entries over time, in UTC${told}. The table below has all.`}
    >
      <g className="axis" aria-hidden="true">
        {y
          .ticks(3)
          .filter(Number.isInteger)
          .map((tick) => (
            <g key={tick} transform={`translate(0 ${y(tick)})`}>
              <line x1={EDGE.left} x2={width - EDGE.right} />
              <text x={EDGE.left - 8} dy="0.32em" textAnchor="end">
                {whole(tick)}
              </text>
            </g>
          ))}
        {x.ticks(Math.max(2, Math.floor(width / 110))).map((tick) => (
          <text key={tick.getTime()} x={x(tick)} y={HEIGHT - 5} textAnchor={anchor(x(tick), width)}>
            {tickOf(tick)}
          </text>
        ))}
      </g>
      {buckets.map((bucket) => (
        <g key={bucket.from} className="bucket" onClick={() => onNarrow(bucket.from, bucket.to)}>
          <title>{titleOf(bucket)}</title>
          <rect
            className="room"
            x={x(bucket.from)}
            width={x(bucket.to) - x(bucket.from)}
            y={EDGE.top}
            height={HEIGHT - EDGE.bottom - EDGE.top}
          />
          {SERIES.map(({ key, className }, at) => {
            const below = sum(bucket.counts.slice(0, at));
            const count = bucket.counts[at] ?? 0;
            return (
              count > 0 && (
                <rect
                  key={key}
                  className={className}
                  data-count={count}
                  x={x(bucket.from) + gap / 2}
                  width={Math.max(1, x(bucket.to) - x(bucket.from) - gap)}
                  y={y(below + count)}
                  height={y(below) - y(below + count)}
                />
              )
            );
          })}
        </g>
      ))}
    </svg>
  );
}

function titleOf(bucket: Bucket): string {
  const counts = SERIES.map(({ name }, series) => `${bucket.counts[series]} ${name.toLowerCase()}`);
  return `${spoken(bucket)}: ${counts.join(", ")}`;
}

/** Days where a day begins, and the time of day elsewhere. */
function tickOf(tick: Date): string {
  const time = tick.toISOString().slice(11, 19);
  if (time !== "00:00:00") return time.endsWith(":00") ? time.slice(0, 5) : time;
  return date(tick.toISOString()).replace(/ \d{4}$/, "");
}

/** Texts at the ends do not leave the picture. */
function anchor(at: number, width: number) {
  if (at < EDGE.left + 16) return "start";
  return at > width - EDGE.right - 24 ? "end" : "middle";
}
