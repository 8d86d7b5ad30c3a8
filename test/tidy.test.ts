import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative } from 'node:path';
import { expect, test } from 'vitest';

// The house rules that a machine can hold. Each test says how many files it visited, so that it can't pass by seeing
// nothing.

const root = join(import.meta.dirname, '..');
const sourceFolders = ['cli', 'cloud', 'gateway', 'lake', 'provisioning', 'firmware-images', 'test'];
const linesMax = 500;
const functionLinesMax = 75;

/** Rooms, the longest matching prefix wins, and what each may import besides itself. `main.ts` files join siblings. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  'lake/base': [],
  'lake/model': ['lake/base'],
  'lake/schema': ['lake/base', 'lake/model'],
  'lake/tables.ts': ['lake/model'],
  'lake/virtual-gateway.ts': [
    ...['lake/api/receive', 'lake/base', 'lake/model', 'lake/object-store', 'lake/receive'],
  ],
  'lake/object-store': ['lake/base'],
  'lake/parquet': ['lake/base', 'lake/model', 'lake/schema', 'lake/sql/duckdb'],
  'lake/receive': ['lake/base', 'lake/model'],
  'lake/bundle': ['lake/base', 'lake/model', 'lake/parquet'],
  'lake/regexp': [],
  'lake/promql': ['lake/base', 'lake/model'],
  'lake/logql': ['lake/base', 'lake/regexp'],
  'lake/sql': ['lake/base', 'lake/model', 'lake/schema', 'lake/tables.ts', 'lake/sql/duckdb'],
  'lake/sql/duckdb': ['lake/base'],
  'lake/completeness': ['lake/base', 'lake/model', 'lake/tables.ts', 'lake/sql/duckdb'],
  'lake/scan': [
    'lake/base',
    'lake/model',
    'lake/schema',
    'lake/parquet',
    'lake/tables.ts',
    'lake/parquet',
    'lake/promql',
    'lake/logql',
    'lake/regexp',
    'lake/sql/duckdb',
  ],
  'lake/rollups': [
    ...['lake/base', 'lake/model', 'lake/schema', 'lake/tables.ts', 'lake/parquet', 'lake/promql'],
    ...['lake/scan', 'lake/sql/duckdb'],
  ],
  'lake/audit': ['lake/base', 'lake/model', 'lake/tables.ts', 'lake/sql/duckdb'],
  'lake/api': [
    'package.json',
    'lake/base',
    'lake/model',
    'lake/tables.ts',
    'lake/completeness',
    'lake/promql',
    'lake/logql',
    'lake/receive',
    'lake/sql',
    'lake/scan',
  ],
  'lake/pgwire': ['lake/base', 'lake/model', 'lake/sql'],
  'lake/sql-process': [
    'lake/base',
    'lake/model',
    'lake/tables.ts',
    'lake/sql',
    'lake/pgwire',
    'lake/api/sql',
  ],
  'gateway/wal': ['lake'],
  'gateway/broker': ['lake'],
  'gateway/security': ['lake'],
  'gateway/bridge': ['lake'],
  'gateway/health': ['lake'],
  'gateway/receive': ['lake'],
  'gateway/scrape': ['lake'],
  'gateway/clock': ['lake', 'gateway/wal'],
  'gateway/gaps': ['lake'],
  'gateway/disk': ['lake', 'gateway/wal', 'gateway/gaps', 'gateway/seal'],
  'gateway/seal': ['lake', 'gateway/wal', 'gateway/clock'],
  'gateway/ship': ['lake', 'gateway/wal', 'gateway/seal/segment-claims.ts'],
  'gateway/tables': ['lake', 'gateway/wal'],
  'gateway/fleet': [
    ...['lake', 'provisioning/contract.ts', 'provisioning/cloud-document.ts'],
    'provisioning/device-code.ts',
  ],
  'gateway/folder-lock.ts': ['lake/base'],
  'gateway/config.ts': [
    'lake',
    'gateway/wal/alarm-streams.ts',
    'gateway/ship/lanes.ts',
    'gateway/broker/settings.ts',
    'gateway/bridge/settings.ts',
    'gateway/security/settings.ts',
    'provisioning/contract.ts',
  ],
  'gateway/appliance': [
    'lake',
    'provisioning/contract.ts',
    'gateway/broker/access',
    'gateway/security',
    'gateway/ship/export',
    'gateway/fleet/enrollment-state.ts',
    'gateway/fleet/identity.ts',
    'gateway/config.ts',
    'provisioning/site-file.ts',
  ],
  'gateway/main': ['lake', 'gateway', 'provisioning/contract.ts', 'provisioning/device-code.ts'],
  'gateway/commands': ['lake', 'gateway', 'provisioning/site-file.ts'],
  'gateway/main.ts': ['lake', 'gateway'],
  'cloud/catalog': ['lake'],
  'cloud/ingest': ['lake', 'cloud/catalog'],
  'cloud/tables': ['lake', 'cloud/catalog'],
  'cloud/rollups': ['lake', 'cloud/catalog', 'cloud/tables'],
  'cloud/maintain': ['lake', 'cloud/catalog', 'cloud/rollups'],
  'cloud/user-tables': ['lake', 'cloud/catalog', 'cloud/tables/file-cache.ts'],
  'cloud/tenants': ['lake'],
  'cloud/sts': ['lake'],
  'cloud/fleet': ['lake', 'cloud/tenants', 'cloud/sts', 'provisioning'],
  'cloud/iceberg-rest': ['lake', 'cloud/catalog', 'cloud/tenants', 'cloud/sts'],
  'cloud/metering': ['lake', 'cloud/tenants'],
  'cloud/direct': ['lake', 'cloud/tenants', 'cloud/metering'],
  'cloud/config.ts': ['lake', 'cloud/metering/limits.ts', 'cloud/tenants/audit-retention.ts'],
  'cloud/commands': ['lake', 'cloud', 'provisioning'],
  'cloud/main': ['lake', 'cloud'],
  'cloud/main.ts': ['lake', 'cloud', 'provisioning'],
  cli: [
    ...['lake/base', 'lake/model', 'gateway/main.ts', 'gateway/commands', 'cloud/main.ts', 'cloud/commands'],
    ...['gateway/main/virtual-gateway.ts', 'provisioning/commands'],
  ],
  provisioning: ['lake'],
  'firmware-images': ['lake/base'],
  test: ['lake', 'gateway', 'cloud', 'cli', 'provisioning', 'firmware-images'],
};

/** Files over the line limit, each with its reason. */
const longFiles: Readonly<Record<string, string>> = {};

const files = sourceFolders.flatMap((folder) => sourceFiles(join(root, folder)));

function sourceFiles(folder: string): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile() && entry.name.endsWith('.ts'))
      found.push(relative(root, join(entry.parentPath, entry.name)));
  }
  return found.map((path) => path.split('\\').join('/'));
}

const roomOf = (path: string): string | undefined =>
  Object.keys(allowed)
    .filter((room) => path === room || path.startsWith(`${room}/`))
    .sort((a, b) => b.length - a.length)[0];

function importsOf(path: string): string[] {
  const source = readFileSync(join(root, path), 'utf8');
  const found = source.matchAll(
    /(?:^|\n)\s*(?:import|export)\b[^;]*?\bfrom\s+'([^']+)'|\bimport\('([^']+)'\)|new URL\('([^']+)', import\.meta\.url\)/g,
  );
  return [...found]
    .map((match) => match[1] ?? match[2] ?? match[3] ?? '')
    .filter((name) => name.startsWith('.'));
}

test('imports go where the table lets them', () => {
  const wrong: string[] = [];
  let edges = 0;
  for (const path of files) {
    const room = roomOf(path);
    if (room === undefined) {
      wrong.push(`${path} stands in no room of the table`);
      continue;
    }
    for (const name of importsOf(path)) {
      const target = posix.join(dirname(path), name);
      edges++;
      const inside = target === room || target.startsWith(`${room}/`);
      const may = (allowed[room] ?? []).some((other) => target === other || target.startsWith(`${other}/`));
      const test = /\.(test|bench)\.ts$/.test(path) && target.startsWith('test/');
      if (!inside && !may && !test) wrong.push(`${path} imports ${target}`);
    }
  }
  expect(wrong).toEqual([]);
  expect(files.length).toBeGreaterThan(250);
  expect(edges).toBeGreaterThan(700);
});

test('files and functions are short', () => {
  const wrong: string[] = [];
  let functions = 0;
  for (const path of files) {
    const lines = readFileSync(join(root, path), 'utf8').split('\n');
    if (lines.length > linesMax && longFiles[path] === undefined)
      wrong.push(`${path} has ${lines.length} lines`);
    if (path.startsWith('test/') || path.endsWith('.test.ts')) continue;
    for (const { name, length } of functionsOf(lines)) {
      functions++;
      if (length > functionLinesMax) wrong.push(`${path}: ${name} has ${length} lines`);
    }
  }
  expect(wrong).toEqual([]);
  expect(functions).toBeGreaterThan(500);
});

/** Top-level functions, by the formatter's layout: from its first line to the first line that is only a closing brace. */
function functionsOf(lines: readonly string[]): { name: string; length: number }[] {
  const found: { name: string; length: number }[] = [];
  lines.forEach((line, start) => {
    const name = /^(?:export )?(?:async )?function\*? ?(\w+)/.exec(line)?.[1];
    if (name === undefined) return;
    const end = lines.findIndex((other, index) => index > start && other === '}');
    found.push({ name, length: end - start + 1 });
  });
  return found;
}

test('no loose ends are left in the source', () => {
  const wrong = files
    .filter((path) => path !== 'test/tidy.test.ts')
    .flatMap((path) =>
      readFileSync(join(root, path), 'utf8')
        .split('\n')
        .flatMap((line, index) =>
          /\b(TODO|FIXME|XXX|HACK)\b|@ts-(ignore|nocheck)|\b(test|it|describe)\.only\b/.test(line)
            ? [`${path}:${index + 1}`]
            : [],
        ),
    );
  expect(wrong).toEqual([]);
});
