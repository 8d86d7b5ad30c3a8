import type { DuckDBTimestampTZValue, DuckDBValue } from '@duckdb/node-api';
import { MessageHeader, MetadataVersion } from 'apache-arrow/enum';
import { BufferRegion, FieldNode, Message, RecordBatch } from 'apache-arrow/ipc/metadata/message';
import { type Bytes, bytesOf, copyBytes } from '../../sql/duckdb/bytes.ts';
import { isValid, type TextColumn, type Validity } from '../../sql/duckdb/vectors.ts';
import type { RowChunk } from '../../sql/row-chunk.ts';
import type { SqlColumn } from '../../sql/sql-session.ts';
import { textOf } from './text.ts';

// Record batches of Arrow's IPC format, written straight from DuckDB's memory: the layouts agree but for booleans, which
// Arrow has as bits, and texts, which it has one behind the other.
// https://arrow.apache.org/docs/format/Columnar.html#recordbatch-message

/** What Arrow's layout of a column is: values of so many bytes each, bits, or texts. */
export type ArrowLayout =
  | { readonly kind: 'fixed'; readonly items: FixedArray }
  | { readonly kind: 'bits' }
  | { readonly kind: 'texts' };

type FixedArray =
  | typeof Int8Array
  | typeof Int16Array
  | typeof Int32Array
  | typeof BigInt64Array
  | typeof Float32Array
  | typeof Float64Array;

/** Bodies and the buffers in them begin at multiples of so many bytes. */
const alignment = 8;
const aligned = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;

/** A column of one chunk. */
interface Part {
  readonly rows: number;
  readonly valid: Validity;
  readonly values: ArrayBufferView | TextColumn;
}

/** A buffer of the body, which is written when its place is known. */
interface Region {
  readonly bytes: number;
  put(target: Bytes, at: number): void;
}

/**
 * The rows of some chunks as one message with its body. Chunks are whole ones, whose memory begins with their first row.
 */
export function recordBatch(
  chunks: readonly RowChunk[],
  columns: readonly SqlColumn[],
  layoutOf: (type: string) => ArrowLayout,
): Uint8Array {
  const rows = chunks.reduce((sum, { end }) => sum + end, 0);
  const nodes: FieldNode[] = [];
  const regions: Region[] = [];
  columns.forEach(({ type }, index) => {
    const layout = layoutOf(type);
    const parts = chunks.map((chunk) => partOf(chunk, index, type, layout));
    const nullCount = parts.reduce((sum, part) => sum + countNulls(part), 0);
    nodes.push(new FieldNode(rows, nullCount));
    regions.push(
      nullCount === 0
        ? nothing
        : bitsRegion(
            parts,
            rows,
            ({ valid }) =>
              (row) =>
                isValid(valid, row),
          ),
    );
    regions.push(...valueRegions(layout, parts, rows));
  });
  return messageOf(rows, nodes, regions);
}

const nothing: Region = { bytes: 0, put: () => undefined };

function messageOf(rows: number, nodes: FieldNode[], regions: readonly Region[]): Uint8Array {
  let bodyBytes = 0;
  const buffers = regions.map(({ bytes }) => {
    const region = new BufferRegion(bodyBytes, bytes);
    bodyBytes += aligned(bytes);
    return region;
  });
  const header = new RecordBatch(rows, nodes, buffers, null);
  const head = Message.encode(new Message(bodyBytes, MetadataVersion.V5, MessageHeader.RecordBatch, header));
  // Continuation marker, length of the head with its padding, the head, the body.
  const bodyAt = aligned(8 + head.length);
  const message = bytesOf(Buffer.allocUnsafeSlow(bodyAt + bodyBytes));
  message.view.setInt32(0, -1, true);
  message.view.setInt32(4, bodyAt - 8, true);
  message.bytes.set(head, 8);
  message.bytes.fill(0, 8 + head.length, bodyAt);
  regions.forEach(({ bytes, put }, index) => {
    const at = bodyAt + (buffers[index]?.offset ?? 0);
    put(message, at);
    message.bytes.fill(0, at + bytes, at + aligned(bytes));
  });
  return message.bytes;
}

function valueRegions(layout: ArrowLayout, parts: readonly Part[], rows: number): Region[] {
  switch (layout.kind) {
    case 'bits':
      return [
        bitsRegion(
          parts,
          rows,
          ({ values }) =>
            (row) =>
              (values as Uint8Array)[row] !== 0,
        ),
      ];
    case 'fixed': {
      const views = parts.map(({ values }) => values as ArrayBufferView);
      return [
        {
          bytes: rows * layout.items.BYTES_PER_ELEMENT,
          put: ({ bytes }, at) => {
            for (const { buffer, byteOffset, byteLength } of views) {
              bytes.set(new Uint8Array(buffer, byteOffset, byteLength), at);
              at += byteLength;
            }
          },
        },
      ];
    }
    case 'texts':
      return textRegions(parts as readonly (Part & { readonly values: TextColumn })[], rows);
  }
}

/** A bit for each row, the lowest first. */
function bitsRegion(
  parts: readonly Part[],
  rows: number,
  testOf: (part: Part) => (row: number) => boolean,
): Region {
  const size = Math.ceil(rows / 8);
  return {
    bytes: size,
    put: ({ bytes }, at) => {
      bytes.fill(0, at, at + size);
      let bit = 0;
      for (const part of parts) {
        const test = testOf(part);
        for (let row = 0; row < part.rows; row++, bit++)
          if (test(row)) bytes[at + (bit >> 3)] = (bytes[at + (bit >> 3)] as number) | (1 << (bit & 7));
      }
    },
  };
}

function countNulls({ valid, rows }: Part): number {
  if (valid === undefined) return 0;
  let nulls = 0;
  for (let row = 0; row < rows; row++) if (!isValid(valid, row)) nulls++;
  return nulls;
}

/** Where each text begins and the last one ends, and the texts. */
function textRegions(parts: readonly (Part & { readonly values: TextColumn })[], rows: number): Region[] {
  const offsets = new Int32Array(rows + 1);
  let filled = 0;
  for (const part of parts) {
    addOffsets(offsets, filled, part.values, part);
    filled += part.rows;
  }
  return [
    {
      bytes: offsets.byteLength,
      put: ({ bytes }, at) => bytes.set(new Uint8Array(offsets.buffer), at),
    },
    {
      bytes: offsets[rows] as number,
      put: (target, at) => {
        for (const part of parts) at = copyTexts(part.values, part, target, at);
      },
    },
  ];
}

/** Bytes of the texts that DuckDB has of a chunk. */
export function textBytesOf(chunk: RowChunk, columns: number): number {
  let bytes = 0;
  for (let index = 0; index < columns; index++) {
    const column = chunk.column(index);
    if (column.kind !== 'text') continue;
    for (let row = 0; row < chunk.end; row++)
      if (isValid(column.valid, row)) bytes += column.text.lengthOf(row);
  }
  return bytes;
}

function addOffsets(offsets: Int32Array, from: number, text: TextColumn, { rows, valid }: Part): void {
  let end = offsets[from] as number;
  for (let row = 0; row < rows; row++) {
    if (isValid(valid, row)) end += text.lengthOf(row);
    offsets[from + row + 1] = end;
  }
}

/** Copies a chunk's texts; those that stand side by side in DuckDB's memory in one go. Returns where they end. */
function copyTexts(text: TextColumn, { rows, valid }: Part, target: Bytes, at: number): number {
  let source = text.source;
  let from = 0;
  let length = 0;
  for (let row = 0; row < rows; row++) {
    if (!isValid(valid, row)) continue;
    const next = text.find(row);
    if (text.source !== source || next !== from + length) {
      copyBytes(source, from, target, at, length);
      at += length;
      source = text.source;
      from = next;
      length = 0;
    }
    length += text.lengthOf(row);
  }
  copyBytes(source, from, target, at, length);
  return at + length;
}

function partOf(chunk: RowChunk, index: number, type: string, layout: ArrowLayout): Part {
  const rows = chunk.end;
  const column = chunk.column(index);
  switch (column.kind) {
    case 'other':
      return valuesPart(chunk, index, type, layout);
    case 'text':
      return { rows, valid: column.valid, values: column.text };
    default:
      return layout.kind === 'texts'
        ? valuesPart(chunk, index, type, layout)
        : { rows, valid: column.valid, values: column.items };
  }
}

/** Values that JavaScript has, in the layout that DuckDB's have. */
function valuesPart(chunk: RowChunk, index: number, type: string, layout: ArrowLayout): Part {
  const rows = chunk.end;
  const values = Array.from({ length: rows }, (_, row) => chunk.value(index, row) ?? null);
  const valid = new Uint8Array(Math.ceil(rows / 8));
  values.forEach((value, row) => {
    if (value !== null) valid[row >> 3] = (valid[row >> 3] as number) | (1 << (row & 7));
  });
  if (layout.kind === 'texts')
    return {
      rows,
      valid,
      values: printed(values.map((value) => (value === null ? '' : textOf(value, type)))),
    };
  const items = layout.kind === 'bits' ? new Uint8Array(rows) : new layout.items(rows);
  values.forEach((value, row) => {
    if (value !== null) items[row] = plainValue(value) as never;
  });
  return { rows, valid, values: items };
}

/** What an array has of a value; of a timestamp its microseconds. */
const plainValue = (value: DuckDBValue): unknown =>
  typeof value === 'object' ? (value as DuckDBTimestampTZValue).micros : value;

function printed(texts: readonly string[]): TextColumn {
  const buffers = texts.map((text) => Buffer.from(text));
  const starts: number[] = [];
  let end = 0;
  for (const { length } of buffers) {
    starts.push(end);
    end += length;
  }
  return {
    lengthOf: (row) => buffers[row]?.length ?? 0,
    find: (row) => starts[row] ?? 0,
    source: bytesOf(Buffer.concat(buffers)),
  };
}
