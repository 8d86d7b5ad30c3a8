import { isUtf8 } from 'node:buffer';
import { FirnError } from '../../base/errors.ts';
import { type Label, type Labels, labelValue } from '../../model/labels.ts';
import { type Cursor, readEnd, readTag, skipField, wireLength } from '../protobuf.ts';
import type { RemoteWriteLimits } from './limits.ts';

const labelsField = (1 << 3) | wireLength;
const nameField = (1 << 3) | wireLength;
const valueField = (2 << 3) | wireLength;

/**
 * Reads and checks the labels of one TimeSeries from the bytes of its label fields: names that are not empty, none
 * twice, a metric name. Runs once per series, on a cache miss. Throws FirnError `invalid` (or `limit`) saying which
 * label is wrong. The specification also wants them sorted by name, but vmagent sends them as they come and drops what
 * is refused, and Prometheus as a receiver sorts them itself: so they are accepted in any order.
 */
export function readLabels(bytes: Uint8Array, start: number, end: number, limits: RemoteWriteLimits): Labels {
  const labels: Label[] = [];
  const cursor: Cursor = { bytes, pos: start, end };
  const names = new Set<string>();
  while (cursor.pos < end) {
    const tag = readTag(cursor);
    if (tag !== labelsField) throw invalid('the label fields are damaged');
    const { name, value } = readLabel(cursor, readEnd(cursor), limits);
    const nameText = text(name, `label name ${labels.length + 1}`);
    if (nameText === '') throw invalid(`label ${labels.length + 1} has an empty name`);
    if (names.has(nameText)) throw invalid(`label ${quote(nameText)} is there twice`);
    names.add(nameText);
    const valueText = text(value, `value of label ${quote(nameText)}`);
    labels.push([nameText, valueText]);
    if (labels.length > limits.labelsPerSeriesMax)
      throw limit('labelsPerSeriesMax', `a series has more than ${limits.labelsPerSeriesMax} labels`);
  }
  if (labelValue(labels, '__name__') === '')
    throw invalid(`the label __name__ is missing in ${printLabels(labels)}`);
  return labels;
}

function readLabel(
  cursor: Cursor,
  end: number,
  limits: RemoteWriteLimits,
): { name: Uint8Array; value: Uint8Array } {
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
  if (name.length > limits.labelNameBytesMax)
    throw limit('labelNameBytesMax', `a label name has ${name.length} bytes`);
  if (value.length > limits.labelValueBytesMax)
    throw limit('labelValueBytesMax', `a label value has ${value.length} bytes`);
  return { name, value };
}

/** Bytes as text; throws FirnError `invalid` naming `what` when they are not UTF-8. */
export function text(bytes: Uint8Array, what: string): string {
  if (!isUtf8(bytes)) throw invalid(`the ${what} is not valid UTF-8`);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}

const quote = (name: string): string => JSON.stringify(name.slice(0, 100));

function printLabels(labels: Labels): string {
  const shown = labels.slice(0, 10).map(([name, value]) => `${name.slice(0, 100)}=${quote(value)}`);
  return `{${shown.join(', ')}${labels.length > 10 ? ', ...' : ''}}`;
}

export function invalid(message: string): FirnError {
  return new FirnError({ code: 'invalid', operation: 'decode remote write', subject: 'body', message });
}

export function limit(subject: keyof RemoteWriteLimits, message: string): FirnError {
  return new FirnError({ code: 'limit', operation: 'decode remote write', subject, message });
}
