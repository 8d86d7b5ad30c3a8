import { setImmediate } from 'node:timers/promises';
import { hasCode } from '../base/errors.ts';
import type { LineBatch, LinesRequest, LogSource, ReadStats } from '../logql/source.ts';
import type { Pause } from './log-files/counts.ts';
import { fileLogs } from './log-files/file-logs.ts';
import type { LogFile, LogFiles } from './log-files/log-file.ts';
import type { LogView, LogViews } from './log-view.ts';
import { mergeBatches } from './merge-batches.ts';

/** How long reading holds the event loop at a time. */
const turnMs = 15;

/** Lines of views: of files as they lie on the disk, and by DuckDB of whatever is not in such files. */
export function viewLogs(views: LogViews, files: LogFiles): LogSource {
  return {
    lines: (request, signal) => readLines(views, files, request, signal),
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

async function sourcesOf(
  view: LogView,
  files: LogFiles,
  stats: ReadStats,
): Promise<{ readonly ofFiles: LogSource; readonly rest: LogSource | undefined }> {
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
