import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { avroMetadata, avroRead } from 'icebird';
import { expect, test } from 'vitest';
import { avroBlockBytesMax, avroWriter, readAvro } from './avro.ts';

const schema = {
  type: 'record',
  name: 'row',
  fields: [
    { name: 'id', type: 'long', 'field-id': 7 },
    { name: 'text', type: ['null', 'string'], default: null, 'field-id': 8, doc: 'kept' },
    {
      name: 'pairs',
      'field-id': 9,
      type: {
        type: 'array',
        logicalType: 'map',
        'element-id': 12,
        items: {
          type: 'record',
          name: 'k1_v2',
          fields: [
            { name: 'key', type: 'int', 'field-id': 1 },
            { name: 'value', type: 'bytes', 'field-id': 2 },
          ],
        },
      },
    },
  ],
};
const write = avroWriter(schema);

const row = fc.record({
  id: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  text: fc.option(fc.string({ unit: 'binary' }).map((text) => text.toWellFormed())),
  pairs: fc.array(
    fc.record({
      key: fc.integer(),
      value: fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes)),
    }),
  ),
});
type Row = typeof row extends fc.Arbitrary<infer T> ? T : never;
/** Long values as bigints, bytes as hex: one form for both decoders. */
const plain = (value: unknown): unknown => {
  const { id, text, pairs } = value as Row;
  const list = pairs.map((pair) => [pair.key, Buffer.from(pair.value).toString('hex')]);
  return { id: BigInt(id), text: text ?? null, pairs: list };
};

function readWithIcebird(file: Uint8Array): { values: unknown[]; metadata: Record<string, unknown> } {
  const bytes = new Uint8Array(file);
  const reader = { view: new DataView(bytes.buffer), offset: 0 };
  const { metadata, syncMarker } = avroMetadata(reader);
  return { values: avroRead({ reader, metadata, syncMarker }), metadata };
}

test('decode(encode(values)) = values, here and with another decoder, and the same values are the same bytes', () => {
  fc.assert(
    fc.property(fc.array(row), (random) => {
      // icebird 0.3.1 can't unpack blocks that are much smaller than any manifest's.
      const rows = [{ id: 1n, text: 'a path in a manifest '.repeat(20), pairs: [] }, ...random];
      const file = write(rows, { content: 'data' });
      const read = readAvro(file, 'file');
      expect(read.values.map(plain)).toEqual(rows.map(plain));
      expect(read.metadata.content).toBe('data');
      expect(readWithIcebird(file).values.map(plain)).toEqual(rows.map(plain));
      expect(write(rows, { content: 'data' }).equals(file)).toBe(true);
    }),
    { numRuns: 50 },
  );
});

test('the header keeps the schema verbatim, with the attributes that Iceberg reads', () => {
  expect(readWithIcebird(write([], {})).metadata['avro.schema']).toEqual(schema);
});

test('many rows make several blocks', () => {
  const rows = Array.from({ length: 20_000 }, (_, id) => ({ id, text: `row ${id}`, pairs: [] }));
  const file = write(rows, {});
  expect(readAvro(file, 'file').values).toHaveLength(20_000);
  expect(readWithIcebird(file).values).toHaveLength(20_000);
});

test('damage is an error, never other values', () => {
  const file = write([{ id: 1, text: 'a', pairs: [] }], {});
  const cases: [string, Buffer][] = [
    ['empty', Buffer.alloc(0)],
    ['not Avro', Buffer.from('PAR1PAR1')],
    ['cut', file.subarray(0, file.length - 5)],
    ['longer', Buffer.concat([file, Buffer.from([2])])],
    ['other sync marker', Buffer.concat([file.subarray(0, -1), Buffer.from([1 + (file.at(-1) ?? 0)])])],
    ['other codec', Buffer.from(file.toString('latin1').replace('deflate', 'zstdxyz'), 'latin1')],
  ];
  for (const [what, bytes] of cases) {
    expect(() => readAvro(bytes, 'file'), what).toThrow(expect.objectContaining({ code: 'corrupt' }));
  }
});

test('a block that unpacks to more than a reader should hold is refused', () => {
  const small = write([{ id: 1, text: 'a', pairs: [] }], {});
  const sync = small.subarray(-16);
  const bomb = deflateRawSync(Buffer.alloc(avroBlockBytesMax + 1));
  const length = Buffer.alloc(10);
  let size = 0;
  for (let rest = bomb.length * 2; ; rest = Math.floor(rest / 128)) {
    length[size++] = rest >= 128 ? (rest % 128) + 128 : rest;
    if (rest < 128) break;
  }
  const file = Buffer.concat([small, Buffer.from([2]), length.subarray(0, size), bomb, sync]);
  expect(() => readAvro(file, 'file')).toThrow(expect.objectContaining({ code: 'corrupt' }));
});
