import type { Matcher } from '../../logql/ast.ts';
import type { LineBatch, LogSource } from '../../logql/source.ts';
import { newStats } from '../../logql/source.ts';
import type { Batch, LogsBatch } from '../../model/batch.ts';
import { parseLabelsJson } from '../../model/labels.ts';
import { textsOf } from '../../model/text-column.ts';

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

/** Lines that one follower tells apart from those that it has seen. */
const seenMax = 200_000;
/** How late a line may be and still be followed. */
const latenessNs = 600_000_000_000n;

/**
 * What comes in as files: whenever there are new ones, the last minutes are read, and lines that were not there before
 * are told. `onCommit` calls its listener after every commit, and returns the function that ends it.
 */
export function committedLogs(options: {
  readonly source: LogSource;
  readonly onCommit: (listener: () => void) => () => void;
  readonly nowNs: () => bigint;
  readonly bytesMax: number;
  readonly onError: (error: unknown) => void;
}): LiveLogs {
  const { source, onCommit, nowNs, bytesMax, onError } = options;
  return {
    subscribe: async (matchers, onLines) => {
      const ended = new AbortController();
      let seen: Set<string> | undefined;
      const read = async (): Promise<void> => {
        const fromNs = nowNs() - latenessNs;
        const request = {
          ...{ matchers, lineFilters: [], fromNs, toNs: nowNs() + latenessNs, direction: 'forward' as const },
          ...{ needs: { line: true, metadata: true }, bytesMax, stats: newStats() },
        };
        const now = new Set<string>();
        for await (const batch of source.lines(request, ended.signal)) {
          const fresh: number[] = [];
          for (let row = 0; row < batch.rows && now.size < seenMax; row++) {
            const key = `${batch.timestampNs[row]} ${[...batch.stream(row).labels].join()} ${batch.lines[row]}`;
            now.add(key);
            if (seen !== undefined && !seen.has(key)) fresh.push(row);
          }
          if (fresh.length > 0 && !ended.signal.aborted) onLines(rowsOf(batch, fresh));
        }
        seen = now;
      };
      const first = read();
      let last = first.catch(() => undefined);
      const end = onCommit(() => {
        last = last.then(() => (ended.signal.aborted ? undefined : read())).catch(onError);
      });
      await first;
      return () => {
        end();
        ended.abort();
      };
    },
  };
}

function rowsOf(batch: LineBatch, rows: readonly number[]): LineBatch {
  return {
    rows: rows.length,
    timestampNs: BigInt64Array.from(rows, (row) => batch.timestampNs[row] ?? 0n),
    lines: rows.map((row) => batch.lines[row] ?? ''),
    metadata: rows.map((row) => batch.metadata[row] ?? null),
    stream: (row) => batch.stream(rows[row] ?? 0),
  };
}
