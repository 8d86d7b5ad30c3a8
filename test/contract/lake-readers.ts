import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { icebergManifests, icebergMetadata, icebergRead } from 'icebird';
import { splitManifestEntries } from 'icebird/src/manifest.js';
import { vi } from 'vitest';
import type { Signal } from '../../lake/model/batch.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import type { Engine } from '../../lake/sql/duckdb/engine.ts';

// Two readers of a table, whose rows can be compared.

/** Rows as sorted texts, so that readers can be compared. */
const textOf = (signal: Signal, row: Readonly<Record<string, unknown>>): string =>
  tableSchemas[signal].columns
    .map(({ name, type }) => {
      const value = row[name];
      if (value === null || value === undefined) return 'null';
      if (value instanceof Date) return String(BigInt(value.getTime()) * 1000n);
      return type === 'double' && typeof value === 'number' && Number.isNaN(value) ? 'NaN' : String(value);
    })
    .join(' | ');

/** `timestamp` as microseconds; icebird's Dates hold milliseconds, so readers are compared at those. */
export async function rowsOf(engine: Engine, from: string, signal: Signal): Promise<string[]> {
  const connection = await engine.connect();
  try {
    const columns = tableSchemas[signal].columns.map(({ name, type }) =>
      type === 'timestamptz' ? `epoch_ms("${name}") * 1000 AS "${name}"` : `"${name}"`,
    );
    const reader = await connection.runAndReadAll(`SELECT ${columns.join(', ')} FROM ${from}`);
    return reader
      .getRowObjects()
      .map((row) => textOf(signal, row))
      .sort();
  } finally {
    connection.closeSync();
  }
}

/** What icebird, which shares no code with Firn, finds in a table of local files. */
export async function icebirdRead(
  tableUrl: string,
  signal: Signal,
): Promise<{ rows: string[]; files: { path: string; bytes: number }[] }> {
  vi.stubGlobal('fetch', fetchFile);
  try {
    const metadata = await icebergMetadata({ tableUrl });
    const rows = (await icebergRead({ tableUrl, metadata })) as Record<string, unknown>[];
    const { dataEntries } = splitManifestEntries(await icebergManifests(metadata));
    return {
      rows: rows.map((row) => textOf(signal, row)).sort(),
      files: dataEntries.map(({ data_file: file }) => ({
        path: fileURLToPath(file.file_path),
        bytes: Number(file.file_size_in_bytes),
      })),
    };
  } finally {
    vi.unstubAllGlobals();
  }
}

/** Rows of any table of local files, as icebird reads them, in no order. */
export async function readLocalTable(tableUrl: string): Promise<Record<string, unknown>[]> {
  vi.stubGlobal('fetch', fetchFile);
  try {
    const metadata = await icebergMetadata({ tableUrl });
    return (await icebergRead({ tableUrl, metadata })) as Record<string, unknown>[];
  } finally {
    vi.unstubAllGlobals();
  }
}

/** icebird asks for files by `fetch`, which Node has no `file:` for. */
const fetchFile = async (url: string | URL, init: RequestInit = {}): Promise<Response> => {
  const bytes = await readFile(fileURLToPath(url)).catch(() => undefined);
  if (!bytes) return new Response(null, { status: 404 });
  const range = /bytes=(\d+)-(\d*)/.exec(new Headers(init.headers).get('range') ?? '');
  if (!range) return new Response(bytes);
  const end = range[2] ? Number(range[2]) + 1 : bytes.length;
  return new Response(bytes.subarray(Number(range[1]), end), { status: 206 });
};
