import { SqlError } from '../sql/errors.ts';
import type { CopyFormat, SqlColumn } from '../sql/sql-session.ts';
import { parameterOidOf, parameterTypeOf } from './types.ts';

// The formats of COPY ... FROM STDIN: bytes, cut anywhere, to rows of texts.
// https://www.postgresql.org/docs/16/sql-copy.html#id-1.9.3.55.9

export type CopiedRow = readonly (string | null)[];

/** Throws SqlError 22P04 for what is not in the format, 22021 for text that is not UTF-8, 54000 for a row that is too long. */
export interface CopyReader {
  /** The rows that are complete. */
  push(bytes: Buffer): readonly CopiedRow[];
  /** The rest. */
  end(): readonly CopiedRow[];
}

/** Of one row. */
const rowBytesMax = 4 * 1024 * 1024;

export function createCopyReader(format: CopyFormat, columns: readonly SqlColumn[]): CopyReader {
  const reader = format.kind === 'binary' ? binaryReader(columns) : textReader(format);
  const checked = (rows: readonly CopiedRow[]): readonly CopiedRow[] => {
    for (const row of rows) {
      if (row.length < columns.length)
        throw bad(`missing data for column "${columns[row.length]?.name ?? ''}"`);
      if (row.length > columns.length) throw bad('extra data after last expected column');
    }
    return rows;
  };
  return { push: (bytes) => checked(reader.push(bytes)), end: () => checked(reader.end()) };
}

const bad = (message: string): SqlError => new SqlError('22P04', message);

type CharacterFormat = Exclude<CopyFormat, { readonly kind: 'binary' }>;

/** Takes the rows that are complete from a text, and says where they end. `isLast`: nothing comes after it. */
type TakeRows = (text: string, isLast: boolean) => { readonly rows: CopiedRow[]; readonly end: number };

function textReader(format: CharacterFormat): CopyReader {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const take = format.kind === 'csv' ? csvRows(format) : textRows(format);
  let waiting = '';
  let header = format.header;
  let ended = false;
  const read = (bytes: Buffer | undefined): readonly CopiedRow[] => {
    if (ended) return [];
    waiting += decoded(decoder, bytes);
    const { rows, end } = take(waiting, bytes === undefined);
    waiting = waiting.slice(end);
    if (waiting.length > rowBytesMax)
      throw new SqlError('54000', `a row has more than ${rowBytesMax} bytes (rowBytesMax)`);
    if (header && rows.length > 0) {
      header = false;
      rows.shift();
    }
    const last = rows.indexOf(endOfData);
    if (last < 0) return rows;
    ended = true;
    return rows.slice(0, last);
  };
  return { push: read, end: () => read(undefined) };
}

function decoded(decoder: InstanceType<typeof TextDecoder>, bytes: Buffer | undefined): string {
  try {
    return bytes ? decoder.decode(bytes, { stream: true }) : decoder.decode();
  } catch (cause) {
    throw new SqlError('22021', 'invalid byte sequence for encoding "UTF8"', { cause });
  }
}

/** A line that is only `\.` ends the data. */
const endOfData: CopiedRow = [];

function textRows({ delimiter, absent }: CharacterFormat): TakeRows {
  const fieldOf = (field: string): string | null => {
    if (field === absent) return null;
    return field.includes('\\') ? unescaped(field) : field;
  };
  const fields = fieldSplitter(delimiter);
  return (text, isLast) => {
    const rows: CopiedRow[] = [];
    let at = 0;
    for (;;) {
      const end = text.indexOf('\n', at);
      if (end < 0 && !(isLast && at < text.length)) return { rows, end: at };
      const line = text.slice(at, end < 0 ? undefined : end).replace(/\r$/, '');
      rows.push(line === '\\.' ? endOfData : fields(line).map(fieldOf));
      at = end < 0 ? text.length : end + 1;
    }
  };
}

/** A delimiter after a backslash is part of the field. */
function fieldSplitter(delimiter: string): (line: string) => string[] {
  return (line) => {
    if (!line.includes('\\')) return line.split(delimiter);
    const fields: string[] = [];
    let start = 0;
    for (let at = 0; at <= line.length; at++) {
      if (line[at] === '\\') at++;
      else if (at === line.length || line[at] === delimiter) {
        fields.push(line.slice(start, at));
        start = at + 1;
      }
    }
    if (start <= line.length && fields.length === 0) fields.push(line);
    return fields;
  };
}

const letters: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** Octal and hexadecimal escapes are bytes, which together may be a character. */
function unescaped(field: string): string {
  return field.replace(/(?:\\(?:[0-7]{1,3}|x[0-9a-fA-F]{1,2}))+|\\([\s\S])/g, (escaped, letter?: string) => {
    if (letter !== undefined) return letters[letter] ?? letter;
    const bytes = (escaped.match(/\\(?:x[0-9a-fA-F]{1,2}|[0-7]{1,3})/g) ?? []).map((each) =>
      each[1] === 'x' ? Number.parseInt(each.slice(2), 16) : Number.parseInt(each.slice(1), 8) & 0xff,
    );
    return decoded(new TextDecoder('utf-8', { fatal: true }), Buffer.from(bytes));
  });
}

type CsvFormat = Extract<CopyFormat, { readonly kind: 'csv' }>;

function csvRows(format: CsvFormat): TakeRows {
  return (text, isLast) => {
    const rows: CopiedRow[] = [];
    let at = 0;
    while (at < text.length) {
      const row = csvRow(text, at, isLast, format);
      if (!row) break;
      rows.push(row.fields.length === 1 && row.fields[0] === '\\.' ? endOfData : row.fields);
      at = row.end;
    }
    return { rows, end: at };
  };
}

/** One row from `start`; undefined when its end has not come yet. Only what is without quotes may be NULL. */
function csvRow(
  text: string,
  start: number,
  isLast: boolean,
  { delimiter, quote, escape: escapeBy, absent }: CsvFormat,
): { readonly fields: CopiedRow; readonly end: number } | undefined {
  const fields: (string | null)[] = [];
  let field = '';
  let quoted = false;
  const finish = (): void => {
    fields.push(!quoted && field === absent ? null : field);
    field = '';
    quoted = false;
  };
  for (let at = start; at < text.length; at++) {
    const character = text[at] as string;
    if (character === quote) {
      quoted = true;
      const read = quotedText(text, at + 1, quote, escapeBy);
      if (!read && isLast) throw bad('unterminated CSV quoted field');
      // What may be doubled, or escape the next one, has to be seen with what follows.
      if (!read || (read.end >= text.length && !isLast)) return undefined;
      field += read.text;
      at = read.end - 1;
    } else if (character === delimiter) finish();
    else if (character === '\n' || character === '\r') {
      if (character === '\r' && at + 1 >= text.length && !isLast) return undefined;
      finish();
      return { fields, end: character === '\r' && text[at + 1] === '\n' ? at + 2 : at + 1 };
    } else field += character;
  }
  if (!isLast) return undefined;
  finish();
  return { fields, end: text.length };
}

/** The text up to the closing quote, and where it ends; undefined when there is none. */
function quotedText(
  text: string,
  from: number,
  quote: string,
  escapeBy: string,
): { readonly text: string; readonly end: number } | undefined {
  let value = '';
  for (let at = from; at < text.length; at++) {
    const next = text[at + 1];
    if (text[at] === escapeBy && (next === quote || next === escapeBy)) {
      value += next;
      at++;
    } else if (text[at] === quote) return { text: value, end: at + 1 };
    else value += text[at];
  }
  return undefined;
}

const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');

function binaryReader(columns: readonly SqlColumn[]): CopyReader {
  const types = columns.map(({ name, type }) => {
    const found = parameterTypeOf(parameterOidOf(type));
    if (found) return found;
    throw new SqlError('0A000', `column "${name}" of type ${type} can't be copied in binary format`, {
      hint: 'use text or CSV',
    });
  });
  let waiting: Buffer = Buffer.alloc(0);
  let begun = false;
  let ended = false;
  const begin = (): boolean => {
    if (waiting.length < signature.length + 8) return false;
    if (!waiting.subarray(0, signature.length).equals(signature))
      throw bad('COPY file signature not recognized');
    const extension = waiting.readInt32BE(signature.length + 4);
    if (extension < 0 || extension > rowBytesMax) throw bad('invalid COPY file header (wrong length)');
    if (waiting.length < signature.length + 8 + extension) return false;
    waiting = waiting.subarray(signature.length + 8 + extension);
    return true;
  };
  const push = (bytes: Buffer): readonly CopiedRow[] => {
    waiting = waiting.length === 0 ? bytes : Buffer.concat([waiting, bytes]);
    begun ||= begin();
    const rows: CopiedRow[] = [];
    while (begun && !ended) {
      if (waiting.length >= 2 && waiting.readInt16BE(0) === -1) ended = true;
      const row = ended ? undefined : binaryRow(waiting, types);
      if (!row) break;
      rows.push(row.fields);
      waiting = waiting.subarray(row.end);
    }
    if (!ended && waiting.length > rowBytesMax)
      throw new SqlError('54000', `a row has more than ${rowBytesMax} bytes (rowBytesMax)`);
    return rows;
  };
  return {
    push,
    end: () => {
      if (!ended && (waiting.length > 0 || !begun)) throw bad('unexpected EOF in COPY data');
      return [];
    },
  };
}

function binaryRow(
  bytes: Buffer,
  types: readonly { fromBinary(bytes: Buffer): string | undefined }[],
): { readonly fields: CopiedRow; readonly end: number } | undefined {
  if (bytes.length < 2) return undefined;
  const count = bytes.readInt16BE(0);
  if (count !== types.length) throw bad(`row field count is ${count}, expected ${types.length}`);
  let at = 2;
  const fields: (string | null)[] = [];
  for (const type of types) {
    if (at + 4 > bytes.length) return undefined;
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length < -1 || length > rowBytesMax) throw bad('invalid field size');
    if (length === -1) {
      fields.push(null);
      continue;
    }
    if (at + length > bytes.length) return undefined;
    const text = type.fromBinary(bytes.subarray(at, at + length));
    if (text === undefined) throw new SqlError('22P03', 'incorrect binary data format');
    fields.push(text);
    at += length;
  }
  return { fields, end: at };
}
