import { FirnError } from '../../../lake/base/errors.ts';
import type { ObjectStore } from '../../../lake/object-store/object-store.ts';
import { seededRandom, seededUuid, stillClock } from '../../contract/lake-fixtures.ts';
import { type MemoryStore, memoryStore, watchedStore } from '../../contract/memory-store.ts';

// Processes on one in-memory object store. Every request waits for a seeded scheduler, which lets one go at a time, and
// kills its process now and then, before or after it took effect, or answers "unavailable" about one that did.

export interface ModelWorld {
  readonly random: () => number;
  readonly uuid: () => string;
  readonly clock: ReturnType<typeof stillClock>;
  readonly memory: MemoryStore;
  readonly counts: { faults: number; lostRaces: number };
  /** The store of a process that lives until it is killed; one that sleeps does so before most of its requests. */
  life(sleeps?: boolean): { readonly store: ObjectStore; isDead(): boolean };
  /** Runs what was started until all of it has ended; `between` is called before each request is let go. */
  run(works: readonly Promise<void>[], between: () => void): Promise<void>;
}

export class Killed extends Error {}

interface Setting {
  /** Of requests, how many end in a fault. */
  readonly faultShare: number;
  readonly faultsMax: number;
  /** How often the process whose request was answered makes the next one. */
  readonly goOnShare: number;
}

/** Requests after which a schedule is taken not to end. */
const requestsMax = 20_000;

export function modelWorld(seed: number, { faultShare, faultsMax, goOnShare }: Setting): ModelWorld {
  const random = seededRandom(seed);
  const memory = memoryStore();
  const clock = stillClock();
  const waiting: { readonly life: number; readonly asleep: () => boolean; readonly go: () => void }[] = [];
  let lives = 0;
  let last = 0;
  /** Mostly the same process goes on, as it does where most requests take equally long and few collide. */
  const next = (): void => {
    const again = random() < goOnShare ? waiting.findIndex(({ life }) => life === last) : -1;
    const awake = waiting.filter(({ asleep }) => !asleep());
    const from = awake.length > 0 ? awake : waiting;
    const drawn = from[Math.floor(random() * from.length)];
    const index = again >= 0 ? again : drawn ? waiting.indexOf(drawn) : 0;
    const [one] = waiting.splice(index, 1);
    last = one?.life ?? 0;
    one?.go();
  };
  const counts = { faults: 0, lostRaces: 0 };

  return {
    ...{ random, clock, memory, counts, uuid: seededUuid(random) },
    life: (sleeps = false) => {
      const life = ++lives;
      let dead = false;
      let fault: 'killed after' | 'unavailable after' | undefined;
      const die = (): never => {
        dead = true;
        throw new Killed('killed');
      };
      const store = watchedStore(
        { ...memory, localPath: (key) => key },
        async (method, key) => {
          await new Promise<void>((go) =>
            waiting.push({ life, asleep: () => sleeps && random() < 0.98, go }),
          );
          if (dead) die();
          fault = undefined;
          if (method === 'putIfAbsent' && memory.objects.has(key)) counts.lostRaces++;
          // A commit is where most can go wrong.
          const share = method === 'putIfAbsent' ? 5 * faultShare : faultShare;
          if (counts.faults >= faultsMax || random() >= share) return;
          counts.faults++;
          if (random() < 0.34) die();
          fault = random() < 0.5 ? 'killed after' : 'unavailable after';
        },
        (method, key) => {
          if (dead || fault === 'killed after') die();
          if (fault === undefined) return;
          fault = undefined;
          throw new FirnError({ code: 'unavailable', operation: method, subject: key, message: 'timed out' });
        },
      );
      return { store, isDead: () => dead };
    },
    run: async (works, between) => {
      let running = works.length;
      const failures: unknown[] = [];
      for (const work of works)
        work
          .catch((error: unknown) => failures.push(error))
          .finally(() => {
            running--;
          });
      for (let requests = 0; running > 0 && failures.length === 0; ) {
        await settle();
        if (waiting.length === 0) continue;
        if (++requests > requestsMax) throw new Error('it never comes to rest');
        between();
        next();
      }
      if (failures.length > 0) throw failures[0];
    },
  };
}

/** Lets everything happen that needs no request. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
