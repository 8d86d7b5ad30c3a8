import { relative } from 'node:path';
import type { Signal } from '../../lake/model/batch.ts';
import type { ManifestSegment } from '../../lake/model/manifest.ts';
import type { SegmentFile } from '../../lake/parquet/segment-writer.ts';
import type { SegmentRecord } from '../wal/wal.ts';

interface WrittenSegment
  extends Pick<
    SegmentRecord,
    | 'class'
    | 'epoch'
    | 'fromSeq'
    | 'toSeq'
    | 'tier'
    | 'clock'
    | 'minReceivedUs'
    | 'maxReceivedUs'
    | 'sealedUs'
  > {
  readonly dataDir: string;
  readonly file: SegmentFile;
  readonly signal: Signal;
  /** Undefined: the cloud has its rows already, and it is never shipped. */
  readonly shipped: Pick<ManifestSegment, 'key' | 'columns'> | undefined;
}

/** The row of the `segment` table for a file, with its entry in a manifest; paths in it are relative, with `/`. */
export function segmentRecord({ dataDir, file, shipped, ...known }: WrittenSegment): SegmentRecord {
  const { path, day, rows, bytes, sha256, minTimestampUs, maxTimestampUs, bounds } = file;
  const { signal, class: streamClass, clock } = known;
  const shared = { signal, class: streamClass, day, rows, bytes, minTimestampUs, maxTimestampUs, clock };
  return {
    ...known,
    ...shared,
    path: relative(dataDir, path).replaceAll('\\', '/'),
    minName: bounds.name?.min ?? null,
    maxName: bounds.name?.max ?? null,
    manifest: shipped === undefined ? null : { ...shared, ...shipped, sha256, bounds },
    committed: shipped === undefined,
  };
}
