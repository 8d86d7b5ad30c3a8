import { expect, test } from 'vitest';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { countedStore, locationOf, someFile, stillClock, tenant } from '../../test/contract/lake-fixtures.ts';
import { memoryStore } from '../../test/contract/memory-store.ts';
import { commit } from '../catalog/commit.ts';
import { openTable } from '../catalog/table.ts';
import { planScan } from './plan-scan.ts';

const day = 19_675;
const dayUs = 86_400_000_000;

test('a plan reads the manifests of its days, once, and nothing while its snapshot is young', async () => {
  const inner = memoryStore();
  const { store, take } = countedStore(inner);
  const clock = stillClock();
  const open = (from = store) => openTable({ store: from, tenant, signal: 'metrics', locationOf, clock });
  const writer = open(inner);
  for (let each = 0; each < 3; each++) {
    const added = [someFile(`f${each}`, tableSchemas.metrics, day + each)];
    await commit(writer, () => ({ added, summary: {} }));
  }
  const prune = { fromUs: (day + 1) * dayUs, toUs: (day + 2) * dayUs - 1 };
  const reader = open();
  const plan = await planScan(reader, prune, 200);
  expect(plan).toMatchObject({ manifestsConsidered: 3, manifestsRead: 1, filesConsidered: 3 });
  expect(plan.files.map(({ path }) => path)).toEqual([locationOf('acme/data/f1.parquet')]);
  expect(plan.prunedBy).toEqual(new Map([['partition', 2]]));
  const requests = take();
  expect(requests.slice(0, 3)).toEqual([
    'get metadata/version-hint.text',
    'get metadata/v3.metadata.json',
    'get metadata/v4.metadata.json',
  ]);
  expect(requests.slice(3)).toEqual([
    expect.stringMatching(/^get metadata\/snap-/),
    expect.stringMatching(/^get metadata\/.*-m0\.avro$/),
  ]);

  await planScan(reader, prune, 200);
  expect(take()).toEqual([]);
  // Is there a newer one?
  clock.advance(300);
  await planScan(reader, prune, 200);
  expect(take()).toEqual(['get metadata/v4.metadata.json']);
  // After a commit: its metadata, its list, and the manifest that is new, if its days are asked for.
  await commit(writer, () => ({ added: [someFile('f3', tableSchemas.metrics, day + 1)], summary: {} }));
  clock.advance(300);
  expect((await planScan(reader, prune, 200)).files).toHaveLength(2);
  expect(take()).toHaveLength(4);
});
