import { commit } from '../../cloud/catalog/commit.ts';
import { type CommitShipments, commitShipments } from '../../cloud/ingest/commit-shipments.ts';
import { marksProperty, origin } from '../../cloud/ingest/marks.ts';
import { changingTable, withSummaries } from '../contract/lake-fixtures.ts';
import type { Variant } from './schedule.ts';

// Firn with one rule broken at a time, each as a careless change would break it. The simulation must notice all of them:
// one that it does not notice is a rule that nothing holds.

export const brokenVariants: Readonly<Record<string, Variant>> = {
  'rows that are acknowledged before they are committed': {
    wal: (wal, { world, life }) => ({
      ...wal,
      append: async (...batches) => {
        const later = world.request(life, 'late', false, () => undefined).then(() => wal.append(...batches));
        later.catch(() => undefined);
      },
    }),
  },
  'a range of the log that is released before its segments are recorded': {
    wal: (wal, { world, life }) => ({
      ...wal,
      commitSeal: async (seal, gaps) => {
        await wal.commitSeal({ ...seal, segments: [] }, gaps);
        await world.request(life, 'between', false, () => undefined);
        await wal.replaceSegments([], seal.segments);
      },
    }),
  },
  'a manifest that goes before its segments': {
    store: (store, { world, life }) => ({
      ...store,
      putFile: async (key, path, options) => {
        const put = () => store.putFile(key, path, options);
        const later = world.request(life, 'late', false, () => undefined).then(put);
        later.catch(() => undefined);
        return { key, etag: '', sizeBytes: 0 };
      },
    }),
  },
  'a recovery that does not say what is lost': {
    wal: (wal) => ({ ...wal, restore: ({ gaps: _, ...part }) => wal.restore(part) }),
  },
  'marks that move in a commit of their own': {
    commitShipments: async (table, batch, options) => {
      let marks = '{}';
      const result = await commitShipments(
        withoutMarks(table, (text) => (marks = text)),
        batch,
        options,
      );
      await commit(table, () => ({ added: [], summary: { [marksProperty]: marks } }), options);
      return result;
    },
  },
  'shipments that are added whatever the marks say': {
    commitShipments: (table, batch, options) => {
      const load: Table['load'] = async (age) => unmarked(await table.load(age));
      const progress = new Map([...batch.progress].map(([name, { to }]) => [name, { seen: origin, to }]));
      return commitShipments({ ...table, load }, { ...batch, progress }, options);
    },
  },
};

type Table = Parameters<CommitShipments>[0];
type State = Awaited<ReturnType<Table['load']>>;

/** A table whose commits leave the marks as they were; `taken` is told what they should have been. */
function withoutMarks(table: Table, taken: (marks: string) => void): Table {
  return changingTable(table, (next) => {
    const before = next.snapshots.at(-2)?.summary[marksProperty] ?? '{}';
    taken(next.snapshots.at(-1)?.summary[marksProperty] ?? '{}');
    const last = next.snapshots.length - 1;
    return withSummaries(next, (summary, index) =>
      index === last ? { ...summary, [marksProperty]: before } : summary,
    );
  });
}

function unmarked({ version, metadata }: State): State {
  if (!metadata) return { version, metadata };
  return { version, metadata: withSummaries(metadata, (summary) => ({ ...summary, [marksProperty]: '{}' })) };
}
