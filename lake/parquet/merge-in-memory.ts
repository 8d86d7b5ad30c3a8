import { FirnError } from '../base/errors.ts';
import type { Batch } from '../model/batch.ts';
import { type MergeRequest, otherRows } from './merge-request.ts';
import { openSegment } from './segment-reader.ts';
import type { SegmentFile, SegmentWriter } from './segment-writer.ts';

/**
 * Does what `mergeSegments` does (duckdb-merge.ts) with all rows in memory. Throws FirnError `corrupt` when the files do
 * not hold the rows that they should, `limit` when their pages need more memory than that, `unsupported` for files of
 * other writers.
 */
export async function mergeInMemory(
  { signal, paths, rows, path, writerMemoryBytesMax }: MergeRequest,
  site: string,
  writer: SegmentWriter,
): Promise<SegmentFile> {
  const batches: Batch[] = [];
  let [found, bytes] = [0, 0];
  for (const each of paths) {
    await using segment = await openSegment(each, signal, rows - found);
    found += segment.rows;
    bytes += segment.uncompressedBytes;
    if (bytes > writerMemoryBytesMax) throw tooLarge(path, writerMemoryBytesMax);
    batches.push(await segment.read());
  }
  if (found !== rows) throw otherRows(path, rows, [`${found}`]);
  const labels = new Map(batches.flatMap(({ series }) => series.map((entry) => [entry.id, entry.labels])));
  const files = await writer.write({
    ...{ signal, site, batches },
    labelsOf: () => labels,
    pathOf: () => path,
  });
  const [file] = files;
  if (file === undefined || files.length > 1)
    throw otherRows(
      path,
      rows,
      files.map((each) => `${each.rows} of ${each.day}`),
    );
  return file;
}

function tooLarge(path: string, bytesMax: number): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'merge segments',
    subject: 'writerMemoryBytesMax',
    message: `the rows of ${path} need more than ${bytesMax} bytes of memory`,
  });
}
