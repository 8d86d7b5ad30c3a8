import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createByteWriter } from '../sql/cells/byte-writer.ts';
import { chunkOfRows } from '../sql/row-chunk.ts';
import type { CopyFormat } from '../sql/sql-session.ts';
import { createFrameReader } from './codec.ts';
import { createCopyWriter } from './copy-out.ts';
import { type CopiedRow, createCopyReader } from './copy-rows.ts';
import { columnsOf } from './portal.ts';

const columns = [
  { name: 'a', type: 'VARCHAR' },
  { name: 'b', type: 'VARCHAR' },
];
const text: CopyFormat = { kind: 'text', delimiter: '\t', header: false, absent: '\\N' };
const csv: CopyFormat = {
  ...{ kind: 'csv', delimiter: ',', header: false, absent: '', quote: '"', escape: '"', forced: [] },
};

function read(format: CopyFormat, pieces: readonly Buffer[]): CopiedRow[] {
  const reader = createCopyReader(format, columns);
  return [...pieces.flatMap((piece) => [...reader.push(piece)]), ...reader.end()];
}

/** What COPY TO STDOUT gives of the rows. */
function written(format: CopyFormat, rows: readonly CopiedRow[]): Buffer {
  const out = createByteWriter();
  const writer = createCopyWriter(out, columnsOf(columns, []), format);
  writer.begin();
  writer.rows(chunkOfRows(rows), { start: 0, end: rows.length, bytesMax: 1e9 });
  writer.end();
  const frames = createFrameReader(1 << 24);
  frames.push(out.take());
  const data: Buffer[] = [];
  // CopyOutResponse is a message of the server's, which the reader of clients' messages knows as Flush.
  for (let frame = frames.next('session'); frame; frame = frames.next('session'))
    if (frame.type === 'd') data.push(frame.body);
  return Buffer.concat(data);
}

const field = fc.option(
  fc.oneof(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.stringMatching(/^[\\",\t\r\nN.äx01]{0,8}$/)),
  { nil: null },
);
const table = fc.array(fc.tuple(field, field), { maxLength: 8 });

test.each<[string, CopyFormat]>([
  ['text', text],
  ['text with another delimiter', { ...text, delimiter: '|' }],
  ['CSV', csv],
  ['CSV with a backslash as escape', { ...csv, escape: '\\', delimiter: ';' }],
  ['binary', { kind: 'binary' }],
])('%s: what COPY gives can be copied back, wherever the pieces are cut', (_, format) => {
  fc.assert(
    fc.property(table, fc.array(fc.nat(60), { maxLength: 4 }), (rows, cuts) => {
      const storable = rows.map((row) => row.map((each) => each?.replaceAll('\0', '') ?? null));
      const bytes = written(format, storable);
      const places = [
        0,
        ...cuts.map((cut) => Math.min(cut, bytes.length)).toSorted((a, b) => a - b),
        bytes.length,
      ];
      const pieces = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
      expect(read(format, pieces)).toEqual(storable);
    }),
    { numRuns: 300 },
  );
});

test.each<[string, CopyFormat, string, CopiedRow[]]>([
  [
    'escapes',
    text,
    'a\\tb\t\\N\n\\x41\\103\\303\\244\t\\\\\n',
    [
      ['a\tb', null],
      ['ACä', '\\'],
    ],
  ],
  ['an end of data', text, 'a\tb\n\\.\nignored\n', [['a', 'b']]],
  ['a last line without its end', text, 'a\tb', [['a', 'b']]],
  [
    'lines of Windows',
    text,
    'a\tb\r\nc\td\r\n',
    [
      ['a', 'b'],
      ['c', 'd'],
    ],
  ],
  ['a header', { ...csv, header: true }, 'x,y\n1,2\n', [['1', '2']]],
  ['NULL and the empty text', csv, ',""\r\n', [[null, '']]],
  ['lines in quotes', csv, '"a\nb","c""d"\n', [['a\nb', 'c"d']]],
])('reads %s', (_, format, given, rows) => {
  expect(read(format, [Buffer.from(given)])).toEqual(rows);
});

test.each<[string, CopyFormat, Buffer, string]>([
  ['missing data', text, Buffer.from('a\n'), '22P04'],
  ['extra data', text, Buffer.from('a\tb\tc\n'), '22P04'],
  ['a quote that does not end', csv, Buffer.from('"a,b\n'), '22P04'],
  ['bytes that are no text', text, Buffer.from([0xff, 0x09, 0x0a]), '22021'],
  ['a file that is not binary', { kind: 'binary' }, Buffer.from('a,b\nc,d\na,b\nc,d\na,b\nc,d\n'), '22P04'],
  ['a row without an end', text, Buffer.alloc(5 * 1024 * 1024, 'a'), '54000'],
])('%s is refused', (_, format, bytes, sqlstate) => {
  expect(() => read(format, [bytes])).toThrow(expect.objectContaining({ sqlstate }));
});
