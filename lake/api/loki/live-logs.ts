import type { Clock } from '../../base/clock.ts';
import { labelsText } from '../../logql/answer/encode.ts';
import type { Matcher } from '../../logql/ast.ts';
import { defaultLogqlLimits, type LogqlLimits } from '../../logql/limits.ts';
import { runQuery } from '../../logql/query.ts';
import type { LineBatch } from '../../logql/source.ts';
import { labelsKey } from '../../logql/value.ts';
import type { Batch, LogsBatch } from '../../model/batch.ts';
import { parseLabelsJson } from '../../model/labels.ts';
import { textsOf } from '../../model/text-column.ts';
import type { LogScan } from '../../scan/log-scan.ts';
import { nowNs } from './queries.ts';

/** The port: lines while they come in, for tail. */
export interface LiveLogs {
  /**
   * Lines of these streams or of more, until the function that it resolves to is called. None is missed that was not
   * stored yet when it resolves; some before may be told, too.
   */
  subscribe(matchers: readonly Matcher[], onLines: (batch: LineBatch) => void): Promise<() => void>;
}

/** What a process stores itself, told when it is on disk. */
export interface PublishedLogs extends LiveLogs {
  publish(batches: readonly Batch[]): void;
}

/** `labelsOf` finds the labels of streams that a batch does not bring itself. */
export function publishedLogs(
  labelsOf: (ids: Iterable<bigint>) => ReadonlyMap<bigint, string>,
): PublishedLogs {
  const listeners = new Set<(batch: LineBatch) => void>();
  return {
    publish: (batches) => {
      if (listeners.size === 0) return;
      for (const batch of batches) {
        if (batch.signal !== 'logs' || batch.rows === 0) continue;
        const lines = linesOf(batch, labelsOf);
        for (const listener of listeners) listener(lines);
      }
    },
    subscribe: async (_matchers, onLines) => {
      listeners.add(onLines);
      return () => void listeners.delete(onLines);
    },
  };
}

/** Copied: the memory of a batch is used again. */
function linesOf(
  batch: LogsBatch,
  labelsOf: (ids: Iterable<bigint>) => ReadonlyMap<bigint, string>,
): LineBatch {
  const texts = new Map(batch.series.map(({ id, labels }) => [id, labels]));
  const missing = new Set([...batch.streamId].filter((id) => !texts.has(id)));
  if (missing.size > 0) for (const [id, labels] of labelsOf(missing)) texts.set(id, labels);
  const streamIds = batch.streamId.slice();
  const streams = new Map<bigint, { readonly labels: ReadonlyMap<string, string> }>();
  return {
    ...{ rows: batch.rows, timestampNs: batch.timestampNs.slice() },
    ...{ lines: textsOf(batch.line), metadata: textsOf(batch.attributes) },
    stream: (row) => {
      const id = streamIds[row] ?? 0n;
      const stream = streams.get(id) ?? { labels: new Map(parseLabelsJson(texts.get(id) ?? '{}')) };
      streams.set(id, stream);
      return stream;
    },
  };
}

/** Lines that one follower tells apart from those that it has seen: the newest. */
const seenMax = 50_000;
/** For what is read after a commit. */
const limits: LogqlLimits = { ...defaultLogqlLimits, entriesMax: seenMax, bytesMax: 256 * 1024 * 1024 };
/** How late a line may be and still be followed. */
const latenessNs = 600_000_000_000n;

interface CommittedLogsOptions {
  readonly logs: LogScan;
  readonly clock: Clock;
  /** Calls its listener after every commit, and returns the function that ends it. */
  readonly onCommit: (listener: () => void) => () => void;
  /** Resolves when what is committed by now will be read. */
  readonly refresh: () => Promise<unknown>;
  readonly onError: (error: unknown) => void;
}

/**
 * What comes in as files: whenever there are new ones, the last minutes are read, and lines that were not there before
 * are told.
 */
export function committedLogs(options: CommittedLogsOptions): LiveLogs {
  const { onCommit, onError, refresh } = options;
  return {
    subscribe: async (matchers, onLines) => {
      const ended = new AbortController();
      const { signal } = ended;
      let seen: ReadonlySet<string> | undefined;
      const read = async (): Promise<void> => {
        await refresh();
        const lines = await newest(matchers, options, signal);
        const known = seen;
        seen = new Set(lines.map(({ key }) => key));
        const fresh = known === undefined ? [] : lines.filter(({ key }) => !known.has(key));
        if (fresh.length > 0 && !signal.aborted) onLines(batchOf(fresh));
      };
      const first = read();
      let last = first.catch(() => undefined);
      const end = onCommit(() => {
        last = last
          .then(() => (signal.aborted ? undefined : read()))
          .catch((error: unknown) => (signal.aborted ? undefined : onError(error)));
      });
      await first;
      return () => {
        end();
        ended.abort();
      };
    },
  };
}

interface FoundLine {
  readonly key: string;
  readonly timeNs: bigint;
  readonly line: string;
  /** JSON text. */
  readonly metadata: string;
  readonly stream: { readonly labels: ReadonlyMap<string, string> };
}

/** In the order of time. */
async function newest(
  matchers: readonly Matcher[],
  { logs, clock }: CommittedLogsOptions,
  signal: AbortSignal,
): Promise<readonly FoundLine[]> {
  const now = nowNs(clock);
  const times = { fromNs: now - latenessNs, toNs: now + latenessNs, intervalNs: 0 };
  const log = { ...times, limit: seenMax, direction: 'backward' as const };
  const { data } = await runQuery(
    { kind: 'log', expr: { kind: 'log', matchers, stages: [] }, log },
    { source: logs, evaluator: logs.evaluator, limits, clock, signal },
  );
  if (data.type !== 'streams') return [];
  const found = data.streams.flatMap(({ labels, metadata, timesNs, lines }) => {
    const own = { stream: { labels: new Map(labels) }, metadata: labelsText(metadata) };
    const key = labelsKey(labels);
    return lines.map((line, index) => {
      const timeNs = timesNs[index] ?? 0n;
      return { ...own, key: `${timeNs} ${key} ${line}`, timeNs, line };
    });
  });
  return found.sort((a, b) => (a.timeNs < b.timeNs ? -1 : 1));
}

const batchOf = (lines: readonly FoundLine[]): LineBatch => ({
  rows: lines.length,
  timestampNs: BigInt64Array.from(lines, ({ timeNs }) => timeNs),
  lines: lines.map(({ line }) => line),
  metadata: lines.map(({ metadata }) => metadata),
  stream: (row) => lines[row]?.stream ?? { labels: new Map() },
});
