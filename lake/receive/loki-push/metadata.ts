import type { Label } from '../../model/labels.ts';
import { levelOf, levelOfLine, normalLevel } from './level.ts';

/** Structured metadata of one line as columns. */
export interface Metadata {
  /** Canonical JSON text, detected_level included. */
  readonly attributes: string;
  /** The level, where it is known. */
  readonly severity: string | null;
  readonly traceId: string | null;
  readonly spanId: string | null;
}

const levelLabel = 'detected_level';
const traceNames = ['trace_id', 'traceID', 'traceId', 'TraceID'];
const spanNames = ['span_id', 'spanID', 'spanId', 'SpanID'];

/** Most lines bring nothing: then there are a few texts only. */
const bare = new Map<string, Metadata>();
const bareMax = 100;

/** The metadata of a line that brings none. `streamLevel`: what the labels of its stream say. */
export function bareMetadata(line: string, streamLevel: string | undefined): Metadata {
  const level = streamLevel ?? levelOfLine(line);
  const known = bare.get(level);
  if (known !== undefined) return known;
  const metadata = metadataOf([[levelLabel, level]]);
  if (bare.size < bareMax) bare.set(level, metadata);
  return metadata;
}

/** `pairs` in any order; of a name that is there twice the first counts. */
export function lineMetadata(
  pairs: readonly Label[],
  line: string,
  streamLevel: string | undefined,
): Metadata {
  const byName = new Map<string, string>();
  for (const [name, value] of pairs) if (!byName.has(name)) byName.set(name, value);
  const given = byName.get(levelLabel);
  const level =
    given === undefined
      ? (streamLevel ?? levelOf((name) => byName.get(name)) ?? levelOfLine(line))
      : normalLevel(given);
  byName.set(levelLabel, level);
  return metadataOf([...byName]);
}

function metadataOf(pairs: Label[]): Metadata {
  pairs.sort(([a], [b]) => (a < b ? -1 : 1));
  let attributes = '{';
  let severity: string | null = null;
  for (const [name, value] of pairs) {
    attributes += `${attributes.length > 1 ? ',' : ''}${JSON.stringify(name)}:${JSON.stringify(value)}`;
    if (name === levelLabel && value !== 'unknown') severity = value;
  }
  return {
    attributes: `${attributes}}`,
    severity,
    traceId: firstOf(pairs, traceNames),
    spanId: firstOf(pairs, spanNames),
  };
}

function firstOf(pairs: readonly Label[], names: readonly string[]): string | null {
  const found = pairs.find(([name, value]) => value !== '' && names.includes(name));
  return found === undefined ? null : found[1];
}
