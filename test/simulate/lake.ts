import { openTable } from '../../cloud/catalog/table.ts';
import { signals } from '../../lake/model/batch.ts';
import { locationOf, stillClock, tenant } from '../contract/lake-fixtures.ts';
import type { MemoryStore } from '../contract/memory-store.ts';
import { parseSegment, type SimulatedRow } from './json-segments.ts';

type StoredGap = Extract<SimulatedRow, { readonly gap: string }>;

/** What a reader of the lake finds. */
export interface Stored {
  /** How often each row is there, by its id. */
  readonly times: ReadonlyMap<number, number>;
  readonly gaps: readonly StoredGap[];
}

/** Reads every row of the newest snapshots. */
export async function storedRows(memory: MemoryStore): Promise<Stored> {
  const times = new Map<number, number>();
  const gaps: StoredGap[] = [];
  for (const signal of signals) {
    const table = openTable({ store: memory, tenant, signal, locationOf, clock: stillClock() });
    const manifests = await table.manifestsOf(await table.load());
    const entries = (await Promise.all(manifests.map((manifest) => table.entriesOf(manifest)))).flat();
    for (const { file } of entries) {
      const body = memory.objects.get(table.locations.keyOf(file.path));
      if (body === undefined) throw new Error(`${file.path} is in a table and not in the store`);
      for (const row of parseSegment(body)) {
        if ('id' in row) times.set(row.id, (times.get(row.id) ?? 0) + 1);
        else gaps.push(row);
      }
    }
  }
  return { times, gaps };
}
