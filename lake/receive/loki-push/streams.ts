import type { Label, Labels } from '../../model/labels.ts';
import type { LogStream, LogStreams } from '../logs/streams.ts';
import { noteRejected, type Rejected } from '../rejected.ts';
import { isSeriesRefusal } from '../series-guard.ts';
import { invalid } from './errors.ts';

/** The stream whose labels a request writes as bytes[start, end). Throws FirnError `invalid` and what the cache throws. */
export const pushedStream = (
  streams: LogStreams,
  bytes: Uint8Array,
  start: number,
  end: number,
  labels: () => readonly Label[],
): LogStream => streams.of(bytes, start, end, () => checked(labels()));

/** What `find` finds; undefined when the guard refuses it, which is noted. */
export function admittedStream(find: () => LogStream, rejected: Rejected): LogStream | undefined {
  try {
    return find();
  } catch (error) {
    if (!isSeriesRefusal(error)) throw error;
    noteRejected(rejected, error.message, 0);
    return undefined;
  }
}

/** Throws FirnError `invalid` worded like Loki. How many and how long they may be, the cache knows. */
function checked(labels: readonly Label[]): Labels {
  if (labels.length === 0) throw invalid('error at least one label pair is required per stream');
  const names = new Set<string>();
  for (const [name] of labels) {
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name))
      throw invalid(`invalid labels: ${JSON.stringify(name.slice(0, 100))} is not a valid label name`);
    if (names.has(name)) throw invalid(`stream '${printed(labels)}' has duplicate label name: '${name}'`);
    names.add(name);
  }
  return labels;
}

function printed(labels: readonly Label[]): string {
  const text = labels.slice(0, 20).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return `{${text.join(', ')}}`.slice(0, 300);
}
