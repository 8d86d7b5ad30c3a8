import { SqlError } from '../sql/errors.ts';
import type { RowChunk } from '../sql/row-chunk.ts';
import type { CopyFormat } from '../sql/sql-session.ts';
import type { ByteWriter } from './byte-writer.ts';
import { cellOf, fieldWriter, type RowRange, textCell } from './cells.ts';
import type { ResultColumn } from './messages.ts';

// The messages of COPY ... TO STDOUT, one CopyData for each row.
// https://www.postgresql.org/docs/16/sql-copy.html#id-1.9.3.55.9 (file formats)

/** Rows of one COPY in its format. */
export interface CopyWriter {
  /** CopyOutResponse, and what stands before the first row. */
  begin(): void;
  /** Writes rows until there are enough bytes; returns the row after them. */
  rows(chunk: RowChunk, range: RowRange): number;
  /** What stands after the last row, and CopyDone. */
  end(): void;
}

export function createCopyWriter(
  out: ByteWriter,
  columns: readonly ResultColumn[],
  format: CopyFormat,
): CopyWriter {
  const body = format.kind === 'binary' ? binaryBody(out, columns) : textBody(out, columns, format);
  const code = format.kind === 'binary' ? 1 : 0;
  return {
    begin: () => {
      out.begin('H');
      out.uint8(code);
      out.int16(columns.length);
      for (const _ of columns) out.int16(code);
      out.end();
      body.begin();
    },
    rows: (chunk, { start, end, bytesMax }) => {
      const write = body.writeRow(chunk);
      let row = start;
      for (; row < end && out.length < bytesMax; row++) {
        const before = out.length;
        try {
          out.begin('d');
          write(row);
          out.end();
        } catch (error) {
          out.setLength(before);
          throw error;
        }
      }
      return row;
    },
    end: () => {
      body.end();
      out.begin('c');
      out.end();
    },
  };
}

/** What the formats differ in. */
interface CopyBody {
  begin(): void;
  /** Writes a row of the chunk into its message. */
  writeRow(chunk: RowChunk): (row: number) => void;
  end(): void;
}

function binaryBody(out: ByteWriter, columns: readonly ResultColumn[]): CopyBody {
  // PostgreSQL sends it in the message of the first row, and clients expect it there.
  let signed = false;
  const sign = (): void => {
    if (!signed) out.bytes(signatureBytes);
  };
  const binary = columns.map((column) => ({ ...column, format: 1 as const }));
  return {
    begin: () => undefined,
    writeRow: (chunk) => {
      const fields = fieldWriter(binary.map((column, index) => cellOf(chunk, index, column)));
      return (row) => {
        const room = fields.roomOf(row);
        sign();
        signed = true;
        const at = out.length;
        out.setLength(fields.put(out.reserve(room), at, row));
      };
    },
    end: () => {
      out.begin('d');
      sign();
      out.int16(-1);
      out.end();
    },
  };
}

function textBody(
  out: ByteWriter,
  columns: readonly ResultColumn[],
  format: Exclude<CopyFormat, { readonly kind: 'binary' }>,
): CopyBody {
  const field = fieldPrinter(columns, format);
  const plain = plainTest(format);
  const delimiter = format.delimiter.charCodeAt(0);
  const writerOf = (chunk: RowChunk, { type }: ResultColumn, index: number): ((row: number) => void) => {
    const print = (row: number): void => {
      const value = chunk.value(index, row);
      out.text(field(value === null || value === undefined ? null : type.text(value), index));
    };
    const cell = plain && textCell(chunk.column(index));
    if (!cell) return print;
    return (row) => {
      const room = cell.roomOf(row);
      if (room < 0) return print(row);
      const bytes = out.reserve(room);
      const at = out.length;
      const end = cell.put(bytes, at, row);
      if (plain(bytes, at, end)) out.setLength(end);
      else print(row);
    };
  };
  return {
    begin: () => {
      if (!format.header) return;
      out.begin('d');
      out.text(`${columns.map(({ name }, index) => field(name, index, false)).join(format.delimiter)}\n`);
      out.end();
    },
    writeRow: (chunk) => {
      const cells = columns.map((column, index) => writerOf(chunk, column, index));
      return (row) => {
        cells.forEach((write, index) => {
          if (index > 0) out.uint8(delimiter);
          write(row);
        });
        out.uint8(0x0a);
      };
    },
    end: () => undefined,
  };
}

/** Tells whether a field stands for itself; undefined where none may, because its column is forced to have quotes. */
function plainTest(
  format: Exclude<CopyFormat, { readonly kind: 'binary' }>,
): ((bytes: Uint8Array, start: number, end: number) => boolean) | undefined {
  if (format.kind === 'csv' && (format.forced === 'all' || format.forced.length > 0)) return undefined;
  const special = format.kind === 'csv' ? `${format.quote}${format.escape}\\` : '\\';
  const isPlain = new Uint8Array(256).fill(1, 0x20);
  for (const byte of Buffer.from(format.delimiter + special)) isPlain[byte] = 0;
  // A text that looks like NULL is judged with all care.
  const absentBytes = format.kind === 'csv' ? Buffer.byteLength(format.absent) : -1;
  return (bytes, start, end) => {
    if (end - start === absentBytes) return false;
    for (let at = start; at < end; at++) if (isPlain[bytes[at] as number] === 0) return false;
    return true;
  };
}

/** The file's signature, its flags and the length of its header's extension. */
const signatureBytes = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);

type FieldPrinter = (text: string | null, index: number, mayForce?: boolean) => string;

function fieldPrinter(
  columns: readonly ResultColumn[],
  format: Exclude<CopyFormat, { readonly kind: 'binary' }>,
): FieldPrinter {
  const { absent, delimiter } = format;
  if (format.kind === 'text') {
    return (text) => (text === null ? absent : escapeText(text, delimiter));
  }
  const { quote, escape: escapeBy, forced } = format;
  const toEscape = new RegExp(
    `[${[quote, escapeBy].map((each) => `\\x${each.charCodeAt(0).toString(16).padStart(2, '0')}`).join('')}]`,
    'g',
  );
  const names = columns.map(({ name }) => name);
  for (const name of forced === 'all' ? [] : forced) {
    if (!names.includes(name)) throw new SqlError('42703', `column "${name}" does not exist`);
  }
  const special = (text: string): boolean =>
    text === absent ||
    text.includes(delimiter) ||
    text.includes(quote) ||
    /[\r\n]/.test(text) ||
    // A line that is only this would end the data for older clients.
    (text === '\\.' && names.length === 1);
  return (text, index, mayForce = true) => {
    if (text === null) return absent;
    const isForced = mayForce && (forced === 'all' || forced.includes(names[index] ?? ''));
    if (!isForced && !special(text)) return text;
    return quote + text.replace(toEscape, `${escapeBy.replace('$', '$$')}$&`) + quote;
  };
}

const letters: Readonly<Record<string, string>> = {
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
};

function escapeText(text: string, delimiter: string): string {
  const escaped = text.replaceAll(/[\b\f\n\r\t\v\\]/g, (letter) => letters[letter] ?? letter);
  return delimiter === '\t' ? escaped : escaped.replaceAll(delimiter, `\\${delimiter}`);
}
