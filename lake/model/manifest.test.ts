import { expect, test } from 'vitest';
import {
  parseManifest,
  printManifest,
  printManifest1,
  type ShipmentManifest,
  type ShipmentManifest1,
} from './manifest.ts';
import { pendingRangesMax } from './progress.ts';

const segment = {
  key: 'acme/inbox/gw/segments/logs/000000000007-0000000000000010-0000000000000020-2026-11-25.parquet',
  signal: 'logs' as const,
  day: '2026-11-25',
  rows: 3,
  bytes: 100,
  sha256: '0'.repeat(64),
  minTimestampUs: 1,
  maxTimestampUs: 2,
  bounds: { timestamp: { nulls: 0, min: '1', max: '2' } },
  columns: 'field-ids' as const,
};
const identity = { tenant: 'acme', site: 'plant', gateway: 'gw', epoch: 7, number: 3, metadata: [] };
const pending = { fromUs: 1, toUs: 2, rows: 3, bytes: 100 };
const manifest: ShipmentManifest = {
  format: 2,
  ...identity,
  composedUs: 5,
  segments: [{ ...segment, class: 'logs', clock: 'corrected' }],
  progress: { logs: { headUs: 9, watermarkUs: 4, pending: [pending] } },
};
const old: ShipmentManifest1 = {
  format: 1,
  ...identity,
  fromSeq: 10,
  toSeq: 20,
  sealedUs: 5,
  segments: [segment],
};

test('parse(print(manifest)) = manifest, and the text does not depend on the order of its fields', () => {
  const text = printManifest(manifest);
  expect(parseManifest(text, 'k')).toEqual(manifest);
  const reversed = Object.fromEntries(Object.entries(manifest).reverse()) as unknown as ShipmentManifest;
  expect(printManifest(reversed)).toBe(text);
});

test('format 1 is read as format 2', () => {
  expect(parseManifest(printManifest1(old), 'k')).toEqual({
    ...manifest,
    segments: [{ ...segment, class: 'logs', clock: 'trusted' }],
    progress: {},
  });
});

const text = (fields: object): string => JSON.stringify({ ...manifest, ...fields });

test.each([
  ['nonsense', 'it is not JSON'],
  [text({ format: 3 }), 'format: Invalid'],
  [text({ extra: 1 }), 'Unrecognized key: "extra"'],
  [text({ segments: [segment] }), 'segments.0.class'],
  [text({ progress: { nothing: {} } }), 'progress: Unrecognized key'],
  [
    text({
      progress: { logs: { headUs: 9, watermarkUs: 4, pending: Array(pendingRangesMax + 1).fill(pending) } },
    }),
    'progress.logs.pending: Too big',
  ],
  [JSON.stringify({ ...old, fromSeq: 11 }), 'is not named after epoch and range of its shipment'],
  [JSON.stringify({ ...old, epoch: 8 }), 'is not named after epoch and range of its shipment'],
])('%s is refused: %s', (given, why) => {
  expect(() => parseManifest(given, 'the-key')).toThrow(
    expect.objectContaining({ code: 'invalid', subject: 'the-key', message: expect.stringContaining(why) }),
  );
});
