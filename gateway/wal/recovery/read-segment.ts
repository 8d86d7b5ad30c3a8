import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import type { Signal } from '../../../lake/model/batch.ts';
import type { GatewayId, TenantId } from '../../../lake/model/ids.ts';
import { segmentKey } from '../../../lake/model/keys.ts';
import type { ManifestSegment } from '../../../lake/model/manifest.ts';
import { classOfSignal } from '../../../lake/model/stream-class.ts';
import { hashFile } from '../../../lake/parquet/durable-file.ts';
import { tableSchemas } from '../../../lake/schema/tables.ts';
import { openDuckdb, sqlText } from '../../../lake/sql/duckdb/engine.ts';
import type { SegmentRecord } from '../wal.ts';
import type { FoundFile } from './plan-reconcile.ts';

/** Reads segment files that no table names any more. */
export interface SegmentInspector extends AsyncDisposable {
  /** What the table would say of the file; undefined when it is not a readable file of its signal. */
  read(file: FoundFile): Promise<SegmentRecord | undefined>;
}

export interface SegmentInspectorOptions {
  readonly dataDir: string;
  readonly tenant: TenantId;
  readonly gateway: GatewayId;
}

const memoryBytesMax = 64 * 1024 * 1024;

/** What a segment file says of its rows. */
export interface SegmentContent {
  readonly rows: number;
  readonly minTimestampUs: number;
  readonly maxTimestampUs: number;
  readonly bounds: ManifestSegment['bounds'];
}

/** Looks into segment files. */
export interface ContentReader extends AsyncDisposable {
  /** Undefined when it is not a readable file of its signal. */
  read(path: string, signal: Signal): Promise<SegmentContent | undefined>;
}

/** Throws FirnError `unsupported` where DuckDB has no binary. */
export async function openParquetContents(): Promise<ContentReader> {
  const instance = await openDuckdb({ threads: '1', memory_limit: `${memoryBytesMax / 1024}KiB` });
  const connection = await instance.connect();
  return {
    read: (path, signal) => contentOf(connection, path, signal),
    [Symbol.asyncDispose]: async () => {
      connection.closeSync();
      instance.closeSync();
    },
  };
}

export function openSegmentInspector(
  options: SegmentInspectorOptions,
  contents: ContentReader,
): SegmentInspector {
  return {
    read: async (file) => {
      const content = await contents.read(join(options.dataDir, file.path), file.signal);
      return content === undefined || content.rows === 0 ? undefined : recordOf(options, file, content);
    },
    [Symbol.asyncDispose]: () => contents[Symbol.asyncDispose](),
  };
}

/** Reads every value of the file: one that breaks off in the middle is no segment. */
async function contentOf(
  connection: DuckDBConnection,
  path: string,
  signal: Signal,
): Promise<SegmentContent | undefined> {
  const { boundColumns, columns } = tableSchemas[signal];
  const isTime = (name: string): boolean =>
    columns.some((column) => column.name === name && column.type === 'timestamptz');
  const value = (name: string): string => (isTime(name) ? `epoch_us("${name}")` : `"${name}"`);
  const bounds = boundColumns.flatMap((name) => [
    `count(*) - count("${name}")`,
    `min(${value(name)})::VARCHAR`,
    `max(${value(name)})::VARCHAR`,
  ]);
  const from = `read_parquet(${sqlText(path)}, hive_partitioning = false)`;
  try {
    await connection.run(`SELECT bit_xor(hash(COLUMNS(*))) FROM ${from}`);
    const result = await connection.runAndReadAll(
      `SELECT count(*)::DOUBLE, ${bounds.join(', ')} FROM ${from}`,
    );
    const [rows, ...values] = result.getRows()[0] as [number, ...(bigint | string | null)[]];
    const found = boundColumns.map((name, index) => {
      const [nulls, min, max] = values.slice(index * 3, index * 3 + 3);
      return [name, { nulls: Number(nulls), min: String(min), max: String(max) }] as const;
    });
    const all = Object.fromEntries(found);
    const times = { minTimestampUs: Number(all.timestamp?.min), maxTimestampUs: Number(all.timestamp?.max) };
    return { rows, ...times, bounds: all };
  } catch {
    return undefined; // DuckDB's errors differ by what is damaged; none of them makes the file readable
  }
}

async function recordOf(
  { dataDir, tenant, gateway }: SegmentInspectorOptions,
  { path, signal, place }: FoundFile,
  { rows, minTimestampUs, maxTimestampUs, bounds }: SegmentContent,
): Promise<SegmentRecord> {
  const absolute = join(dataDir, path);
  const { bytes, sha256 } = await hashFile(absolute);
  const { epoch, fromSeq, toSeq, day, merge } = place;
  const sealedUs = Math.round((await stat(absolute)).mtimeMs * 1000);
  // What the table knew of the clock and of the times of receipt is lost with it.
  const clock = 'untrusted';
  const streamClass = place.class ?? classOfSignal(signal);
  const shared = {
    signal,
    class: streamClass,
    day,
    rows,
    bytes,
    minTimestampUs,
    maxTimestampUs,
    clock,
  } as const;
  const committed = merge?.kind === 'after-commit';
  const key = segmentKey(tenant, gateway, signal, basename(path));
  return {
    ...{ path, epoch, fromSeq, toSeq, tier: merge?.count ?? 0, sealedUs, ...shared },
    minName: bounds.name?.min ?? null,
    maxName: bounds.name?.max ?? null,
    minReceivedUs: Math.min(minTimestampUs, sealedUs),
    maxReceivedUs: Math.min(maxTimestampUs, sealedUs),
    manifest: committed ? null : { ...shared, key, sha256, bounds, columns: 'field-ids' },
    committed,
  };
}
