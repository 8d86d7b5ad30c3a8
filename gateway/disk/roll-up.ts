import { mkdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { FirnError } from '../../lake/base/errors.ts';
import { noFaults, type ReachFaultPoint } from '../../lake/base/fault-points.ts';
import type { Gap } from '../../lake/model/gap.ts';
import type { GatewayId, TenantId } from '../../lake/model/ids.ts';
import { segmentKey, segmentName } from '../../lake/model/keys.ts';
import { type RollupFiles, rollUpSegments } from '../../lake/parquet/duckdb-rollup.ts';
import type { SegmentClaims } from '../seal/segment-claims.ts';
import { segmentRecord } from '../seal/segment-record.ts';
import type { SegmentRecord } from '../wal/wal.ts';
import type { RolledUp } from './disk-ladder.ts';
import type { LadderFile } from './ladder.ts';
import { rolledUpTier, type SegmentFiles } from './segment-files.ts';

export interface RollUpOptions {
  /** Absolute; segments are below it. */
  readonly dataDir: string;
  readonly tenant: TenantId;
  readonly gateway: GatewayId;
  readonly files: Pick<SegmentFiles, 'records'>;
  readonly claims: SegmentClaims;
  readonly writerMemoryBytesMax: number;
  /** The log's: replaces files by others in one transaction with what is to be said about it. */
  readonly replace: (
    removed: readonly string[],
    added: readonly SegmentRecord[],
    gaps: readonly Gap[],
  ) => Promise<void>;
  readonly reach?: ReachFaultPoint;
}

/** Samples that come once a minute or less often are not worth the writing. */
const keptShareMax = 0.7;

/** Thins out raw metrics: see lake/parquet/duckdb-rollup.ts. The files that it makes wait to be shipped like any. */
export function createRollUp(
  options: RollUpOptions,
): (files: readonly LadderFile[]) => Promise<RolledUp | 'few'> {
  const { claims, replace, reach = noFaults } = options;
  return async (files) => {
    const paths = files.map(({ path }) => path);
    if (!claims.take(paths)) throw busy(paths);
    try {
      const inputs = options.files.records(files);
      if (inputs === undefined) throw busy(paths);
      const { names, rolled } = await write(options, inputs);
      if (rolled === undefined) {
        claims.release(paths);
        return 'few';
      }
      reach('ladder.written');
      return {
        removedRows: rowsOf(inputs) - rolled.samples.rows,
        addedBytes: rolled.samples.bytes + rolled.minutes.bytes,
        commit: async (gaps) => {
          await replace(paths, recordsOf(options, inputs, rolled), gaps);
          claims.release(paths);
          reach('ladder.committed');
        },
        abandon: async () => {
          for (const path of names) await rm(path, { force: true });
          claims.release(paths);
        },
      };
    } catch (error) {
      claims.release(paths);
      throw error;
    }
  };
}

const rowsOf = (inputs: readonly SegmentRecord[]): number => inputs.reduce((sum, { rows }) => sum + rows, 0);

async function write(
  { dataDir, writerMemoryBytesMax }: RollUpOptions,
  inputs: readonly SegmentRecord[],
): Promise<{ names: readonly string[]; rolled: RollupFiles | undefined }> {
  const spillDirectory = join(dataDir, 'spill', 'roll-up');
  const folders = (['metrics', 'metrics_1m'] as const).map((signal) => join(dataDir, 'segments', signal));
  for (const folder of [spillDirectory, ...folders]) await mkdir(folder, { recursive: true });
  const [samplesPath = '', minutesPath = ''] = folders.map((folder) => join(folder, nameOf(inputs)));
  try {
    const rolled = await rollUpSegments({
      ...{
        paths: inputs.map(({ path }) => join(dataDir, path)),
        rows: rowsOf(inputs),
        samplesPath,
        minutesPath,
      },
      ...{ keptShareMax, writerMemoryBytesMax, spillDirectory },
    });
    return { names: [samplesPath, minutesPath], rolled };
  } catch (error) {
    for (const path of [samplesPath, minutesPath])
      for (const name of [path, `${path}.tmp`]) await rm(name, { force: true });
    throw error;
  }
}

/** From the first one's range to the last one's, with a tier that no merge of raw files comes to. */
function nameOf(inputs: readonly SegmentRecord[]): string {
  const { first, last } = endsOf(inputs);
  const { epoch, fromSeq, day } = first;
  const merge = { kind: 'before-ship', count: rolledUpTier } as const;
  return segmentName({ epoch, fromSeq, toSeq: last.toSeq, day, merge });
}

function recordsOf(
  { dataDir, tenant, gateway }: RollUpOptions,
  inputs: readonly SegmentRecord[],
  { samples, minutes }: RollupFiles,
): SegmentRecord[] {
  const { first, last } = endsOf(inputs);
  return (
    [
      ['metrics', samples],
      ['metrics_1m', minutes],
    ] as const
  ).map(([signal, file]) =>
    segmentRecord({
      ...{
        dataDir,
        file,
        signal,
        class: 'metrics',
        epoch: first.epoch,
        tier: rolledUpTier,
        clock: first.clock,
      },
      ...{ fromSeq: first.fromSeq, toSeq: last.toSeq },
      minReceivedUs: Math.min(...inputs.map(({ minReceivedUs }) => minReceivedUs)),
      maxReceivedUs: Math.max(...inputs.map(({ maxReceivedUs }) => maxReceivedUs)),
      sealedUs: Math.max(...inputs.map(({ sealedUs }) => sealedUs)),
      shipped: { key: segmentKey(tenant, gateway, signal, basename(file.path)), columns: 'field-ids' },
    }),
  );
}

function endsOf(inputs: readonly SegmentRecord[]): { first: SegmentRecord; last: SegmentRecord } {
  const [first] = inputs;
  const last = inputs.at(-1);
  if (first === undefined || last === undefined) throw new RangeError('nothing is to be rolled up');
  return { first, last };
}

function busy(paths: readonly string[]): FirnError {
  return new FirnError({
    code: 'conflict',
    operation: 'roll up segments',
    subject: paths[0] ?? '',
    message: 'one of the files is being shipped or merged',
  });
}
