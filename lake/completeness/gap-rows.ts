import type { Clock } from '../base/clock.ts';
import { type Signal, signals } from '../model/batch.ts';
import { type GapKind, gapKinds } from '../model/gap.ts';
import { type StreamClass, streamClasses } from '../model/stream-class.ts';
import type { Engine } from '../sql/duckdb/engine.ts';
import type { Tables } from '../tables.ts';
import type { GapRow } from './completeness.ts';

/** Rows that are looked at, the newest. */
const gapRowsMax = 10_000;
/** Read again when they are older. */
const gapsMaxAgeMs = 5_000;

/** The table `gaps` of a tenant, kept for some seconds: every query asks. */
export function gapRows(tables: Tables, engine: Engine, clock: Clock): () => Promise<readonly GapRow[]> {
  let held: { readonly rows: Promise<readonly GapRow[]>; readonly atMs: number } | undefined;
  return () => {
    const atMs = clock.monotonicMs();
    if (held !== undefined && atMs - held.atMs < gapsMaxAgeMs) return held.rows;
    const rows = readRows(tables, engine);
    const reading = { rows, atMs };
    held = reading;
    rows.catch(() => {
      if (held === reading) held = undefined;
    });
    return rows;
  };
}

async function readRows(tables: Tables, engine: Engine): Promise<GapRow[]> {
  await using view = await tables.open('gaps', {});
  const connection = await engine.connect();
  try {
    const result = await connection.runAndReadAll(
      `SELECT signal, class, kind, reason, epoch_us(timestamp) AS from_us, epoch_us(end_timestamp) AS to_us,
         rows, detail, gateway, site FROM ${view.from} AS gaps ORDER BY timestamp DESC LIMIT ${gapRowsMax}`,
    );
    return result.getRowObjects().flatMap((row) => rowOf(row) ?? []);
  } finally {
    connection.closeSync();
  }
}

/** Undefined for a row that only a newer version understands. */
function rowOf(row: Readonly<Record<string, unknown>>): GapRow | undefined {
  const text = (name: string): string => String(row[name]);
  const [signal, kind] = [oneOf<Signal>(signals, text('signal')), oneOf<GapKind>(gapKinds, text('kind'))];
  const streamClass = oneOf<StreamClass>(streamClasses, text('class'));
  if (signal === undefined || kind === undefined || streamClass === undefined) return undefined;
  return {
    ...{ signal, class: streamClass, kind },
    reason: text('reason'),
    fromUs: Number(row.from_us),
    toUs: Number(row.to_us),
    rows: row.rows === null ? null : Number(row.rows),
    detail: row.detail === null ? null : text('detail'),
    gateway: text('gateway'),
    site: text('site'),
  };
}

const oneOf = <T extends string>(all: readonly T[], text: string): T | undefined =>
  all.find((each) => each === text);
