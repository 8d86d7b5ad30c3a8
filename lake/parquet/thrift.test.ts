import fc from 'fast-check';
import types from 'parquetjs-lite/gen-nodejs/parquet_types.js';
import util from 'parquetjs-lite/lib/util.js';
import { expect, test } from 'vitest';
import { bytesOf, numberOf, partsOf, readThrift } from './thrift.ts';

const count = fc.nat(2 ** 31 - 1);

test('a page header reads as it was written, and says where it ends', () => {
  fc.assert(
    fc.property(count, count, count, fc.integer({ min: -5, max: 9 }), (packed, plain, values, encoding) => {
      const levels = { definition_level_encoding: 3, repetition_level_encoding: 3 };
      const bytes = util.serializeThrift(
        new types.PageHeader({
          ...{ type: 0, uncompressed_page_size: plain, compressed_page_size: packed },
          data_page_header: new types.DataPageHeader({ num_values: values, encoding, ...levels }),
        }),
      );
      const { fields, bytesRead } = readThrift(Buffer.concat([bytes, Buffer.from([7, 7, 7])]));
      expect(bytesRead).toBe(bytes.length);
      expect(fields.slice(1, 4)).toEqual([0, plain, packed]);
      expect(partsOf(fields[5])?.slice(1, 3)).toEqual([values, encoding]);
    }),
  );
});

test('lists of many structs, texts and booleans', () => {
  const schema = Array.from(
    { length: 40 },
    (_, index) => new types.SchemaElement({ name: `c${index}é`, type: index % 7, field_id: index }),
  );
  const metadata = new types.FileMetaData({ version: 1, schema, num_rows: 5, row_groups: [] });
  const { fields } = readThrift(util.serializeThrift(metadata));
  const elements = partsOf(fields[2]) ?? [];
  expect(elements).toHaveLength(40);
  const last = partsOf(elements[39]) ?? [];
  expect(bytesOf(last[4])?.toString()).toBe('c39é');
  expect([numberOf(last[1]), numberOf(last[9])]).toEqual([4, 39]);
  // Field 1 is true, field 2 false; field 3 a list of true and false.
  const flags = readThrift(Buffer.from([0x11, 0x12, 0x19, 0x21, 1, 2, 0])).fields;
  expect(flags).toEqual([undefined, true, false, [true, false]]);
});

test('bytes that are no struct are refused, and never read past their end', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        expect(readThrift(Buffer.from(bytes)).bytesRead).toBeLessThanOrEqual(bytes.length);
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError);
      }
    }),
  );
  expect(() => readThrift(Buffer.from([0x19, 0xfc, 0xff, 0xff, 0xff, 0x7f]))).toThrow('too long');
  expect(() => readThrift(Buffer.alloc(100, 0x1c))).toThrow('nested too deeply');
  expect(() => numberOf(true)).toThrow(RangeError);
});
