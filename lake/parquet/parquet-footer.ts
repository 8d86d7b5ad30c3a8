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

const text = (value: string | Uint8Array): string =>
  typeof value === 'string' ? value : Buffer.from(value).toString();
