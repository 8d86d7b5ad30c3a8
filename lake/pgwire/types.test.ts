import type { DuckDBConnection, DuckDBInstance, DuckDBValue } from '@duckdb/node-api';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createByteWriter } from '../sql/cells/byte-writer.ts';
import { openDuckdb } from '../sql/duckdb/engine.ts';
import { parameterOidOf, parameterTypeOf, pgTypeOf } from './types.ts';

// What DuckDB computes, as PostgreSQL 15.18 describes and prints the same: recorded from its answers in both formats.

type Known = readonly [
  duckdb: string,
  oid: number,
  length: number,
  modifier: number,
  text: string,
  binaryHex: string,
];

const known: readonly Known[] = [
  ['1.5::double', 701, 8, -1, '1.5', '3ff8000000000000'],
  ['1e15::double', 701, 8, -1, '1e+15', '430c6bf526340000'],
  ['123456789012345::double', 701, 8, -1, '123456789012345', '42dc12218377de40'],
  ['1e14::double', 701, 8, -1, '100000000000000', '42d6bcc41e900000'],
  ['0.0001::double', 701, 8, -1, '0.0001', '3f1a36e2eb1c432d'],
  ['0.00001::double', 701, 8, -1, '1e-05', '3ee4f8b588e368f1'],
  ['-0.0::double', 701, 8, -1, '-0', '8000000000000000'],
  ["'NaN'::double", 701, 8, -1, 'NaN', '7ff8000000000000'],
  ["'-Infinity'::double", 701, 8, -1, '-Infinity', 'fff0000000000000'],
  ['0.1::double', 701, 8, -1, '0.1', '3fb999999999999a'],
  ['1e300::double', 701, 8, -1, '1e+300', '7e37e43c8800759c'],
  ['1.7976931348623157e308::double', 701, 8, -1, '1.7976931348623157e+308', '7fefffffffffffff'],
  ['5e-324::double', 701, 8, -1, '5e-324', '0000000000000001'],
  ['123456.7::float', 700, 4, -1, '123456.7', '47f1205a'],
  ['1234567::float', 700, 4, -1, '1.234567e+06', '4996b438'],
  ['1e6::float', 700, 4, -1, '1e+06', '49742400'],
  ['999999::float', 700, 4, -1, '999999', '497423f0'],
  ['0.1::float', 700, 4, -1, '0.1', '3dcccccd'],
  ['1e-5::float', 700, 4, -1, '1e-05', '3727c5ac'],
  ['3.4028235e38::float', 700, 4, -1, '3.4028235e+38', '7f7fffff'],
  ['1e-45::float', 700, 4, -1, '1e-45', '00000001'],
  ['16777216::float', 700, 4, -1, '1.6777216e+07', '4b800000'],
  ['0.3333333::float', 700, 4, -1, '0.3333333', '3eaaaaaa'],
  ['true', 16, 1, -1, 't', '01'],
  ['false', 16, 1, -1, 'f', '00'],
  ['(-7)::int2', 21, 2, -1, '-7', 'fff9'],
  ['2147483647::int4', 23, 4, -1, '2147483647', '7fffffff'],
  ['(-9223372036854775808)::int8', 20, 8, -1, '-9223372036854775808', '8000000000000000'],
  ['12.50::decimal(6,2)', 1700, -1, 393222, '12.50', '0002000000000002000c1388'],
  ['(-0.005)::decimal(18,3)', 1700, -1, 1179655, '-0.005', '0001ffff400000030032'],
  ['10000::hugeint', 1700, -1, -1, '10000', '00010001000000000001'],
  ['0::hugeint', 1700, -1, -1, '0', '0000000000000000'],
  ['0.00::decimal(5,2)', 1700, -1, 327686, '0.00', '0000000000000002'],
  [
    '123456789012345678901234567890::hugeint',
    1700,
    -1,
    -1,
    '123456789012345678901234567890',
    '0008000700000000000c0d801ed204d2162e23340d801ed2',
  ],
  ['0.00012345::decimal(10,8)', 1700, -1, 655372, '0.00012345', '0002ffff0000000800010929'],
  ['100000000.0001::decimal(20,4)', 1700, -1, 1310728, '100000000.0001', '00040002000000040001000000000001'],
  ["'a\"b'::varchar", 25, -1, -1, 'a"b', '612262'],
  ["'\\x00\\xffa'::blob", 17, -1, -1, '\\x00ff61', '00ff61'],
  ["date '2026-01-31'", 1082, 4, -1, '2026-01-31', '00002537'],
  ["date '0044-03-15 (BC)'", 1082, 4, -1, '0044-03-15 BC', 'fff49d7b'],
  ["date '12345-01-01'", 1082, 4, -1, '12345-01-01', '0039a782'],
  ["date '2000-02-29'", 1082, 4, -1, '2000-02-29', '0000003b'],
  ["date '1969-12-31'", 1082, 4, -1, '1969-12-31', 'ffffd532'],
  ["date 'infinity'", 1082, 4, -1, 'infinity', '7fffffff'],
  ["date '-infinity'", 1082, 4, -1, '-infinity', '80000000'],
  ["date '0001-01-01'", 1082, 4, -1, '0001-01-01', 'fff4dbf9'],
  ["date '1900-03-01'", 1082, 4, -1, '1900-03-01', 'ffff718f'],
  ["time '12:00:01.5'", 1083, 8, -1, '12:00:01.5', '0000000a0f029360'],
  ["time '00:00:00'", 1083, 8, -1, '00:00:00', '0000000000000000'],
  ["time '24:00:00'", 1083, 8, -1, '24:00:00', '000000141dd76000'],
  ["time '23:59:59.999999'", 1083, 8, -1, '23:59:59.999999', '000000141dd75fff'],
  ["timetz '12:00:01.5+02'", 1266, 12, -1, '12:00:01.5+02', '0000000a0f029360ffffe3e0'],
  ["timetz '12:00:01-05:30'", 1266, 12, -1, '12:00:01-05:30', '0000000a0efaf24000004d58'],
  ["timestamp '2026-01-31 12:00:00.123456'", 1114, 8, -1, '2026-01-31 12:00:00.123456', '0002ecac99133240'],
  ["timestamp '1969-12-31 23:59:59.9'", 1114, 8, -1, '1969-12-31 23:59:59.9', 'fffca2fec4c69960'],
  ["timestamp '0044-03-15 (BC) 01:02:03'", 1114, 8, -1, '0044-03-15 01:02:03 BC', 'ff1af9dfca4398c0'],
  ["timestamp 'infinity'", 1114, 8, -1, 'infinity', '7fffffffffffffff'],
  ["timestamp '-infinity'", 1114, 8, -1, '-infinity', '8000000000000000'],
  [
    "timestamptz '2026-01-31 12:00:00.123456+00'",
    1184,
    8,
    -1,
    '2026-01-31 12:00:00.123456+00',
    '0002ecac99133240',
  ],
  ["timestamptz '0044-03-15 (BC) 01:02:03+00'", 1184, 8, -1, '0044-03-15 01:02:03+00 BC', 'ff1af9dfca4398c0'],
  ["timestamptz 'infinity'", 1184, 8, -1, 'infinity', '7fffffffffffffff'],
  ["timestamp '294246-01-01'", 1114, 8, -1, '294246-01-01 00:00:00', '7ffc8597ce8f8000'],
  ["timestamp '4713-01-01 (BC) 00:00:00'", 1114, 8, -1, '4713-01-01 00:00:00 BC', 'fd0f7fbdaf17e000'],
  [
    "interval '1 year 2 months 3 days 4 hours -5 seconds'",
    1186,
    16,
    -1,
    '1 year 2 mons 3 days 03:59:55',
    '000000035a0244c0000000030000000e',
  ],
  [
    "interval '-1 year -2 months 3 days -4 hours'",
    1186,
    16,
    -1,
    '-1 years -2 mons +3 days -04:00:00',
    'fffffffca5b1700000000003fffffff2',
  ],
  ["interval '0'", 1186, 16, -1, '00:00:00', '00000000000000000000000000000000'],
  ["interval '1 month'", 1186, 16, -1, '1 mon', '00000000000000000000000000000001'],
  ["interval '-1 month 1 day'", 1186, 16, -1, '-1 mons +1 day', '000000000000000000000001ffffffff'],
  ["interval '100 hours 0.5 seconds'", 1186, 16, -1, '100:00:00.5', '00000053d1b3b1200000000000000000'],
  ["interval '-25 months'", 1186, 16, -1, '-2 years -1 mons', '000000000000000000000000ffffffe7'],
  ["interval '1 day -00:00:01'", 1186, 16, -1, '1 day -00:00:01', 'fffffffffff0bdc00000000100000000'],
  ["interval '-1 day 00:00:01'", 1186, 16, -1, '-1 days +00:00:01', '00000000000f4240ffffffff00000000'],
  [
    "uuid 'dc9dbf57-a783-4c0a-939a-9109ad25db31'",
    2950,
    16,
    -1,
    'dc9dbf57-a783-4c0a-939a-9109ad25db31',
    'dc9dbf57a7834c0a939a9109ad25db31',
  ],
  ["'1010'::bit", 1562, -1, -1, '1010', '00000004a0'],
  ["'101010101'::bit", 1562, -1, -1, '101010101', '00000009aa80'],
  ['\'{"a": 1}\'::json', 114, -1, -1, '{"a": 1}', '7b2261223a20317d'],
  [
    '[1,2,null]::integer[]',
    1007,
    -1,
    -1,
    '{1,2,NULL}',
    '000000010000000100000017000000030000000100000004000000010000000400000002ffffffff',
  ],
  [
    '[[1,2],[3,4]]::integer[][]',
    1007,
    -1,
    -1,
    '{{1,2},{3,4}}',
    '000000020000000000000017000000020000000100000002000000010000000400000001000000040000000200000004000000030000000400000004',
  ],
  ['[]::integer[]', 1007, -1, -1, '{}', '000000000000000000000017'],
  [
    "['a','','NULL','null x','q\"b\\s','{x}','a,b',null,'ü']::varchar[]",
    1009,
    -1,
    -1,
    '{a,"","NULL","null x","q\\"b\\\\s","{x}","a,b",NULL,ü}',
    '0000000100000001000000190000000900000001000000016100000000000000044e554c4c000000066e756c6c2078000000057122625c73000000037b787d00000003612c62ffffffff00000002c3bc',
  ],
  ['[true,false]', 1000, -1, -1, '{t,f}', '000000010000000000000010000000020000000100000001010000000100'],
  [
    "[timestamptz '2020-01-01 00:00:00+00']",
    1185,
    -1,
    -1,
    '{"2020-01-01 00:00:00+00"}',
    '0000000100000000000004a000000001000000010000000800023e0786c26000',
  ],
  [
    '[1.5,2]::decimal(4,1)[]',
    1231,
    -1,
    262149,
    '{1.5,2.0}',
    '0000000100000000000006a400000002000000010000000c0002000000000001000113880000000a00010000000000010002',
  ],
  [
    "[date '2020-01-01']",
    1182,
    -1,
    -1,
    '{2020-01-01}',
    '00000001000000000000043a00000001000000010000000400001c89',
  ],
  [
    '[\'{"a":1}\']::json[]',
    199,
    -1,
    -1,
    '{"{\\"a\\":1}"}',
    '0000000100000000000000720000000100000001000000077b2261223a317d',
  ],
];

let instance: DuckDBInstance;
let connection: DuckDBConnection;
beforeAll(async () => {
  instance = await openDuckdb({});
  connection = await instance.connect();
  await connection.run(`SET TimeZone = 'UTC'`);
});
afterAll(() => {
  connection.closeSync();
  instance.closeSync();
});

async function evaluate(expression: string): Promise<{ type: string; value: DuckDBValue }> {
  const answer = await connection.runAndReadAll(`SELECT ${expression}`);
  const described = await connection.runAndReadAll(`DESCRIBE SELECT ${expression}`);
  return { type: String(described.getRows()[0]?.[1]), value: answer.getRows()[0]?.[0] ?? null };
}

function binaryOf(type: string, value: unknown): string {
  const out = createByteWriter();
  pgTypeOf(type).binary(value, out);
  return out.take().toString('hex');
}

test.each(known)('%s', async (expression, oid, length, modifier, text, binaryHex) => {
  const { type, value } = await evaluate(expression);
  const pgType = pgTypeOf(type);
  expect([pgType.oid, pgType.length, pgType.modifier]).toEqual([oid, length, modifier]);
  expect(pgType.text(value)).toBe(text);
  expect(binaryOf(type, value)).toBe(binaryHex);
  // As a parameter it goes the other way.
  expect(parameterTypeOf(oid)?.fromBinary(Buffer.from(binaryHex, 'hex'))).toBe(text);
});

// DuckDB's types that PostgreSQL has no like of.
test.each([
  ['255::utinyint', 21, '255', '00ff'],
  ['65535::usmallint', 23, '65535', '0000ffff'],
  ['4294967295::uinteger', 26, '4294967295', 'ffffffff'],
  ['18446744073709551615::ubigint', 1700, '18446744073709551615', '000500040000000007341a5802e103bb064f'],
  ["timestamp_ns '1969-12-31 23:59:59.999999999'", 1114, '1969-12-31 23:59:59.999999', 'fffca2fec4c81fff'],
  ["timestamp_s '2000-01-01 00:00:01'", 1114, '2000-01-01 00:00:01', '00000000000f4240'],
  ["timestamp_ms '2000-01-01 00:00:00.5'", 1114, '2000-01-01 00:00:00.5', '000000000007a120'],
  ["'b'::enum('a', 'b')", 25, 'b', '62'],
  ['array_value(1, 2)', 1007, '{1,2}', undefined],
  ['[[1], [2, 3]]', 1007, '{{1},{2,3}}', undefined],
  ['[[], []]::integer[][]', 1007, '{}', '000000000000000000000017'],
  [
    `{'a': 1, 'b': [date '2020-01-01'], 'c': NULL, 'd': 'x"y', 'e': 1.50::decimal(5,2), 'f': 'nan'::double}`,
    114,
    '{"a":1,"b":["2020-01-01"],"c":null,"d":"x\\"y","e":1.50,"f":"NaN"}',
    undefined,
  ],
  ["map {1: timestamptz '2020-01-01 00:00:00+00'}", 114, '{"1":"2020-01-01 00:00:00+00"}', undefined],
  [
    "map {'a': 9007199254740993::bigint}",
    114,
    '{"a":9007199254740993}',
    Buffer.from('{"a":9007199254740993}').toString('hex'),
  ],
  ["union_value(a := 'x')", 114, '"x"', undefined],
  [`[{'a': 1}]`, 199, '{"{\\"a\\":1}"}', undefined],
] as const)('%s', async (expression, oid, text, binaryHex) => {
  const { type, value } = await evaluate(expression);
  expect(pgTypeOf(type).oid).toBe(oid);
  expect(pgTypeOf(type).text(value)).toBe(text);
  if (binaryHex !== undefined) expect(binaryOf(type, value)).toBe(binaryHex);
});

test('lists of unequal length have no binary format', async () => {
  const { type, value } = await evaluate('[[1], [2, 3]]');
  expect(() => binaryOf(type, value)).toThrow(expect.objectContaining({ sqlstate: '2202E' }));
});

test('an unknown type is text', () => {
  expect(pgTypeOf('GEOMETRY')).toMatchObject({ oid: 25, length: -1, modifier: -1 });
  expect(pgTypeOf('"NULL"').oid).toBe(25);
  expect(parameterOidOf(null)).toBe(25);
  expect(parameterOidOf('TIMESTAMP WITH TIME ZONE')).toBe(1184);
  expect(parameterTypeOf(600)).toBeUndefined();
  expect(parameterTypeOf(0)).toBeUndefined();
});

test.each([
  [16, '0000', undefined],
  [23, '0001', undefined],
  [26, 'ffffffff', '4294967295'],
  [19, '6162', 'ab'],
  [3802, '017b7d', '{}'],
  [3802, '7b7d', undefined],
  [1700, '00000000c0000000', 'NaN'],
  [1700, '00000000f0000020', '-Infinity'],
  [1700, '0001000000000000', undefined],
  [1562, '00000009aa', undefined],
  [1007, '00', undefined],
  // A count of two thousand million elements, none of which came.
  [1007, '0000000100000000000000177fffffff00000001', undefined],
  [1007, '0000000200000000000000177fffffff000000010000000000000001', '{}'],
  [1007, '00000001000000000000001700000001000000010000000800000001', undefined],
])('a parameter of type %i from %s is %s', (oid, hex, text) => {
  expect(parameterTypeOf(oid)?.fromBinary(Buffer.from(hex, 'hex'))).toBe(text);
});
