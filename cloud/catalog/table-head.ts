import { FirnError, hasCode } from '../../lake/base/errors.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import type { Locations } from './location.ts';
import { parseMetadata, printMetadata, type TableMetadata } from './metadata.ts';

// Where it is decided which metadata is a table's newest. Here it is the object store alone: the newest
// `metadata/v<N>.metadata.json` is the table. Version numbers have no holes above the oldest file that is kept, so the
// newest is found by looking one further. rest-head.ts is the same over an Iceberg REST catalog.

export interface TableHead {
  /** The newest state, looked for from `known` on where that is given; version 0 when there is no table. */
  load(known: TableState | undefined): Promise<TableState>;
  /**
   * Makes `next` the newest, if `base` still is. Throws FirnError `conflict` when it is not: then nothing was changed,
   * or a request that was repeated below us was told of its own success. `isLate` says whether versions after `base` may
   * have come and gone meanwhile: that is then looked at, and is `unavailable`.
   */
  swap(base: TableState, next: TableMetadata, isLate?: () => boolean): Promise<ExistingTable>;
}

export interface TableState {
  /** Grows with each change; 0: there is no table. */
  readonly version: number;
  readonly metadata: TableMetadata | undefined;
  /** The URI of the file that holds the metadata. */
  readonly location?: string | undefined;
  /** Why the newest version can't be read: `metadata` is then that of an older one, and nothing can be committed. */
  readonly fault?: FirnError | undefined;
}

export interface ExistingTable extends TableState {
  readonly metadata: TableMetadata;
}

export const metadataKey = (prefix: string, version: number): string =>
  `${prefix}metadata/v${version}.metadata.json`;
export const hintKey = (prefix: string): string => `${prefix}metadata/version-hint.text`;

/** Versions below an unreadable one that are tried. */
const olderVersionsMax = 100;

export interface HeadPlace {
  readonly store: ObjectStore;
  readonly locations: Locations;
  /** Key prefix of the table, ends in `/`. */
  readonly prefix: string;
}

/** The head of a table that is an object store's alone. */
export function objectStoreHead({ store, locations, prefix }: HeadPlace): TableHead {
  const read = (version: number): Promise<TableState | undefined> =>
    readVersion({ store, locations, prefix }, version);

  /** Finds the newest version without knowing any: by the hint, which may lag behind, else by listing. */
  async function discover(): Promise<TableState> {
    const hint = await unlessAbsent(store.get(hintKey(prefix)));
    const hinted = Number(hint ? Buffer.from(hint.body).toString().trim() : 0);
    const state = Number.isSafeInteger(hinted) && hinted > 0 ? await read(hinted) : undefined;
    if (state) return advance(state);
    let newest = 0;
    for await (const { key } of store.list(`${prefix}metadata/v`)) {
      newest = Math.max(newest, Number(/\/v(\d+)\.metadata\.json$/.exec(key)?.[1] ?? 0));
    }
    return (newest > 0 ? await read(newest) : undefined) ?? { version: 0, metadata: undefined };
  }

  /** The newest version from a known one on: usually that one (one request) or the next (two). */
  async function advance(known: TableState): Promise<TableState> {
    let state = known;
    for (let step = 0; step < 2; step++) {
      const next = await read(state.version + 1);
      if (!next) return state;
      state = next;
    }
    const newest = await gallop(state.version, (version) => exists(store, metadataKey(prefix, version)));
    if (newest === state.version) return state;
    return (await read(newest)) ?? discover();
  }

  /**
   * Old versions are deleted in ascending order. So as long as the one before is there, ours did not take the place of
   * one that was deleted.
   */
  async function follows(version: number): Promise<boolean> {
    if (version > 0) return exists(store, metadataKey(prefix, version));
    for await (const { key } of store.list(`${prefix}metadata/v`, { limit: 2 }))
      if (key !== metadataKey(prefix, 1) && /\/v\d+\.metadata\.json$/.test(key)) return false;
    return true;
  }

  return {
    load: async (known) =>
      withReadable({ store, locations, prefix }, await (known ? advance(known) : discover())),
    swap: async (base, metadata, isLate = () => false) => {
      const version = base.version + 1;
      const key = metadataKey(prefix, version);
      await store.putIfAbsent(key, Buffer.from(printMetadata(metadata)), { contentType: 'application/json' });
      if (isLate() && !(await follows(base.version))) throw await asleepTooLong(store, key);
      try {
        await store.put(hintKey(prefix), Buffer.from(String(version)), { contentType: 'text/plain' });
      } catch (error) {
        // Only a hint: readers look on from whatever it says, and the next commit writes it again.
        if (!(error instanceof FirnError)) throw error;
      }
      return { version, metadata, location: locations.of(key) };
    },
  };
}

/** Takes the version back: at best it is older than any that is needed. */
async function asleepTooLong(store: ObjectStore, key: string): Promise<FirnError> {
  await store.delete(key);
  return new FirnError({
    code: 'unavailable',
    operation: 'commit to table',
    subject: key,
    message: `the process slept for so long before it wrote ${key} that versions before it are gone; whether it was in time is unknown`,
  });
}

/** One version; undefined where it does not exist. One that can't be read comes back with its fault. */
async function readVersion(
  { store, locations, prefix }: HeadPlace,
  version: number,
): Promise<TableState | undefined> {
  const key = metadataKey(prefix, version);
  const object = await unlessAbsent(store.get(key));
  if (!object) return undefined;
  try {
    const metadata = parseMetadata(Buffer.from(object.body).toString(), key);
    return { version, metadata, location: locations.of(key) };
  } catch (error) {
    if (hasCode(error, 'corrupt') || hasCode(error, 'unsupported'))
      return { version, metadata: undefined, fault: unreadable(error) };
    throw error;
  }
}

/** A table whose newest version can't be read stays readable at the newest that can. Throws the fault if none can. */
async function withReadable(place: HeadPlace, state: TableState): Promise<TableState> {
  if (!state.fault || state.metadata) return state;
  for (let version = state.version - 1; version > Math.max(0, state.version - olderVersionsMax); version--) {
    const older = await readVersion(place, version);
    if (!older) break;
    if (older.metadata) return { ...older, version: state.version, fault: state.fault };
  }
  throw state.fault;
}

function unreadable({ code, operation, subject, message, cause }: FirnError): FirnError {
  const hint = 'until it is repaired the table is read as it was before: firn lake check, firn lake repair';
  return new FirnError({ code, operation, subject, message, hint, cause });
}

/** The last of the consecutive versions that exist, in logarithmically many steps. */
async function gallop(from: number, has: (version: number) => Promise<boolean>): Promise<number> {
  let low = from;
  let step = 1;
  while (await has(low + step)) {
    low += step;
    step *= 2;
  }
  let high = low + step;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (await has(middle)) low = middle;
    else high = middle;
  }
  return low;
}

const exists = async (store: ObjectStore, key: string): Promise<boolean> =>
  (await unlessAbsent(store.head(key))) !== undefined;

async function unlessAbsent<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    if (hasCode(error, 'not-found')) return undefined;
    throw error;
  }
}
