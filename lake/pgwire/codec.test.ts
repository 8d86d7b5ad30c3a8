import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createByteWriter } from '../sql/cells/byte-writer.ts';
import { createFrameReader, decodeMessage, decodeStartup, type Frame, startupBytesMax } from './codec.ts';
import { readNumeric, writeNumeric } from './numeric.ts';
import { createRawWriter } from './raw-client.ts';

const refusedAs = (sqlstate: string) => expect.objectContaining({ sqlstate });

const name = fc.string({ unit: fc.string({ minLength: 1, maxLength: 1 }).filter((c) => c !== '\0') });
const formats = fc.array(fc.constantFrom(0, 1), { maxLength: 4 });
const message = fc.oneof(
  fc.record({ kind: fc.constant('query' as const), text: name }),
  fc.record({
    kind: fc.constant('parse' as const),
    name,
    text: name,
    parameterOids: fc.array(fc.nat(0xffffffff), { maxLength: 5 }),
  }),
  fc.record({
    kind: fc.constant('bind' as const),
    portal: name,
    statement: name,
    parameterFormats: formats,
    parameters: fc.array(fc.option(fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)))),
    resultFormats: formats,
  }),
  fc.record({
    kind: fc.constantFrom('describe' as const, 'close' as const),
    object: fc.constantFrom('statement' as const, 'portal' as const),
    name,
  }),
  fc.record({ kind: fc.constant('execute' as const), portal: name, rowsMax: fc.nat(0x7fffffff) }),
  fc.record({ kind: fc.constantFrom('flush' as const, 'sync' as const, 'terminate' as const) }),
);

test('messages cut anywhere are read as they were written', () => {
  fc.assert(
    fc.property(fc.array(message), fc.array(fc.nat(200)), (messages, cuts) => {
      const write = createRawWriter();
      for (const each of messages) write.message(each);
      const bytes = write.take();
      const reader = createFrameReader(1 << 20);
      const read: unknown[] = [];
      const drain = (): void => {
        for (let frame = reader.next('session'); frame; frame = reader.next('session')) {
          read.push(decodeMessage(frame));
        }
      };
      let at = 0;
      for (const cut of cuts) {
        reader.push(bytes.subarray(at, at + cut));
        at += cut;
        drain();
      }
      reader.push(bytes.subarray(at));
      drain();
      expect(read).toEqual(messages);
      expect(reader.bufferedBytes).toBe(0);
    }),
  );
});

test('whatever comes is a message or an SqlError', () => {
  const body = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.constantFrom(...'QPBDECHSXFdcfp', ''), body, (type, bytes) => {
      const frame: Frame = { type, body: bytes };
      try {
        if (type === '') decodeStartup(bytes);
        else decodeMessage(frame);
      } catch (error) {
        expect((error as { sqlstate?: string }).sqlstate).toMatch(/^(08P01|22021)$/);
      }
    }),
    { numRuns: 2000 },
  );
});

test.each([
  ['a type that there is not', 'session', '7a00000004', '08P01'],
  ['a length that does not count itself', 'session', '5100000003', '08P01'],
  ['a negative length', 'session', '51ffffffff', '08P01'],
  ['a message over the limit, before its body has come', 'session', '5100000401', '54000'],
  ['a TLS handshake', 'startup', '16030102000100', '54000'],
  ['a long password', 'authentication', '7000002711', '54000'],
] as const)('%s is refused', (_, phase, hex, sqlstate) => {
  const reader = createFrameReader(1024);
  reader.push(Buffer.from(hex, 'hex'));
  expect(() => reader.next(phase)).toThrow(refusedAs(sqlstate));
});

test('a message as long as the limit is read', () => {
  const reader = createFrameReader(1024);
  reader.push(Buffer.concat([Buffer.from('5300000400', 'hex'), Buffer.alloc(1020)]));
  expect(reader.next('session')?.body.length).toBe(1020);
  expect(startupBytesMax).toBe(10_000);
});

test('text that is not UTF-8 is refused', () => {
  expect(() => decodeMessage({ type: 'Q', body: Buffer.from([0xc3, 0x28, 0]) })).toThrow(refusedAs('22021'));
});

test('a written message has its length, however the buffer grew', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 3000 })), (values) => {
      const out = createByteWriter();
      for (const value of values) {
        out.begin('D');
        const at = out.beginValue();
        out.text(value);
        out.endValue(at);
        out.end();
      }
      const bytes = out.take();
      let at = 0;
      for (const value of values) {
        const length = Buffer.byteLength(value);
        expect(bytes.readInt32BE(at + 1)).toBe(8 + length);
        expect(bytes.readInt32BE(at + 5)).toBe(length);
        expect(bytes.toString('utf8', at + 9, at + 9 + length)).toBe(Buffer.from(value).toString());
        at += 9 + length;
      }
      expect(at).toBe(bytes.length);
      expect(out.length).toBe(0);
    }),
  );
});

test('a numeric is read as it was written', () => {
  const digits = fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n });
  fc.assert(
    fc.property(digits, fc.nat(30), (value, scale) => {
      const size = (value < 0n ? -value : value).toString().padStart(scale + 1, '0');
      const cut = size.length - scale;
      const fraction = scale === 0 ? '' : `.${size.slice(cut)}`;
      const text = `${value < 0n ? '-' : ''}${size.slice(0, cut)}${fraction}`;
      const out = createByteWriter();
      writeNumeric(text, out);
      expect(readNumeric(out.take())).toBe(text);
    }),
  );
});
