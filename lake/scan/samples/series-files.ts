import { hasCode } from '../../base/errors.ts';
import { type FileIndex, type GroupIndex, readFileIndex } from './file-index.ts';
import { type GroupSamples, readGroupSamples } from './group-samples.ts';
import { createSeriesTable, type SeriesTable } from './series-table.ts';

/** What a thread remembers of immutable files of metrics: which series they have, and samples. */
export interface SeriesFiles {
  readonly table: SeriesTable;
  /** Undefined for a file that is written as no writer of ours does. Throws FirnError `corrupt`. */
  index(path: string): FileIndex | undefined;
  /** Throws FirnError `unsupported` and `corrupt`. */
  samples(file: FileIndex, group: GroupIndex): GroupSamples;
  /** Forgets samples that were not used for longest until those that are left are within their bound. */
  trimSamples(): void;
  /** The same with the indexes. Not while a query looks at them. */
  trim(): void;
}

export interface SeriesFilesLimits {
  /** Bytes of indexes, labels included; those that a query needs may be more while it runs. */
  readonly indexBytesMax: number;
  /** Bytes of samples. */
  readonly samplesBytesMax: number;
}

export function createSeriesFiles({ indexBytesMax, samplesBytesMax }: SeriesFilesLimits): SeriesFiles {
  const table = createSeriesTable();
  /** Both in the order of their last use. */
  const indexes = new Map<string, FileIndex | 'unsupported'>();
  const held = new Map<GroupIndex, GroupSamples>();
  let indexBytes = 0;
  let samplesBytes = 0;

  const forgetSamples = (group: GroupIndex): void => {
    samplesBytes -= held.get(group)?.bytes ?? 0;
    held.delete(group);
  };
  const forget = (path: string, index: FileIndex | 'unsupported'): void => {
    indexes.delete(path);
    if (index === 'unsupported') return;
    indexBytes -= index.bytes;
    for (const group of index.groups) {
      forgetSamples(group);
      table.release(group.series);
    }
  };
  const read = (path: string): FileIndex | 'unsupported' => {
    try {
      const index = readFileIndex(path, table);
      indexBytes += index.bytes;
      return index;
    } catch (error) {
      if (hasCode(error, 'unsupported')) return 'unsupported';
      throw error;
    }
  };
  const trimSamples = (): void => {
    for (const group of held.keys()) {
      if (samplesBytes <= samplesBytesMax) break;
      forgetSamples(group);
    }
  };
  return {
    table,
    trimSamples,
    index: (path) => {
      const index = indexes.get(path) ?? read(path);
      indexes.delete(path);
      indexes.set(path, index);
      return index === 'unsupported' ? undefined : index;
    },
    samples: ({ path }, group) => {
      const known = held.get(group);
      const samples = known ?? readGroupSamples(path, group);
      if (!known) samplesBytes += samples.bytes;
      held.delete(group);
      held.set(group, samples);
      return samples;
    },
    trim: () => {
      trimSamples();
      for (const [path, index] of indexes) {
        if (indexBytes + table.bytes <= indexBytesMax) break;
        forget(path, index);
      }
    },
  };
}
