/**
 * Texts of many rows as UTF-8, one after another, as the WAL and Parquet have them: a text that is only passed on never
 * becomes a string.
 */
export interface TextColumn {
  readonly kind: 'utf8';
  /** Rows. */
  readonly length: number;
  /** Byte length of each row's text; -1: null. */
  readonly lengths: Int32Array;
  /** The texts and nothing else, each of them valid UTF-8. */
  readonly bytes: Uint8Array;
}

/** A text column of a batch: strings where rows are few, bytes where they are many. */
export type Texts<T extends string | null = string | null> = readonly T[] | TextColumn;

export const isTextColumn = (column: object): column is TextColumn =>
  (column as Partial<TextColumn>).kind === 'utf8';

/** The texts as strings; a column that is absent has none. */
export function textsOf<T extends string | null>(column: Texts<T> | undefined): readonly T[] {
  return column !== undefined && isTextColumn(column) ? (stringsOf(column) as readonly T[]) : (column ?? []);
}

function stringsOf(column: TextColumn): readonly (string | null)[] {
  const { lengths } = column;
  const bytes = Buffer.from(column.bytes.buffer, column.bytes.byteOffset, column.bytes.byteLength);
  // Decoded together where all of them are ASCII: a call for each costs more than its bytes.
  const together = bytes.toString();
  const isAscii = together.length === bytes.byteLength;
  const texts: (string | null)[] = [];
  let start = 0;
  for (const length of lengths) {
    const end = start + Math.max(0, length);
    texts.push(length < 0 ? null : isAscii ? together.slice(start, end) : bytes.toString('utf8', start, end));
    start = end;
  }
  return texts;
}

/** Where each row's text begins in `bytes`, and at last where they end. */
export function textOffsets({ lengths }: TextColumn): Uint32Array {
  const offsets = new Uint32Array(lengths.length + 1);
  let end = 0;
  for (let row = 0; row < lengths.length; row++) {
    offsets[row] = end;
    end += Math.max(0, lengths[row] ?? 0);
  }
  offsets[lengths.length] = end;
  return offsets;
}
