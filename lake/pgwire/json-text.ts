import type {
  DuckDBDecimalValue,
  DuckDBListValue,
  DuckDBMapValue,
  DuckDBStructValue,
  DuckDBTimestampTZValue,
  DuckDBUnionValue,
} from '@duckdb/node-api';
import { decimalText, timestampText } from './value-text.ts';

/**
 * JSON of structs, maps and unions, which PostgreSQL has no type for. Numbers keep all their digits; what JSON has no
 * number for (NaN, Infinity) and every other type is a string. Values are told apart by their class's name: importing
 * the classes would load DuckDB's binary, which some platforms don't have.
 */
export function jsonText(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'string' || typeof value === 'boolean') return JSON.stringify(value);
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : `"${value}"`;
  switch (value.constructor.name) {
    case 'DuckDBListValue':
    case 'DuckDBArrayValue':
      return `[${(value as DuckDBListValue).items.map(jsonText).join(',')}]`;
    case 'DuckDBStructValue':
      return object(Object.entries((value as DuckDBStructValue).entries));
    case 'DuckDBMapValue':
      return object((value as DuckDBMapValue).entries.map((entry) => [keyText(entry.key), entry.value]));
    case 'DuckDBUnionValue':
      return jsonText((value as DuckDBUnionValue).value);
    case 'DuckDBDecimalValue': {
      const decimal = value as DuckDBDecimalValue;
      return decimalText(decimal.value, decimal.scale);
    }
    // Its own toString prints in the machine's time zone.
    case 'DuckDBTimestampTZValue':
      return JSON.stringify(timestampText((value as DuckDBTimestampTZValue).micros, '+00'));
    default:
      return JSON.stringify(String(value));
  }
}

function keyText(key: unknown): string {
  return typeof key === 'string' ? key : jsonText(key).replaceAll(/^"|"$/g, '');
}

function object(entries: readonly (readonly [string, unknown])[]): string {
  return `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${jsonText(value)}`).join(',')}}`;
}
