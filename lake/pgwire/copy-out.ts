import type { DuckDBValue } from '@duckdb/node-api';
import { type ByteWriter, createByteWriter } from '../sql/cells/byte-writer.ts';
import { type Escapes, escapedTexts } from '../sql/cells/escaped-texts.ts';
import { type Field, textField, valuesField } from '../sql/cells/fields.ts';
import { createRowsWriter, type RowFrame, type RowRange, separatedRows } from '../sql/cells/rows.ts';
import { SqlError } from '../sql/errors.ts';
import type { RowChunk } from '../sql/row-chunk.ts';
import type { CopyFormat } from '../sql/sql-session.ts';
import { beginMessage, fieldOf, messageHeadBytes, pgTextStyle, tupleFrame } from './cells.ts';
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
    rows: body.rows,
    end: () => {
      body.end();
      out.begin('c');
      out.end();
    },
  };
}

/** What the formats differ in. */
interface CopyBody extends Pick<CopyWriter, 'rows'> {
  begin(): void;
  end(): void;
}

function binaryBody(out: ByteWriter, columns: readonly ResultColumn[]): CopyBody {
  const binary = columns.map((column) => ({ ...column, format: 1 as const }));
  const frame = tupleFrame('d', columns.length);
  // PostgreSQL sends the signature in the message of the first row, and clients expect it there.
  let signed = false;
  const sign = (tuple: Uint8Array): void => {
    out.begin('d');
    out.bytes(signatureBytes);
    out.bytes(tuple);
    out.end();
    signed = true;
  };
  return {
    begin: () => undefined,
    rows: (chunk, { start, ...range }) => {
      const fields = binary.map((column, index) => fieldOf(chunk, index, column));
      if (signed || start === range.end) return createRowsWriter(out, fields, frame)({ start, ...range });
      const first = createByteWriter();
      createRowsWriter(first, fields, frame)({ ...range, start, end: start + 1 });
      sign(first.take().subarray(messageHeadBytes));
      return createRowsWriter(out, fields, frame)({ start: start + 1, ...range });
    },
    end: () => {
      const end = createByteWriter();
      end.int16(-1);
      if (!signed) return sign(end.take());
      out.begin('d');
      out.bytes(end.take());
      out.end();
    },
  };
}

type TextFormat = Exclude<CopyFormat, { readonly kind: 'binary' }>;

function textBody(out: ByteWriter, columns: readonly ResultColumn[], format: TextFormat): CopyBody {
  const field = fieldPrinter(columns, format);
  const around = { begin: '', end: '\n', absent: format.absent };
  const frame = inMessages(separatedRows(columns.length, format.delimiter.charCodeAt(0), around));
  const style = { ...pgTextStyle, texts: escapedTexts(escapesOf(columns, format)) };
  const forced = format.kind === 'csv' ? format.forced : [];
  const isDirect = (name: string): boolean => isUsual(format) && forced !== 'all' && !forced.includes(name);
  const fieldFor = (chunk: RowChunk, { name, type }: ResultColumn, index: number): Field => {
    const print = (value: DuckDBValue): string => field(type.text(value), index);
    return isDirect(name)
      ? textField(chunk, index, style, print)
      : valuesField(chunk, index, (value, scratch) => scratch.text(print(value)));
  };
  return {
    rows: (chunk, range) => {
      const fields = columns.map((column, index) => fieldFor(chunk, column, index));
      return createRowsWriter(out, fields, frame)(range);
    },
    begin: () => {
      if (!format.header) return;
      out.begin('d');
      out.text(`${columns.map(({ name }, index) => field(name, index, false)).join(format.delimiter)}\n`);
      out.end();
    },
    end: () => undefined,
  };
}

/** Each row in a message of its own. */
const inMessages = (rows: RowFrame): RowFrame => ({
  ...rows,
  bytes: messageHeadBytes + rows.bytes,
  begin: ({ bytes }, places, sizes, count) => {
    const code = 'd'.charCodeAt(0);
    for (let row = 0; row < count; row++)
      places[row] = beginMessage(bytes, places[row] as number, code, sizes[row] as number);
  },
});

/** Whether no number or time can be taken for what stands for NULL, or has a character that is special. */
function isUsual(format: TextFormat): boolean {
  const special = format.kind === 'csv' ? format.delimiter + format.quote + format.escape : format.delimiter;
  return !/[\w+.: -]/.test(special) && /^(\\N|null|)$/i.test(format.absent);
}

function escapesOf(columns: readonly ResultColumn[], format: TextFormat): Escapes {
  const { delimiter } = format;
  const codeOf = (character: string): number => character.charCodeAt(0);
  if (format.kind === 'text') {
    const escaped = [
      ...Object.entries(letters),
      [delimiter, letters[delimiter] ?? `\\${delimiter}`] as const,
    ];
    return { replaced: new Map(escaped.map(([letter, text]) => [codeOf(letter), text])) };
  }
  const { quote, escape: escapeBy, absent } = format;
  return {
    replaced: new Map([quote, escapeBy].map((each) => [codeOf(each), escapeBy + each])),
    quote: codeOf(quote),
    // A line that is only a backslash and a dot would end the data for older clients.
    quotedFor: {
      bytes: `${delimiter}${quote}\r\n`,
      texts: columns.length === 1 ? [absent, '\\.'] : [absent],
    },
  };
}

/** The file's signature, its flags and the length of its header's extension. */
const signatureBytes = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);

type FieldPrinter = (text: string, index: number, mayForce?: boolean) => string;

function fieldPrinter(columns: readonly ResultColumn[], format: TextFormat): FieldPrinter {
  const { absent, delimiter } = format;
  if (format.kind === 'text') {
    return (text) => escapeText(text, delimiter);
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
