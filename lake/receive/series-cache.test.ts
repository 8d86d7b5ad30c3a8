import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createByteTable } from '../base/byte-table.ts';
import { canonicalLabels, type Labels, labelsJson } from '../model/labels.ts';
import { seriesId } from '../model/series-id.ts';
import { createMetricsBuilder } from './metrics-builder.ts';
import { createSeriesCache } from './series-cache.ts';

const bytesOf = (text: string): Uint8Array => Buffer.from(text);
const labels = (name: string): Labels => [['__name__', name]];

test('the byte table answers as a Map does', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 9 }), { maxLength: 3000, size: 'max' }), (keys) => {
      const table = createByteTable();
      const model = new Map<string, number>();
      for (const key of keys) {
        const text = key.join();
        expect(table.find(key, 0, key.length)).toBe(model.get(text) ?? -1);
        if (!model.has(text)) model.set(text, table.insert(key, 0, key.length));
      }
      expect(table.size).toBe(model.size);
    }),
    { numRuns: 20 },
  );
});

test('a hit is found by a range of bytes, with the identity in its id', () => {
  const cache = createSeriesCache({ identity: [['site', 'a']] });
  const bytes = bytesOf('--up--');
  expect(cache.find(bytes, 2, 4)).toBeUndefined();
  const added = cache.add(bytes, 2, 4, labels('up'));
  expect(cache.find(bytesOf('up'), 0, 2)).toBe(added);
  expect(cache.find(bytes, 1, 4)).toBeUndefined();
  const text = labelsJson(
    canonicalLabels([
      ['__name__', 'up'],
      ['site', 'a'],
    ]),
  );
  expect(added.pending).toEqual({ id: seriesId(text), labels: text });
});

test('an entry goes with every batch until one is durable, under whatever key it came', () => {
  const cache = createSeriesCache({ identity: [] });
  const builder = createMetricsBuilder();
  const batch = () => {
    builder.append(
      cache.ofKey('a', () => labels('up')),
      1,
      1,
    );
    builder.append(cache.find(bytesOf('b'), 0, 1) ?? cache.add(bytesOf('b'), 0, 1, labels('up')), 2, 2);
    return builder.finish();
  };
  const [first, second] = [batch(), batch()];
  expect(first.series).toEqual([{ id: seriesId('{"__name__":"up"}'), labels: '{"__name__":"up"}' }]);
  expect(second.series).toEqual(first.series);
  expect([...first.seriesId]).toEqual(first.series.flatMap(({ id }) => [id, id]));
  cache.markDurable(first.series);
  expect(batch().series).toEqual([]);
});

test('only cachedSeriesMax series a generation are kept; those in use stay', () => {
  const cache = createSeriesCache({ identity: [], cachedSeriesMax: 10 });
  const used = cache.add(bytesOf('used'), 0, 4, labels('used'));
  cache.markDurable([used.pending ?? { id: 0n, labels: '' }]);
  for (let n = 0; n < 1000; n++) {
    const key = bytesOf(`key ${n}`);
    cache.add(key, 0, key.length, labels(`m${n}`));
    expect(cache.find(bytesOf('used'), 0, 4)).toBe(used);
    expect(cache.size).toBeLessThanOrEqual(20);
  }
  expect(cache.find(bytesOf('key 0'), 0, 5)).toBeUndefined();
  // Forgotten is not lost: it is made again, with its entry.
  expect(cache.ofKey('key 0', () => labels('m0')).pending?.labels).toBe('{"__name__":"m0"}');
});

test('only cachedKeyBytesMax bytes of keys a generation are kept', () => {
  const cache = createSeriesCache({ identity: [], cachedKeyBytesMax: 100 });
  for (let n = 0; n < 50; n++) cache.ofKey(`a key of twenty bytes ${n}`, () => labels(`m${n}`));
  expect(cache.size).toBeLessThanOrEqual(10);
});

test('rows keep their values bit for bit while the columns grow', () => {
  const cache = createSeriesCache({ identity: [] });
  const builder = createMetricsBuilder();
  const series = cache.ofKey('a', () => labels('a'));
  const rows = 5000;
  for (let row = 0; row < rows; row++) builder.appendBits(series, row - 2500, row, 0x7ff00000);
  const batch = builder.finish();
  expect(batch.rows).toBe(rows);
  const halves = new Uint32Array(batch.value.buffer, batch.value.byteOffset, rows * 2);
  for (let row = 0; row < rows; row++) {
    expect(halves[2 * row]).toBe(row);
    expect(halves[2 * row + 1]).toBe(0x7ff00000);
    expect(batch.timestampUs[row]).toBe(BigInt(row - 2500));
  }
  expect(builder.finish().rows).toBe(0);
});

test('a label of the configuration stands instead of an identity label of the same name', () => {
  const cache = createSeriesCache({
    identity: [
      ['gateway', 'g'],
      ['site', 'plant'],
    ],
  });
  const series = cache.ofKey('a', () => [
    ['__name__', 'x'],
    ['site', 'hall-3'],
  ]);
  expect(series.pending?.labels).toBe('{"__name__":"x","gateway":"g","site":"hall-3"}');
});
