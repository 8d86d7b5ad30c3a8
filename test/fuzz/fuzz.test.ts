import { expect, test } from 'vitest';
import { decoders } from './decoders.ts';
import { mutated, randomOf } from './mutate.ts';

// See README.md.

const inputs = Number(process.env.FIRN_FUZZ_INPUTS ?? 100_000);
const seed = Number(process.env.FIRN_FUZZ_SEED ?? 1);
const each = Math.ceil(inputs / decoders.length);
/** What one decoder may leave behind: caches are bounded, and what an input has made goes with it. */
const grownBytesMax = 96 * 1024 * 1024;
const inputBytesMax = 64 * 1024;

test.each(decoders)('$name: $payloads.length payloads', ({ name, payloads, decode, refuses }) => {
  const random = randomOf(seed);
  let refused = 0;
  let heapBytes = 0;
  for (const payload of payloads) decode(payload);
  for (let count = 0; count < each; count++) {
    const input = mutated(random, payloads).subarray(0, inputBytesMax);
    try {
      decode(input);
    } catch (error) {
      if (!refuses(error)) throw unexpected(name, input, error);
      refused++;
    }
    if (count === Math.floor(each / 5)) heapBytes = process.memoryUsage().heapUsed;
  }
  expect(process.memoryUsage().heapUsed - heapBytes).toBeLessThan(grownBytesMax);
  expect(refused).toBeLessThan(each);
});

function unexpected(name: string, input: Uint8Array, cause: unknown): Error {
  const bytes = Buffer.from(input).toString('base64');
  return new Error(`${name}, FIRN_FUZZ_SEED=${seed}: not refused as it should be: ${bytes}`, { cause });
}
