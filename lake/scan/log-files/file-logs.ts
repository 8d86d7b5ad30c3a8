import type { CountRow, LineBatch, StoredLogs } from '../../logql/source.ts';
import { countLines, type Pause } from './counts.ts';
import { unorderedLines } from './lines.ts';
import type { LogFile } from './log-file.ts';
import { orderedLines } from './ordered-lines.ts';
import { streamsOf, volumesOf } from './streams.ts';

/** Lines of files. Work is done in short turns on the thread that asks. */
export function fileLogs(files: readonly LogFile[], pauseOf: (signal: AbortSignal) => Pause): StoredLogs {
  return {
    lines: (request, signal): AsyncIterable<LineBatch> =>
      request.direction === undefined
        ? unorderedLines(files, request, pauseOf(signal))
        : orderedLines(files, request, pauseOf(signal)),
    counts: (request, signal): Promise<readonly CountRow[]> => countLines(files, request, pauseOf(signal)),
    streams: (request, signal) => streamsOf(files, request, pauseOf(signal)),
    volumes: (request, signal) => volumesOf(files, request, pauseOf(signal)),
  };
}
