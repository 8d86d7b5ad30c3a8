import fc from 'fast-check';
import { compress } from 'snappyjs';
import { expect, test } from 'vitest';
import { FirnError } from '../base/errors.ts';
import { decodeSnappy, snappyDecodedBytes } from './snappy.ts';

const decode = (...bytes: number[]): Uint8Array => decodeSnappy(Uint8Array.from(bytes), 1000);

test('decode(compress(x)) = x', () => {
  const repetitive = fc
    .array(fc.tuple(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 1, max: 30 })), { maxLength: 20 })
    .map((parts) =>
      Uint8Array.from(
        parts.flatMap(([part, times]) =>
          Array(times)
            .fill([...part])
            .flat(),
        ),
      ),
    );
  fc.assert(
    fc.property(repetitive, (bytes) => {
      const block = compress(bytes);
      expect(snappyDecodedBytes(block)).toBe(bytes.length);
      expect(Buffer.compare(decodeSnappy(block, bytes.length), bytes)).toBe(0);
    }),
  );
});

test.each([
  ['literal', [3, 2 << 2, 1, 2, 3], [1, 2, 3]],
  ['literal with a length of one more byte', [2, 60 << 2, 1, 1, 2], [1, 2]],
  ['copy that overlaps itself', [6, 1 << 2, 7, 8, 1, 2], [7, 8, 7, 8, 7, 8]],
  ['copy with two offset bytes', [4, 1 << 2, 7, 8, (1 << 2) | 2, 2, 0], [7, 8, 7, 8]],
  ['copy with four offset bytes', [4, 1 << 2, 7, 8, (1 << 2) | 3, 2, 0, 0, 0], [7, 8, 7, 8]],
  ['nothing', [0], []],
])('%s', (_, block, bytes) => {
  expect([...decode(...block)]).toEqual(bytes);
});

test.each([
  ['no bytes at all', []],
  ['size without an end', [0x80, 0x80]],
  ['size beyond 32 bits', [0xff, 0xff, 0xff, 0xff, 0x7f]],
  ['output shorter than its size', [3, 1 << 2, 1, 2]],
  ['output longer than its size', [1, 1 << 2, 1, 2]],
  ['literal that is cut off', [3, 2 << 2, 1]],
  ['literal length that is cut off', [3, 61 << 2, 1]],
  ['copy from before the start', [4, 0, 1, (1 << 2) | 2, 2, 0]],
  ['copy with offset 0', [4, 0, 1, (1 << 2) | 2, 0, 0]],
  ['copy that is cut off', [4, 0, 1, (1 << 2) | 2, 1]],
])('%s is invalid', (_, block) => {
  expect(() => decode(...block)).toThrow(/not a valid snappy block/);
});

test('a block larger than the limit is refused by its header', () => {
  expect(() => decode(0xe9, 0x07, 0)).toThrow(/1001 bytes when decompressed, at most 1000/);
  // 4 GB from 9 bytes: no memory is taken for it.
  expect(() => decodeSnappy(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1, 0, 1), 2 ** 32)).toThrow(
    /not a valid/,
  );
});

test('any bytes: decoded or refused, never another error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        decodeSnappy(bytes, 1000);
      } catch (error) {
        expect(error).toBeInstanceOf(FirnError);
      }
    }),
    { numRuns: 2000 },
  );
});
