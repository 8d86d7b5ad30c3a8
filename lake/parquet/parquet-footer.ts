import types from 'parquetjs-lite/gen-nodejs/parquet_types.js';
import util from 'parquetjs-lite/lib/util.js';

// The end of a Parquet file: footer, its length in 4 bytes, `PAR1` (parquet.apache.org/docs/file-format). For those who
// want to know what a file says of itself without reading its rows.

/** Bytes that follow the footer. */
export const footerTailBytes = 8;

/** How long the footer is, from the last bytes of the file; undefined when this is no Parquet file. */
export function footerLength(tail: Uint8Array): number | undefined {
  const end = Buffer.from(tail.buffer, tail.byteOffset, tail.byteLength).subarray(-footerTailBytes);
  if (end.byteLength < footerTailBytes || end.toString('latin1', 4) !== 'PAR1') return undefined;
  return end.readUInt32LE(0);
}

/**
 * The smallest and the largest value that the row groups state for a text column; undefined when one of them states
 * none. Throws what the decoder throws when the bytes are not a footer.
 */
export function textBounds(
  footer: Uint8Array,
  column: string,
): { readonly min: string; readonly max: string } | undefined {
  const metadata = new types.FileMetaData();
  util.decodeThrift(metadata, Buffer.from(footer));
  const found: string[] = [];
  for (const { columns } of metadata.row_groups) {
    const chunk = columns.find((each) => each.meta_data?.path_in_schema.map(text).join('.') === column);
    const statistics = chunk?.meta_data?.statistics;
    if (statistics?.min_value == null || statistics.max_value == null) return undefined;
    found.push(text(statistics.min_value), text(statistics.max_value));
  }
  const [min, max] = [found.toSorted()[0], found.toSorted().at(-1)];
  return min === undefined || max === undefined ? undefined : { min, max };
}

/** A column that a file has. `type` is Iceberg's name; undefined for one that no table of Firn can hold. */
export interface FooterColumn {
  readonly name: string;
  readonly fieldId: number | undefined;
  readonly type: 'int' | 'long' | 'float' | 'double' | 'string' | 'timestamptz' | undefined;
}

// Of the format's Type and ConvertedType.
const physical = { INT32: 1, INT64: 2, FLOAT: 4, DOUBLE: 5, BYTE_ARRAY: 6 } as const;
const utf8 = 0;
const timestampMicros = 10;
const signedIntegers = [undefined, null, 15, 16, 17, 18];

/** The columns that are not within others. Throws what the decoder throws when the bytes are not a footer. */
export function footerColumns(footer: Uint8Array): readonly FooterColumn[] {
  const metadata = new types.FileMetaData();
  util.decodeThrift(metadata, Buffer.from(footer));
  const found: FooterColumn[] = [];
  // The first is the row itself; a group is followed by what is within it.
  let within = 0;
  for (const element of (metadata.schema ?? []).slice(1)) {
    const children = element.num_children ?? 0;
    if (within === 0)
      found.push({
        name: text(element.name),
        fieldId: element.field_id ?? undefined,
        type: children > 0 ? undefined : typeOf(element.type, element.converted_type),
      });
    within = Math.max(0, within - 1) + children;
  }
  return found;
}

function typeOf(type: number | null, converted: number | null): FooterColumn['type'] {
  const integer = signedIntegers.includes(converted);
  switch (type) {
    case physical.INT32:
      return integer ? 'int' : undefined;
    case physical.INT64:
      return integer ? 'long' : converted === timestampMicros ? 'timestamptz' : undefined;
    case physical.FLOAT:
      return 'float';
    case physical.DOUBLE:
      return 'double';
    case physical.BYTE_ARRAY:
      return converted === null || converted === undefined || converted === utf8 ? 'string' : undefined;
    default:
      return undefined;
  }
}

const text = (value: string | Uint8Array): string =>
  typeof value === 'string' ? value : Buffer.from(value).toString();
