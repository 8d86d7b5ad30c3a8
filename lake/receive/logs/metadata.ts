import type { Label } from '../../model/labels.ts';
import { labelName } from '../label-name.ts';
import type { KnownMetadata } from '../logs-builder.ts';
import { levelOf, noLevel, normalLevel } from './level.ts';
import { levelOfLine } from './line-level.ts';

// Structured metadata of one line as columns: canonical JSON text with detected_level, the level where it is known, and
// the ids of its trace and span.

const levelLabel = 'detected_level';
const traceNames = ['trace_id', 'traceID', 'traceId', 'TraceID'];
const spanNames = ['span_id', 'spanID', 'spanId', 'SpanID'];

/** Most lines bring nothing: then there are a few texts only. */
const bare = new Map<string, KnownMetadata>();
const bareMax = 100;

const nothing: KnownMetadata = { attributes: null, severity: null, traceId: null, spanId: null };

/** The metadata of a line, bytes[start, end), that brings none. `streamLevel`: what the labels of its stream say. */
function bareMetadata(
  bytes: Buffer,
  start: number,
  end: number,
  streamLevel: string | undefined,
): KnownMetadata {
  if (streamLevel === noLevel) return nothing;
  const level = streamLevel ?? levelOfLine(bytes, start, end);
  const known = bare.get(level);
  if (known !== undefined) return known;
  const metadata = metadataOf([[levelLabel, level]]);
  if (bare.size < bareMax) bare.set(level, metadata);
  return metadata;
}

/** `pairs` in whatever order, named as senders do; of a name that is there twice the first counts. */
export function lineMetadata(
  pairs: readonly Label[],
  bytes: Buffer,
  start: number,
  end: number,
  streamLevel: string | undefined,
): KnownMetadata {
  if (pairs.length === 0) return bareMetadata(bytes, start, end, streamLevel);
  const byName = new Map<string, string>();
  // Queries can only ask for names of labels.
  for (const [sent, value] of pairs) {
    const name = labelName(sent);
    if (!byName.has(name)) byName.set(name, value);
  }
  const given = byName.get(levelLabel);
  const level =
    given === undefined
      ? (streamLevel ??
        levelOf((name) => pairs.find(([sent]) => sent === name)?.[1]) ??
        levelOfLine(bytes, start, end))
      : normalLevel(given);
  if (level !== noLevel) byName.set(levelLabel, level);
  return metadataOf([...byName]);
}

function metadataOf(pairs: Label[]): KnownMetadata {
  pairs.sort(([a], [b]) => (a < b ? -1 : 1));
  let attributes = '{';
  let severity: string | null = null;
  for (const [name, value] of pairs) {
    attributes += `${attributes.length > 1 ? ',' : ''}${JSON.stringify(name)}:${JSON.stringify(value)}`;
    if (name === levelLabel && value !== 'unknown') severity = value;
  }
  return {
    attributes: Buffer.from(`${attributes}}`),
    severity: severity === null ? null : Buffer.from(severity),
    traceId: firstOf(pairs, traceNames),
    spanId: firstOf(pairs, spanNames),
  };
}

function firstOf(pairs: readonly Label[], names: readonly string[]): Buffer | null {
  const found = pairs.find(([name, value]) => value !== '' && names.includes(name));
  return found === undefined ? null : Buffer.from(found[1]);
}
