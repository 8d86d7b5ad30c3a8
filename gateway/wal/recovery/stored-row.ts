import { crc32 } from 'node:zlib';
import type { MetricMetadata, SeriesEntry } from '../../../lake/model/batch.ts';
import { seriesId } from '../../../lake/model/series-id.ts';
import type { PageImage, PageImages } from './page-images.ts';
import { type Cell, columnsOf, columnValue, kindOf, type Value } from './sqlite-page.ts';

// Rows of wal.db (schema.ts, formats 1 and 2) known by what they look like, because the schema may be lost. A batch has
// a checksum and a series an id that is a hash, so neither can be mistaken; the others must only be plausible.

export interface SalvagedBatch {
  readonly seq: number;
  readonly signal: string;
  readonly rows: number;
  readonly receivedUs: number;
  /** Null in format 1. */
  readonly monoUs: number | null;
  readonly boot: number | null;
  readonly payload: Uint8Array;
}

/** A row of the table `boot`. */
export interface SalvagedBoot {
  readonly id: number;
  readonly bootId: string;
  readonly clock: string;
  readonly offsetUs: number;
}

/** What a batch says of itself that can't be believed altogether, because its checksum does not match. */
export type DoubtfulBatch = Omit<SalvagedBatch, 'payload' | 'monoUs' | 'boot'>;

export type StoredRow =
  | { readonly kind: 'batch'; readonly batch: SalvagedBatch }
  | { readonly kind: 'damaged-batch'; readonly batch: DoubtfulBatch }
  | { readonly kind: 'series'; readonly series: SeriesEntry }
  | { readonly kind: 'metadata'; readonly metadata: MetricMetadata }
  | { readonly kind: 'boot'; readonly boot: SalvagedBoot }
  | { readonly kind: 'meta'; readonly key: string; readonly value: string };

/** Kinds of the columns of each table; a key is NULL in its record. */
const batchShape1 = 'ntiiib';
const batchShape2 = 'ntiiiiib';
const shapes = new Set([batchShape1, batchShape2, 'nt', 'nti', 'tt', 'ttttii', 'ntti']);

/**
 * The row that a cell of the image `at` holds, or undefined when it is not one that matters. `wanted` says which batches are read, by
 * seq: their payloads are large.
 */
export function storedRow(
  cell: Cell,
  at: PageImage,
  images: PageImages,
  wanted: (seq: number) => boolean,
): StoredRow | undefined {
  const columns = columnsOf(cell.local, cell.recordBytes);
  const shape = columns?.map(kindOf).join('') ?? '';
  if (columns === undefined || !shapes.has(shape)) return undefined;
  const isBatch = shape === batchShape1 || shape === batchShape2;
  if (isBatch && !wanted(Number(cell.rowid))) return undefined;
  let damaged: StoredRow | undefined;
  for (const record of recordsOf(cell, at, images)) {
    const row = rowOf(
      shape,
      cell.rowid,
      columns.map((column) => columnValue(record, column)),
    );
    if (row?.kind !== 'damaged-batch') return row;
    damaged = row;
  }
  // Its beginning at least is here.
  const [, signal, , received] = columns;
  if (damaged !== undefined || !isBatch || signal === undefined || received === undefined) return damaged;
  if (received.end > cell.local.byteLength) return undefined;
  const head = columns.slice(0, 4).map((column) => columnValue(cell.local, column));
  return { kind: 'damaged-batch', batch: doubtful(Number(cell.rowid), head) };
}

/** Records that are put together of a row's pages before it is given up. */
const recordsMax = 16;
/** Steps from page to page on the way to them, for each page that the record needs. */
const stepsOfPageMax = 8;

/**
 * The whole record, as often as other images of its pages may be the right ones: a chain of pages that ends too soon or
 * does not end is none.
 */
function* recordsOf(cell: Cell, at: PageImage, images: PageImages): Generator<Uint8Array, void, undefined> {
  if (cell.overflowPage === 0) {
    yield cell.local;
    return;
  }
  const record = new Uint8Array(cell.recordBytes);
  record.set(cell.local);
  const bytesOfPage = images.pageBytes - 4;
  const pages = Math.ceil((record.byteLength - cell.local.byteLength) / bytesOfPage);
  const chain = [images.of(cell.overflowPage, at)];
  let [records, steps] = [0, 0];
  while (chain.length > 0 && records < recordsMax && steps < pages * stepsOfPageMax + recordsMax) {
    const image = chain.at(-1)?.next().value;
    if (image === undefined) {
      chain.pop();
      continue;
    }
    steps++;
    const start = cell.local.byteLength + (chain.length - 1) * bytesOfPage;
    record.set(image.subarray(4, 4 + record.byteLength - start), start);
    const following = new DataView(image.buffer, image.byteOffset, 4).getUint32(0);
    if (chain.length < pages && following !== 0) chain.push(images.of(following, at));
    if (chain.length < pages || following !== 0) continue;
    records++;
    yield record;
  }
}

function rowOf(shape: string, rowid: bigint, values: readonly Value[]): StoredRow | undefined {
  switch (shape) {
    case batchShape1:
    case batchShape2:
      return batchOf(Number(rowid), values);
    case 'nt':
    case 'nti':
      return seriesOf(rowid, values);
    case 'tt':
      return { kind: 'meta', key: String(values[0]), value: String(values[1]) };
    case 'ttttii':
      return metadataOf(values);
    default:
      return bootOf(Number(rowid), values);
  }
}

function batchOf(seq: number, values: readonly Value[]): StoredRow {
  const head = doubtful(seq, values);
  const [monoUs, boot, crc] = values.length === 8 ? values.slice(4, 7) : [null, null, values[4]];
  const payload = values.at(-1);
  if (!(payload instanceof Uint8Array)) return { kind: 'damaged-batch', batch: head };
  const batch = { ...head, monoUs: numberOrNull(monoUs), boot: numberOrNull(boot), payload };
  return crcOf(batch) === crc ? { kind: 'batch', batch } : { kind: 'damaged-batch', batch: head };
}

/** As the writer of each format computes it; see batch-crc.ts. */
function crcOf({ seq, signal, rows, receivedUs, monoUs, boot, payload }: SalvagedBatch): number {
  if (monoUs === null || boot === null) return crc32(payload);
  const header = new Uint8Array(Float64Array.of(seq, rows, receivedUs, monoUs, boot).buffer);
  return crc32(payload, crc32(signal, crc32(header)));
}

function doubtful(seq: number, [, signal, rows, receivedUs]: readonly Value[]): DoubtfulBatch {
  return { seq, signal: String(signal), rows: Number(rows), receivedUs: Number(receivedUs) };
}

const numberOrNull = (value: Value | undefined): number | null =>
  value === null || value === undefined ? null : Number(value);

function seriesOf(id: bigint, [, labels]: readonly Value[]): StoredRow | undefined {
  if (typeof labels !== 'string' || seriesId(labels) !== id) return undefined;
  return { kind: 'series', series: { id, labels } };
}

const metricTypes = new Set([
  ...['counter', 'gauge', 'histogram', 'gaugehistogram', 'summary', 'info', 'stateset', 'unknown'],
]);

function metadataOf([name, type, help, unit]: readonly Value[]): StoredRow | undefined {
  if (typeof name !== 'string' || typeof type !== 'string' || !metricTypes.has(type)) return undefined;
  return { kind: 'metadata', metadata: { name, type, help: String(help), unit: String(unit) } };
}

const clocks = new Set(['trusted', 'corrected', 'untrusted']);

function bootOf(id: number, [, bootId, clock, offsetUs]: readonly Value[]): StoredRow | undefined {
  if (typeof bootId !== 'string' || typeof clock !== 'string' || !clocks.has(clock)) return undefined;
  return { kind: 'boot', boot: { id, bootId, clock, offsetUs: Number(offsetUs) } };
}
