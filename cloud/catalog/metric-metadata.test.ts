import { expect, test } from 'vitest';
import { countedStore, stillClock, tenant } from '../../test/contract/lake-fixtures.ts';
import { memoryStore } from '../../test/contract/memory-store.ts';
import {
  describedMetricsMax,
  mergeMetricMetadata,
  metricMetadataKey,
  readMetricMetadata,
} from './metric-metadata.ts';

const describe = (name: string, help = 'what it is') => ({ name, type: 'gauge', help, unit: 's' });
const clock = stillClock();

test('descriptions are added and replaced by name; saying the same again writes nothing', async () => {
  const { store, take } = countedStore(memoryStore());
  await mergeMetricMetadata(store, clock, tenant, [describe('b'), describe('a')]);
  await mergeMetricMetadata(store, clock, tenant, [describe('b', 'new')]);
  expect((await readMetricMetadata(store, tenant)).metrics).toEqual([describe('a'), describe('b', 'new')]);
  take();
  await mergeMetricMetadata(store, clock, tenant, [describe('b', 'new')]);
  expect(take()).toEqual(['get firn/metadata.json']);
});

test('whoever loses a race merges again', async () => {
  const store = memoryStore();
  const names = Array.from({ length: 10 }, (_, index) => `m${index}`);
  await Promise.all(names.map((name) => mergeMetricMetadata(store, clock, tenant, [describe(name)])));
  expect((await readMetricMetadata(store, tenant)).metrics.map(({ name }) => name)).toEqual(names);
});

test('names beyond describedMetricsMax are left out and counted', async () => {
  const store = memoryStore();
  const many = Array.from({ length: describedMetricsMax }, (_, index) => describe(`m${index}`));
  expect(await mergeMetricMetadata(store, clock, tenant, many)).toEqual({ leftOut: 0 });
  const news = [describe('one_more'), describe('m7', 'still replaced')];
  expect(await mergeMetricMetadata(store, clock, tenant, news)).toEqual({ leftOut: 1 });
  const { metrics } = await readMetricMetadata(store, tenant);
  expect(metrics).toHaveLength(describedMetricsMax);
  expect(metrics.find(({ name }) => name === 'm7')?.help).toBe('still replaced');
});

test('a damaged object is an error that says what to do', async () => {
  const store = memoryStore();
  await store.put(metricMetadataKey(tenant), Buffer.from('{}'));
  await expect(readMetricMetadata(store, tenant)).rejects.toMatchObject({ code: 'corrupt' });
});
