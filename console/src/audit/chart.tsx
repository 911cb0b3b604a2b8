/** How many entries there were over time, as bars, and as a table for whoever does not look at bars. */

import { useLayoutEffect, useRef, useState } from "react";

import { Bars } from "./bars.tsx";
import { bucketsOf, said, SERIES, sum, whole, type Bucket, type OnNarrow } from "./buckets.ts";
import type { Counts } from "./log.ts";

export function Chart({ counts, onNarrow }: { counts: Counts; onNarrow: OnNarrow }) {
  const [frame, width] = useWidth();
  const buckets = bucketsOf(counts);
  const totals = SERIES.map((_, series) => sum(buckets.map((bucket) => bucket.counts[series] ?? 0)));
  return (
    <figure className="chart" ref={frame}>
      <figcaption>
        <strong>
          {whole(sum(totals))} {sum(totals) === 1 ? "entry" : "entries"}
        </strong>
        <span className="legend">
          {SERIES.map(({ key, name, className }, series) => (
            <span key={key} className={className}>
              {name} {whole(totals[series] ?? 0)}
            </span>
          ))}
        </span>
      </figcaption>
      {counts.countedFrom > counts.since && (
        <p className="hint">
          There are too many to count: these are from {said(Date.parse(counts.countedFrom))} UTC on.
        </p>
      )}
      {width > 0 && <Bars buckets={buckets} width={width} onNarrow={onNarrow} />}
      <CountsTable buckets={buckets} onNarrow={onNarrow} />
    </figure>
  );
}

function CountsTable({ buckets, onNarrow }: { buckets: Bucket[]; onNarrow: OnNarrow }) {
  const some = buckets.filter(({ total }) => total > 0);
  if (some.length === 0) return null;
  return (
    <details className="counts">
      <summary>As a table</summary>
      <div className="scrolling">
        <table>
          <thead>
            <tr>
              <th scope="col">From, in UTC</th>
              {SERIES.map(({ key, name }) => (
                <th key={key} scope="col" className="number">
                  {name}
                </th>
              ))}
              <td />
            </tr>
          </thead>
          <tbody>
            {some.map((bucket) => (
              <tr key={bucket.from}>
                <th scope="row">{said(bucket.from)}</th>
                {SERIES.map(({ key }, series) => (
                  <td key={key} className="number">
                    {whole(bucket.counts[series] ?? 0)}
                  </td>
                ))}
                <td>
                  <button type="button" className="link" onClick={() => onNarrow(bucket.from, bucket.to)}>
                    Show these<span className="unseen"> of {said(bucket.from)}</span>
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

function useWidth() {
  const frame = useRef<HTMLElement>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    if (frame.current === null) return;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    observer.observe(frame.current);
    return () => observer.disconnect();
  }, []);
  return [frame, width] as const;
}
