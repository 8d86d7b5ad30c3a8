import type {
  DuckDBBitValue,
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBIntervalValue,
  DuckDBTimestampMillisecondsValue,
  DuckDBTimestampNanosecondsValue,
  DuckDBTimestampSecondsValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeTZValue,
  DuckDBTimeValue,
  DuckDBUUIDValue,
} from '@duckdb/node-api';
import type { ByteWriter } from '../sql/cells/byte-writer.ts';
import { decodeUtf8 } from './codec.ts';
import { jsonText } from './json-text.ts';
import { readNumeric, writeNumeric } from './numeric.ts';
import * as print from './value-text.ts';

/** A PostgreSQL type that is not an array: how its values look on the wire, both ways, in both formats. */
export interface Scalar {
  readonly oid: number;
  readonly arrayOid: number;
  /** Bytes of a value in PostgreSQL's memory, -1 if it varies; clients are told, nothing depends on it. */
  readonly length: number;
  /** The DuckDB type that a parameter of this type has. */
  readonly duckdb: string;
  /** A value of @duckdb/node-api, never null. */
  text(value: unknown): string;
  binary(value: unknown, out: ByteWriter): void;
  /** A parameter in binary format as PostgreSQL would print it; undefined if the bytes are no value of this type. */
  fromBinary(bytes: Buffer): string | undefined;
}

/** 2000-01-01, from which PostgreSQL counts, in days and microseconds since 1970. */
const epochDays = 10_957;
const epochUs = 946_684_800_000_000n;
const int64Max = 9223372036854775807n;
const int64Min = -9223372036854775808n;

const sized = (bytes: Buffer, length: number, read: () => unknown): string | undefined =>
  bytes.length === length ? String(read()) : undefined;

const bool: Scalar = {
  oid: 16,
  arrayOid: 1000,
  length: 1,
  duckdb: 'BOOLEAN',
  text: (value) => (value === true ? 't' : value === false ? 'f' : String(value)),
  binary: (value, out) => out.uint8(value === true ? 1 : 0),
  fromBinary: (bytes) => (bytes.length === 1 ? (bytes[0] === 0 ? 'f' : 't') : undefined),
};

const int2: Scalar = {
  oid: 21,
  arrayOid: 1005,
  length: 2,
  duckdb: 'SMALLINT',
  text: String,
  binary: (value, out) => out.int16(Number(value)),
  fromBinary: (bytes) => sized(bytes, 2, () => bytes.readInt16BE()),
};

const int4: Scalar = {
  oid: 23,
  arrayOid: 1007,
  length: 4,
  duckdb: 'INTEGER',
  text: String,
  binary: (value, out) => out.int32(Number(value)),
  fromBinary: (bytes) => sized(bytes, 4, () => bytes.readInt32BE()),
};

const int8: Scalar = {
  oid: 20,
  arrayOid: 1016,
  length: 8,
  duckdb: 'BIGINT',
  text: String,
  binary: (value, out) => out.int64(BigInt(value as bigint | number | string)),
  fromBinary: (bytes) => sized(bytes, 8, () => bytes.readBigInt64BE()),
};

const oid: Scalar = {
  ...int4,
  oid: 26,
  arrayOid: 1028,
  duckdb: 'BIGINT',
  binary: (value, out) => out.int32(Number(value) | 0),
  fromBinary: (bytes) => sized(bytes, 4, () => bytes.readUInt32BE()),
};

const float4: Scalar = {
  oid: 700,
  arrayOid: 1021,
  length: 4,
  duckdb: 'FLOAT',
  text: (value) => print.floatText4(Number(value)),
  binary: (value, out) => out.float32(Number(value)),
  fromBinary: (bytes) => sized(bytes, 4, () => print.floatText4(bytes.readFloatBE())),
};

const float8: Scalar = {
  oid: 701,
  arrayOid: 1022,
  length: 8,
  duckdb: 'DOUBLE',
  text: (value) => print.doubleText(Number(value)),
  binary: (value, out) => out.float64(Number(value)),
  fromBinary: (bytes) => sized(bytes, 8, () => print.doubleText(bytes.readDoubleBE())),
};

const numericText = (value: unknown): string =>
  typeof value === 'object'
    ? print.decimalText((value as DuckDBDecimalValue).value, (value as DuckDBDecimalValue).scale)
    : String(value);

const numeric: Scalar = {
  oid: 1700,
  arrayOid: 1231,
  length: -1,
  duckdb: 'DOUBLE',
  text: numericText,
  binary: (value, out) => writeNumeric(numericText(value), out),
  fromBinary: readNumeric,
};

export const text: Scalar = {
  oid: 25,
  arrayOid: 1009,
  length: -1,
  duckdb: 'VARCHAR',
  text: String,
  binary: (value, out) => out.text(String(value)),
  fromBinary: decodeUtf8,
};

const bytea: Scalar = {
  oid: 17,
  arrayOid: 1001,
  length: -1,
  duckdb: 'BLOB',
  text: (value) => print.byteaText((value as DuckDBBlobValue).bytes),
  binary: (value, out) => out.bytes((value as DuckDBBlobValue).bytes),
  fromBinary: print.byteaText,
};

const isInfinite = (days: number): boolean => Math.abs(days) >= print.infiniteDays;

const date: Scalar = {
  oid: 1082,
  arrayOid: 1182,
  length: 4,
  duckdb: 'DATE',
  text: (value) => print.dateText((value as DuckDBDateValue).days),
  binary: (value, out) => {
    const { days } = value as DuckDBDateValue;
    if (isInfinite(days)) out.int32(days > 0 ? 0x7fffffff : -0x80000000);
    else out.int32(days - epochDays);
  },
  fromBinary: (bytes) =>
    sized(bytes, 4, () => {
      const days = bytes.readInt32BE();
      return print.dateText(isInfinite(days) ? days : days + epochDays);
    }),
};

const time: Scalar = {
  oid: 1083,
  arrayOid: 1183,
  length: 8,
  duckdb: 'TIME',
  text: (value) => print.timeText(timeUs(value)),
  binary: (value, out) => out.int64(timeUs(value)),
  fromBinary: (bytes) => sized(bytes, 8, () => print.timeText(bytes.readBigInt64BE())),
};

const timetz: Scalar = {
  oid: 1266,
  arrayOid: 1270,
  length: 12,
  duckdb: 'TIME WITH TIME ZONE',
  text: (value) => print.timeTzText((value as DuckDBTimeTZValue).micros, (value as DuckDBTimeTZValue).offset),
  binary: (value, out) => {
    out.int64((value as DuckDBTimeTZValue).micros);
    out.int32(-(value as DuckDBTimeTZValue).offset);
  },
  fromBinary: (bytes) =>
    sized(bytes, 12, () => print.timeTzText(bytes.readBigInt64BE(), -bytes.readInt32BE(8))),
};

const timestampIn = (zone: '' | '+00'): Pick<Scalar, 'length' | 'text' | 'binary' | 'fromBinary'> => ({
  length: 8,
  text: (value) => print.timestampText(timestampUs(value), zone),
  binary: (value, out) => {
    const micros = timestampUs(value);
    if (micros >= print.infiniteUs) out.int64(int64Max);
    else if (micros <= -print.infiniteUs) out.int64(int64Min);
    else out.int64(micros - epochUs);
  },
  fromBinary: (bytes) =>
    sized(bytes, 8, () => {
      const micros = bytes.readBigInt64BE();
      const infinite = micros === int64Max || micros === int64Min;
      return print.timestampText(infinite ? micros : micros + epochUs, zone);
    }),
});

const timestamp: Scalar = { oid: 1114, arrayOid: 1115, duckdb: 'TIMESTAMP', ...timestampIn('') };

const timestamptz: Scalar = {
  oid: 1184,
  arrayOid: 1185,
  duckdb: 'TIMESTAMP WITH TIME ZONE',
  ...timestampIn('+00'),
};

const interval: Scalar = {
  oid: 1186,
  arrayOid: 1187,
  length: 16,
  duckdb: 'INTERVAL',
  text: (value) => {
    const { months, days, micros } = value as DuckDBIntervalValue;
    return print.intervalText(months, days, micros);
  },
  binary: (value, out) => {
    const { months, days, micros } = value as DuckDBIntervalValue;
    out.int64(micros);
    out.int32(days);
    out.int32(months);
  },
  fromBinary: (bytes) =>
    sized(bytes, 16, () =>
      print.intervalText(bytes.readInt32BE(12), bytes.readInt32BE(8), bytes.readBigInt64BE()),
    ),
};

const uuid: Scalar = {
  oid: 2950,
  arrayOid: 2951,
  length: 16,
  duckdb: 'UUID',
  text: String,
  binary: (value, out) =>
    out.bytes(Buffer.from((value as DuckDBUUIDValue).toString().replaceAll('-', ''), 'hex')),
  fromBinary: (bytes) => sized(bytes, 16, () => print.uuidText(bytes)),
};

const varbit: Scalar = {
  oid: 1562,
  arrayOid: 1563,
  length: -1,
  duckdb: 'BIT',
  text: String,
  binary: (value, out) => {
    const bits = (value as DuckDBBitValue).toString();
    out.int32(bits.length);
    for (let at = 0; at < bits.length; at += 8) {
      out.uint8(Number.parseInt(bits.slice(at, at + 8).padEnd(8, '0'), 2));
    }
  },
  fromBinary: (bytes) => {
    const length = bytes.length < 4 ? -1 : bytes.readInt32BE();
    if (length < 0 || bytes.length !== 4 + Math.ceil(length / 8)) return undefined;
    return Array.from(bytes.subarray(4), (byte) => byte.toString(2).padStart(8, '0'))
      .join('')
      .slice(0, length);
  },
};

const json: Scalar = {
  ...text,
  oid: 114,
  arrayOid: 199,
  duckdb: 'JSON',
  text: (value) => (typeof value === 'string' ? value : jsonText(value)),
  binary: (value, out) => out.text(json.text(value)),
};

/** Only clients have it: its binary format has a version in front. */
const jsonb: Scalar = {
  ...json,
  oid: 3802,
  arrayOid: 3807,
  fromBinary: (bytes) => (bytes[0] === 1 ? decodeUtf8(bytes.subarray(1)) : undefined),
};

/** One byte; columns of the catalog have it. */
export const char: Scalar = { ...text, oid: 18, arrayOid: 1002, length: 1 };

/** name, unknown, bpchar, varchar: text by other names. */
const textual: readonly (readonly [oid: number, arrayOid: number])[] = [
  [19, 1003],
  [705, 0],
  [1042, 1014],
  [1043, 1015],
];

/** Every scalar type, by which parameters are read. */
export const scalars: readonly Scalar[] = [
  ...[bool, int2, int4, int8, oid, float4, float8, numeric, text, char, bytea, date, time, timetz],
  ...[timestamp, timestamptz, interval, uuid, varbit, json, jsonb],
  ...textual.map(([oid, arrayOid]) => ({ ...text, oid, arrayOid })),
];

/** The type of results by DuckDB's name. Unsigned types go where all their values fit; nanoseconds are cut off. */
export const byDuckdbName: ReadonlyMap<string, Scalar> = new Map([
  ['BOOLEAN', bool],
  ['TINYINT', int2],
  ['UTINYINT', int2],
  ['SMALLINT', int2],
  ['USMALLINT', int4],
  ['INTEGER', int4],
  ['UINTEGER', oid],
  ['BIGINT', int8],
  ['UBIGINT', numeric],
  ['HUGEINT', numeric],
  ['UHUGEINT', numeric],
  ['BIGNUM', numeric],
  ['DECIMAL', numeric],
  ['FLOAT', float4],
  ['DOUBLE', float8],
  ['VARCHAR', text],
  ['JSON', json],
  ['BLOB', bytea],
  ['BIT', varbit],
  ['DATE', date],
  ['TIME', time],
  ['TIME_NS', time],
  ['TIME WITH TIME ZONE', timetz],
  ['TIMESTAMP', timestamp],
  ['TIMESTAMP_S', timestamp],
  ['TIMESTAMP_MS', timestamp],
  ['TIMESTAMP_NS', timestamp],
  ['TIMESTAMP WITH TIME ZONE', timestamptz],
  ['INTERVAL', interval],
  ['UUID', uuid],
  ['STRUCT', json],
  ['MAP', json],
  ['UNION', json],
]);

const floorDivide = (value: bigint, by: bigint): bigint => {
  const rest = value % by;
  return (value - rest) / by - (rest < 0n ? 1n : 0n);
};

type Timestamp =
  | DuckDBTimestampValue
  | DuckDBTimestampTZValue
  | DuckDBTimestampSecondsValue
  | DuckDBTimestampMillisecondsValue
  | DuckDBTimestampNanosecondsValue;

/** Microseconds since 1970; the infinities are DuckDB's in any unit. */
function timestampUs(value: unknown): bigint {
  const timestamp = value as Timestamp;
  if ('micros' in timestamp) return timestamp.micros;
  const [count, toUs]: [bigint, (count: bigint) => bigint] =
    'seconds' in timestamp
      ? [timestamp.seconds, (seconds) => seconds * 1_000_000n]
      : 'millis' in timestamp
        ? [timestamp.millis, (millis) => millis * 1000n]
        : [timestamp.nanos, (nanos) => floorDivide(nanos, 1000n)];
  return count >= int64Max || count <= -int64Max ? count : toUs(count);
}

function timeUs(value: unknown): bigint {
  const time = value as DuckDBTimeValue | { readonly nanos: bigint };
  return 'micros' in time ? time.micros : floorDivide(time.nanos, 1000n);
}
