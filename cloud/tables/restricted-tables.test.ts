import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { tenantId } from '../../lake/model/ids.ts';
import { type TableName, tableNames } from '../../lake/model/table-name.ts';
import { duckdbTypes } from '../../lake/schema/duckdb-types.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { openEngine } from '../../lake/sql/duckdb/engine.ts';
import type { Tables } from '../../lake/tables.ts';
import { type RowRestriction, restrictedTables } from './restricted-tables.ts';

const folder = mkdtempSync(join(tmpdir(), 'firn-restricted-'));
const engine = await openEngine({ directories: [folder], memoryBytesMax: 128 * 1024 * 1024, threads: 1 });
afterAll(async () => {
  await engine[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** Each table has a row of each site, and of each line where it has labels. */
const rows = ['north', 'south'].flatMap((site) =>
  ['3', '4', "it's $"].map((line) => ({ site, labels: JSON.stringify({ line, site, 'a.b': line }) })),
);

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`;

function fromOf(table: TableName): string {
  const select = rows.map((row) => {
    const values = tableSchemas[table].columns.map(({ name, type }) => {
      const value =
        name === 'site' || name === 'labels' ? quoted(row[name]) : name === 'signal' ? "'logs'" : 'NULL';
      return `CAST(${value} AS ${duckdbTypes[type]}) AS "${name}"`;
    });
    return `SELECT ${values.join(', ')}`;
  });
  return `(${select.join(' UNION ALL ')})`;
}

const whole: Tables = {
  tenant: tenantId('a'),
  metricMetadata: async () => [{ name: 'secret', type: 'gauge', help: '', unit: '' }],
  open: async (table) => ({
    ...{ from: fromOf(table), filesConsidered: 1, filesPruned: 0 },
    parts: { files: [{ path: '/all-rows.parquet', bytes: 1 }], rest: fromOf(table) },
    [Symbol.asyncDispose]: async () => undefined,
  }),
};

async function query(sql: string): Promise<unknown[]> {
  const connection = await engine.connect();
  try {
    return (await (await connection.runAndReadAll(sql)).getRows()).flat();
  } finally {
    connection.closeSync();
  }
}

async function seen(table: TableName, restriction: RowRestriction): Promise<string[]> {
  await using view = await restrictedTables(whole, restriction).open(table, {});
  const columns = tableSchemas[table].columns.map(({ name }) => name);
  const unchanged = view.from === fromOf(table);
  expect(view.parts !== undefined).toBe(unchanged);
  const labels = columns.includes('labels') ? "json_extract_string(labels, '$.line')" : "'-'";
  const described = await query(`SELECT column_name FROM (DESCRIBE SELECT * FROM ${view.from})`);
  expect(described).toEqual(columns);
  return (await query(`SELECT site || ' ' || ${labels} FROM ${view.from} ORDER BY 1`)) as string[];
}

const all = ['north 3', 'north 4', "north it's $", 'south 3', 'south 4', "south it's $"].sort();

test.each<[string, RowRestriction, TableName, readonly string[]]>([
  ['a site', { sites: ['north'] }, 'metrics', all.slice(0, 3)],
  ['two sites', { sites: ['north', 'south'] }, 'logs', all],
  ['a label', { labels: { line: '3' } }, 'metrics', ['north 3', 'south 3']],
  [
    'a label whose value has quotes',
    { labels: { line: "it's $" } },
    'metrics_1m',
    ["north it's $", "south it's $"],
  ],
  ['two labels', { labels: { line: '3', site: 'south' } }, 'logs', ['south 3']],
  ['a label that no row has', { labels: { machine: '1' } }, 'metrics', []],
  ['site and label', { sites: ['south'], labels: { line: '4' } }, 'exemplars', ['south 4']],
  ['a label, of a table without labels', { labels: { line: '3' } }, 'spans', []],
  ['a site, of a table without labels', { sites: ['north'] }, 'spans', ['north -', 'north -', 'north -']],
  ['a signal', { signals: ['logs'] }, 'logs', all],
  ['another signal', { signals: ['logs'] }, 'metrics', []],
  ['another signal, of its rollups', { signals: ['logs'] }, 'metrics_1m', []],
  [
    'a signal, of the gaps about it',
    { signals: ['logs'], sites: ['north'] },
    'gaps',
    ['north -', 'north -', 'north -'],
  ],
  ['another signal, of gaps', { signals: ['metrics'] }, 'gaps', []],
])('%s', async (_, restriction, table, expected) => {
  expect(await seen(table, restriction)).toEqual(expected);
});

test('each table shows nothing of another site, and metrics are not described', async () => {
  for (const table of tableNames)
    expect((await seen(table, { sites: ['north'] })).every((row) => row.startsWith('north'))).toBe(true);
  expect(await restrictedTables(whole, { sites: ['north'] }).metricMetadata()).toEqual([]);
});
