import { type Clock, systemClock } from '../../lake/base/clock.ts';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import type { ListOptions, ObjectInfo, ObjectStore } from '../../lake/object-store/object-store.ts';
import type { S3Limits } from '../../lake/object-store/s3/connection.ts';
import type { SignElsewhere } from '../../lake/object-store/s3/signed-elsewhere.ts';
import { fleetPaths, signAnswer, type UploadPlace, uploadPlace } from '../../provisioning/contract.ts';
import type { CloudSession } from './session.ts';

// The object store that the cloud tells of, with credentials that it gives for a while. It is asked at the first use, and
// again after half of their time; while it can't be reached, they are used as long as they count. A cloud that has none to
// give signs each request instead.

interface CloudStoreOptions {
  readonly session: Pick<CloudSession, 'ask' | 'identity'>;
  readonly limits: Partial<S3Limits>;
  readonly proxy: string;
  readonly clock?: Clock;
}

type Credentials = Exclude<UploadPlace, { readonly presigned: true }>;

/** Part of their time after which other credentials are asked for. */
const renewedAfter = 0.5;
/** After a request for them has failed, the next waits so long. */
const askAgainMs = 10_000;

export function cloudStore(options: CloudStoreOptions): ObjectStore {
  const { session, limits, proxy } = options;
  const places = openPlaces(options);
  let opening: Promise<ObjectStore> | undefined;
  let opened: ObjectStore | undefined;
  /** The cloud gives something else than it did: it is asked anew, by whoever comes next. */
  const forget = (): void => {
    opening = undefined;
    places.forget();
  };
  const credentials = async (): Promise<Credentials> => {
    const place = await places.current();
    if (!('presigned' in place)) return place;
    forget();
    throw unfit(session.identity.url, 'no credentials any more');
  };
  const sign: SignElsewhere = async (request) => {
    try {
      return signAnswer.parse(await session.ask(fleetPaths.sign, { body: request })).query;
    } catch (error) {
      if (hasCode(error, 'invalid')) forget();
      throw error;
    }
  };
  const open = async (): Promise<ObjectStore> => {
    const current = await places.current();
    const { endpoint, region, bucket, prefix, pathStyle } = current;
    // The SDK takes a while to load, and only gateways that ship need it.
    const { s3Store } = await import('../../lake/object-store/s3/s3-store.ts');
    const place = { endpoint, region, bucket, prefix, pathStyle, limits, proxy };
    opened?.close();
    opened = s3Store({ ...place, ...('presigned' in current ? { sign } : { credentials }) });
    return opened;
  };
  const store = (): Promise<ObjectStore> => {
    opening ??= open().catch((error: unknown) => {
      opening = undefined;
      throw error;
    });
    return opening;
  };
  return {
    get description() {
      return opened?.description ?? `the store that ${session.identity.url} tells of`;
    },
    put: async (...given) => (await store()).put(...given),
    putIfAbsent: async (...given) => (await store()).putIfAbsent(...given),
    putIfMatch: async (...given) => (await store()).putIfMatch(...given),
    putFile: async (...given) => (await store()).putFile(...given),
    get: async (...given) => (await store()).get(...given),
    getRange: async (...given) => (await store()).getRange(...given),
    getFile: async (...given) => (await store()).getFile(...given),
    head: async (...given) => (await store()).head(...given),
    list: (prefix, list) => listed(store, prefix, list),
    listFolders: (prefix, read) => folders(store, prefix, read),
    delete: async (...given) => (await store()).delete(...given),
    localPath: () => undefined,
    serverTime: () => opened?.serverTime?.(),
    close: () => opened?.close(),
  };
}

async function* listed(
  store: () => Promise<ObjectStore>,
  prefix: string,
  options: ListOptions | undefined,
): AsyncIterable<ObjectInfo> {
  yield* (await store()).list(prefix, options);
}

async function* folders(
  store: () => Promise<ObjectStore>,
  prefix: string,
  options: { readonly signal?: AbortSignal } | undefined,
): AsyncIterable<string> {
  yield* (await store()).listFolders(prefix, options);
}

/** What the cloud said last, asked for ahead of its end. */
function openPlaces({ session, clock = systemClock }: CloudStoreOptions) {
  let known: { readonly place: UploadPlace; readonly atMs: number } | undefined;
  let asking: Promise<UploadPlace> | undefined;
  let askedMs = Number.NEGATIVE_INFINITY;
  const ask = async (): Promise<UploadPlace> => {
    askedMs = clock.monotonicMs();
    const { data: place } = uploadPlace.safeParse(await session.ask(fleetPaths.uploads, { body: {} }));
    if (place === undefined) throw unfit(session.identity.url, 'something else than credentials');
    known = { place, atMs: clock.monotonicMs() };
    return place;
  };
  const askOnce = (): Promise<UploadPlace> => {
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    return asking;
  };
  return {
    current: async (): Promise<UploadPlace> => {
      const nowMs = clock.monotonicMs();
      if (known === undefined) return askOnce();
      if ('presigned' in known.place) return known.place;
      const part = (nowMs - known.atMs) / (known.place.expiresInSeconds * 1000);
      if (part >= 1) return askOnce();
      // Nobody waits for the next ones while these count.
      if (part >= renewedAfter && nowMs - askedMs >= askAgainMs) askOnce().catch(() => undefined);
      return known.place;
    },
    forget: (): void => {
      known = undefined;
    },
  };
}

const unfit = (url: string, what: string): FirnError =>
  new FirnError({
    ...{ code: 'unavailable', operation: 'ask for credentials', subject: url, answered: true },
    message: `the cloud at ${url} answers with ${what}`,
  });
