import { setImmediate } from 'node:timers/promises';
import { hasCode } from '../base/errors.ts';
import {
  type IndexRequest,
  type LineBatch,
  type LinesRequest,
  type LogIndex,
  newStats,
  type ReadStats,
  type StoredLogs,
  type StreamVolume,
  type VolumeRequest,
} from '../logql/source.ts';
import type { Pause } from './log-files/counts.ts';
import { fileLogs } from './log-files/file-logs.ts';
import type { LogFile, LogFiles } from './log-files/log-file.ts';
import type { LogView, LogViews } from './log-view.ts';
import { mergeBatches } from './merge-batches.ts';
import { volumeSums } from './volume-sums.ts';

/** How long reading holds the event loop at a time. */
const turnMs = 15;

/** Lines of views: of files as they lie on the disk, and by DuckDB of whatever is not in such files. */
export function viewLogs(views: LogViews, files: LogFiles): StoredLogs {
  return {
    lines: (request, signal) => readLines(views, files, request, signal),
    streams: (request, signal) => readStreams(views, files, request, signal),
    volumes: (request, signal) => readVolumes(views, files, request, signal),
    counts: async (request, signal) => {
      if (request.toNs <= request.fromNs) return [];
      await using view = await views.open(request.fromNs, request.toNs, signal);
      const { ofFiles, rest } = await sourcesOf(view, files, request.stats);
      const [counted, others = []] = [
        await ofFiles.counts(request, signal),
        await rest?.counts(request, signal),
      ];
      return others.length === 0 ? counted : [...counted, ...others];
    },
  };
}

async function* readLines(
  views: LogViews,
  files: LogFiles,
  request: LinesRequest,
  signal: AbortSignal,
): AsyncGenerator<LineBatch> {
  if (request.toNs <= request.fromNs) return;
  await using view = await views.open(request.fromNs, request.toNs, signal);
  const { ofFiles, rest } = await sourcesOf(view, files, request.stats);
  const lines = ofFiles.lines(request, signal);
  if (rest === undefined) yield* lines;
  else yield* mergeBatches(request.direction, lines, rest.lines(request, signal));
}

/** Each stream once, of files and of what is in none. */
async function* readStreams(
  views: LogViews,
  files: LogFiles,
  request: IndexRequest,
  signal: AbortSignal,
): AsyncGenerator<readonly string[]> {
  const known = new Set<string>();
  for await (const found of everywhere(views, files, request, signal, (logs) =>
    logs.streams(request, signal),
  )) {
    const fresh = found.filter((labels) => !known.has(labels));
    for (const labels of fresh) known.add(labels);
    if (fresh.length > 0) yield fresh;
  }
}

async function* readVolumes(
  views: LogViews,
  files: LogFiles,
  request: VolumeRequest,
  signal: AbortSignal,
): AsyncGenerator<readonly StreamVolume[]> {
  const volumes = volumeSums(request);
  for await (const found of everywhere(views, files, request, signal, (logs) =>
    logs.volumes(request, signal),
  ))
    for (const volume of found) volumes.add(volume);
  yield volumes.all();
}

/** What `ask` finds in files, and then in what is in none. */
async function* everywhere<T>(
  views: LogViews,
  files: LogFiles,
  { fromNs, toNs }: Pick<IndexRequest, 'fromNs' | 'toNs'>,
  signal: AbortSignal,
  ask: (logs: LogIndex) => AsyncIterable<T>,
): AsyncGenerator<T> {
  if (toNs <= fromNs) return;
  await using view = await views.open(fromNs, toNs, signal);
  const { ofFiles, rest } = await sourcesOf(view, files);
  yield* ask(ofFiles);
  if (rest !== undefined) yield* ask(rest);
}

async function sourcesOf(
  view: LogView,
  files: LogFiles,
  stats: ReadStats = newStats(),
): Promise<{ readonly ofFiles: StoredLogs; readonly rest: StoredLogs | undefined }> {
  stats.filesConsidered += view.filesConsidered;
  stats.filesPruned += view.filesPruned;
  const ours: LogFile[] = [];
  const others: string[] = [];
  for (const { path } of view.files) {
    const file = openOurs(files, path);
    if (file === undefined) others.push(path);
    else ours.push(file);
  }
  return { ofFiles: fileLogs(ours, pauseOf), rest: await view.rest(others) };
}

/** Undefined for a file that was written by another program. */
function openOurs(files: LogFiles, path: string): LogFile | undefined {
  try {
    return files.open(path);
  } catch (error) {
    if (hasCode(error, 'unsupported')) return undefined;
    throw error;
  }
}

/** Lets others run when they have waited long enough. */
function pauseOf(signal: AbortSignal): Pause {
  let turnStart = performance.now();
  return async () => {
    if (performance.now() - turnStart < turnMs) return;
    await setImmediate();
    signal.throwIfAborted();
    turnStart = performance.now();
  };
}
