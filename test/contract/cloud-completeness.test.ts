import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { startIngest } from '../../cloud/ingest/ingest.ts';
import { listQuarantine } from '../../cloud/ingest/quarantine.ts';
import { openCloudTables } from '../../cloud/tables/cloud-tables.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { gapRows } from '../../lake/completeness/gap-rows.ts';
import type { Gap } from '../../lake/model/gap.ts';
import { gatewayId } from '../../lake/model/ids.ts';
import { directoryStore } from '../../lake/object-store/directory/directory-store.ts';
import { openDuckdbWriter } from '../../lake/parquet/duckdb-writer.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { gapsBatch } from '../../lake/receive/gaps-builder.ts';
import { openEngine } from '../../lake/sql/duckdb/engine.ts';
import { tenant } from './lake-fixtures.ts';
import { logsBatch, metricsBatch } from './rows.ts';
import { ship } from './ship.ts';

// Real segments of both writers: the cloud reads their footers, and the gaps among them.

const gap: Gap = {
  ...{ signal: 'metrics', class: 'metrics', kind: 'gap', reason: 'disk-full' },
  ...{ fromUs: 1_700_000_000_000_001, toUs: 1_700_000_060_000_000, rows: null, detail: 'oldest first' },
};
const rollup: Gap = { ...gap, kind: 'rollup', fromUs: gap.fromUs + 1, rows: 7, detail: null };

test.each([
  ['duckdb', openDuckdbWriter],
  ['parquetjs', async () => openParquetjsWriter()],
] as const)('%s: gaps come through ingest as they were, and rows of another site do not', async (_, open) => {
  const folder = mkdtempSync(join(tmpdir(), 'firn-completeness-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const store = directoryStore({ root: join(folder, 'lake') });
  const locationOf = (key: string): string => `${pathToFileURL(join(folder, 'lake')).href}/${key}`;
  await using writer = await open();
  const shipping = { writer, store, folder, gateway: 'gw-1' };
  const batches = [gapsBatch([gap, rollup], gatewayId('gw-1')), metricsBatch([[1n, 1n, 1n]])];
  await ship({ ...shipping, number: 1, batches });
  await ship({ ...shipping, number: 2, batches: [logsBatch([[1n, 1n, 'x', null, null]])], site: 'mill' });
  await using ingest = startIngest({
    ...{ store, locationOf, tenants: () => [tenant], clock: systemClock, logger: createLogger('silent') },
  });
  await ingest.pollNow();
  expect((await listQuarantine(store, tenant, { limit: 10 })).records).toMatchObject([
    { number: 2, reason: expect.stringContaining('has rows of site "mill"; the manifest says "plant"') },
  ]);
  expect(ingest.status()).toMatchObject({ shipments: 1, quarantined: 1 });
  expect(ingest.shipping(tenant)).toMatchObject([{ gateway: 'gw-1', site: 'plant' }]);

  await using engine = await openEngine({ directories: [folder], memoryBytesMax: 256e6, threads: 1 });
  const tables = await openCloudTables({ store, tenant, locationOf });
  const read = gapRows(tables, engine, systemClock);
  const identity = { gateway: 'gw-1', site: 'plant' };
  expect(await read()).toEqual([
    { ...rollup, ...identity },
    { ...gap, ...identity },
  ]);
  // Kept for a while.
  expect(read()).toBe(read());
});
