import { isUtf8 } from 'node:buffer';
import { type Label, type Labels, labelValue } from '../../model/labels.ts';
import { type Cursor, readEnd, readTag, skipField, wireLength } from '../protobuf.ts';
import { invalidSeries } from './draft.ts';

const labelsField = (1 << 3) | wireLength;
const nameField = (1 << 3) | wireLength;
const valueField = (2 << 3) | wireLength;

/**
 * Reads and checks the labels of one TimeSeries from the bytes of its label fields, and that there is a metric name.
 * Runs once per series, on a cache miss. The specification also wants them sorted by name, but vmagent sends them as
 * they come and drops what is refused, and Prometheus as a receiver sorts them itself: so they are accepted in any
 * order.
 */
export function readSeriesLabels(bytes: Uint8Array, start: number, end: number): Labels {
  const labels = readLabels(bytes, start, end);
  if (labelValue(labels, '__name__') === '')
    throw invalidSeries(`the label __name__ is missing in ${printLabels(labels)}`);
  return labels;
}

/** Reads label fields: names that are not empty, none twice. Other fields are passed over. */
export function readLabels(bytes: Uint8Array, start: number, end: number): Labels {
  const labels: Label[] = [];
  const cursor: Cursor = { bytes, pos: start, end };
  const names = new Set<string>();
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag !== labelsField) {
      skipField(cursor, tag);
      continue;
    }
    const { name, value } = readLabel(cursor, readEnd(cursor));
    const nameText = text(name, `label name ${labels.length + 1}`);
    if (nameText === '') throw invalidSeries(`label ${labels.length + 1} has an empty name`);
    if (names.has(nameText)) throw invalidSeries(`label ${quote(nameText)} is there twice`);
    names.add(nameText);
    labels.push([nameText, text(value, `value of label ${quote(nameText)}`)]);
  }
  return labels;
}

function readLabel(cursor: Cursor, end: number): { name: Uint8Array; value: Uint8Array } {
  const outer = cursor.end;
  cursor.end = end;
  let name = new Uint8Array();
  let value = new Uint8Array();
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag !== nameField && tag !== valueField) {
      skipField(cursor, tag);
      continue;
    }
    const fieldEnd = readEnd(cursor);
    const field = cursor.bytes.subarray(cursor.pos, fieldEnd) as Uint8Array<ArrayBuffer>;
    cursor.pos = fieldEnd;
    if (tag === nameField) name = field;
    else value = field;
  }
  cursor.end = outer;
  return { name, value };
}

/** Bytes as text; throws FirnError `invalid` naming `what` when they are not UTF-8. */
export function text(bytes: Uint8Array, what: string): string {
  if (!isUtf8(bytes)) throw invalidSeries(`the ${what} is not valid UTF-8`);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

const quote = (name: string): string => JSON.stringify(name.slice(0, 100));

function printLabels(labels: Labels): string {
  const shown = labels.slice(0, 10).map(([name, value]) => `${name.slice(0, 100)}=${quote(value)}`);
  return `{${shown.join(', ')}${labels.length > 10 ? ', ...' : ''}}`;
}
