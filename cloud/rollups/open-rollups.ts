import { bucketMsOf } from '../../lake/model/table-name.ts';
import type { Prune, Rollups } from '../../lake/tables.ts';
import { currentSnapshot } from '../catalog/metadata.ts';
import type { CloudTables } from '../tables/cloud-tables.ts';
import { changedBuckets, coverageOf, unitedTimes } from './coverage.ts';

/** A snapshot looked up at most so long ago is used again without a request. */
const snapshotMaxAgeMs = 200;

/** The rollups of a tenant, as far as they are what `metrics` holds. */
export function openRollups(tables: CloudTables): Rollups {
  return {
    open: async (name, prune, signal) => {
      const metrics = (await tables.icebergTable('metrics').load(snapshotMaxAgeMs)).metadata;
      const rollup = (await tables.icebergTable(name).load(snapshotMaxAgeMs)).metadata;
      const snapshot = rollup && currentSnapshot(rollup);
      const coverage = coverageOf(rollup);
      if (!metrics || !snapshot || !coverage) return undefined;
      const changed = changedBuckets(metrics, coverage, bucketMsOf[name]);
      if (!changed) return undefined;
      const fresh = { fromMs: coverage.toMs, toMs: Number.MAX_SAFE_INTEGER };
      const outdated = unitedTimes([...coverage.pending, ...changed, fresh]);
      // What the coverage is about, and not what is committed meanwhile.
      const asOf: Prune['asOf'] = { kind: 'snapshot', id: snapshot.snapshotId };
      const { files } = await tables.plan(name, { ...prune, asOf });
      const samples = (await tables.plan('metrics', prune)).files;
      const days = new Set(samples.map(({ day }) => day));
      const view = await tables.open(name, { ...prune, asOf }, signal);
      return {
        ...view,
        ...{ outdated, rows: rowsOf(files), sampleRows: rowsOf(samples) },
        outlives: files.some(({ day }) => !days.has(day)),
        [Symbol.asyncDispose]: () => view[Symbol.asyncDispose](),
      };
    },
  };
}

const rowsOf = (files: readonly { readonly rows: number }[]): number =>
  files.reduce((sum, { rows }) => sum + rows, 0);
