import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { packPayload, unpackedBytes, unpackPayload } from './packed-payload.ts';

const lines = Buffer.from('\u0002level=info msg="belt 7 is slow"\n'.repeat(400));

test('unpack(pack(payload)) = payload, and its size is known before', () => {
  const texts = fc.array(fc.constantFrom('level=info ', 'belt', '\n', '0', 'é'), { maxLength: 3000 });
  fc.assert(
    fc.property(texts, (parts) => {
      const payload = Buffer.from(`\u0002${parts.join('')}`);
      const stored = packPayload('logs', payload);
      expect(stored.byteLength).toBeLessThanOrEqual(payload.byteLength);
      expect(unpackedBytes(stored.subarray(0, 8), stored.byteLength)).toBe(payload.byteLength);
      expect(Buffer.from(unpackPayload(stored) ?? [])).toEqual(payload);
    }),
    { numRuns: 50 },
  );
});

test('what repeats is stored in a fraction; what is small or random, or packed already, stays as it is', () => {
  const packed = packPayload('logs', lines);
  expect(packed.byteLength).toBeLessThan(lines.byteLength / 10);
  expect(packPayload('logs', packed)).toBe(packed);
  for (const payload of [lines.subarray(0, 500), Buffer.concat([Buffer.of(2), randomBytes(8000)])])
    expect(packPayload('logs', payload)).toBe(payload);
  expect(packPayload('metrics', lines)).toBe(lines);
});

test('a packed payload that is cut, changed or says another size is not unpacked', () => {
  const packed = Buffer.from(packPayload('logs', lines));
  const longer = Buffer.from(packed);
  longer.writeUInt32LE(lines.byteLength + 1, 4);
  const shorter = Buffer.from(packed);
  shorter.writeUInt32LE(lines.byteLength - 1, 4);
  const endless = Buffer.from(packed);
  endless.writeUInt32LE(0xffff_ffff, 4);
  for (const damaged of [
    packed.subarray(0, 5),
    packed.subarray(0, -3),
    longer,
    shorter,
    endless,
    Buffer.of(3),
  ])
    expect(unpackPayload(damaged)).toBeUndefined();
});
