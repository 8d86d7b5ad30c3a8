import { SqlError } from '../sql/errors.ts';
import type { CopyFormat } from '../sql/sql-session.ts';
import type { ByteWriter } from './byte-writer.ts';
import type { ResultColumn } from './messages.ts';

// The messages of COPY ... TO STDOUT, one CopyData for each row.
// https://www.postgresql.org/docs/16/sql-copy.html#id-1.9.3.55.9 (file formats)

/** Rows of one COPY in its format. */
export interface CopyWriter {
  /** CopyOutResponse, and what stands before the first row. */
  begin(): void;
  row(values: readonly unknown[]): void;
  /** What stands after the last row, and CopyDone. */
  end(): void;
}

export function createCopyWriter(
  out: ByteWriter,
  columns: readonly ResultColumn[],
  format: CopyFormat,
): CopyWriter {
  const binary = format.kind === 'binary';
  // PostgreSQL sends it in the message of the first row, and clients expect it there.
  let signature = binary;
  const beginBinary = (): void => {
    out.begin('d');
    if (signature) out.bytes(signatureBytes);
    signature = false;
  };
  const line = (fields: readonly string[]): void => {
    out.begin('d');
    out.text(`${fields.join(format.kind === 'binary' ? '' : format.delimiter)}\n`);
    out.end();
  };
  const field = binary ? undefined : fieldPrinter(columns, format);
  return {
    begin: () => {
      out.begin('H');
      out.uint8(binary ? 1 : 0);
      out.int16(columns.length);
      for (const _ of columns) out.int16(binary ? 1 : 0);
      out.end();
      if (format.kind !== 'binary' && format.header)
        line(columns.map(({ name }, index) => field?.(name, index, false) ?? ''));
    },
    row: (values) => {
      if (field) {
        line(
          columns.map(({ type }, index) => {
            const value = values[index];
            return value === null || value === undefined
              ? field(null, index)
              : field(type.text(value), index);
          }),
        );
      } else {
        const before = out.length;
        try {
          beginBinary();
          writeFields(out, columns, values);
          out.end();
        } catch (error) {
          out.truncate(before);
          throw error;
        }
      }
    },
    end: () => {
      if (binary) {
        beginBinary();
        out.int16(-1);
        out.end();
      }
      out.begin('c');
      out.end();
    },
  };
}

/** The file's signature, its flags and the length of its header's extension. */
const signatureBytes = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);

function writeFields(out: ByteWriter, columns: readonly ResultColumn[], values: readonly unknown[]): void {
  out.int16(columns.length);
  columns.forEach(({ type }, index) => {
    const value = values[index];
    if (value === null || value === undefined) {
      out.int32(-1);
      return;
    }
    const at = out.beginValue();
    type.binary(value, out);
    out.endValue(at);
  });
}

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
    const escaped = [...text].map((each) => (each === quote || each === escapeBy ? escapeBy + each : each));
    return quote + escaped.join('') + quote;
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
