import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../lake/base/clock.ts';
import { seededRandom } from '../contract/lake-fixtures.ts';

// Everything that happens in a simulation happens here, one thing at a time and in an order that a seed decides: what the
// processes ask of the outside (requests) and what they wait for (timers). Real time does not exist.

/** A process that can be killed: from then on nothing of it reaches the outside, and nothing from outside reaches it. */
export interface Life {
  readonly name: string;
  dead: boolean;
}

/** Something a process has asked for and that has not happened yet. */
interface Pending {
  readonly life: Life;
  /** Sorts what is pending, so that a choice means the same in each run of a seed. */
  readonly label: string;
  /** Its asker's death does not call it back. */
  readonly sent: boolean;
  /** Does it, and answers. Never throws. */
  go(): Promise<void>;
  /** Answers that it failed, without having done it. */
  fail(error: Error): void;
}

interface Timer {
  readonly life: Life;
  readonly dueMs: number;
  readonly order: number;
  fire(): void;
}

export interface World {
  readonly seed: number;
  readonly random: () => number;
  chance(probability: number): boolean;
  pick<T>(items: readonly T[]): T | undefined;
  /** True time, milliseconds since the Unix epoch. */
  nowMs(): number;
  /** A process' clock; `offsetMs` is how wrong its wall clock is at the moment. */
  clockOf(life: Life, offsetMs?: () => number): Clock;
  /** Asks for something, which asks for nothing itself; resolves when it is done. `sent`: see Pending. */
  request<T>(life: Life, label: string, sent: boolean, work: () => Promise<T> | T): Promise<T>;
  readonly pending: readonly Pending[];
  /** Lets one pending thing happen. */
  release(pending: Pending): Promise<void>;
  /** Forgets timers and requests of a process that is dead; returns its requests. */
  abandon(life: Life): Pending[];
  /** Waits until every process waits for the world. */
  settle(): Promise<void>;
  /** Moves time to the next timer, if that is due within `withinMs`; false when there is none. */
  nextTimer(withinMs?: number): boolean;
  advance(ms: number): void;
}

const killed = (): Error => new Error('this process is dead');

const startMs = Date.UTC(2026, 0, 1);

export function createWorld(seed: number): World {
  const random = seededRandom(seed);
  const pending: Pending[] = [];
  let timers: Timer[] = [];
  let nowMs = startMs;
  let order = 0;
  const fireDue = (): void => {
    const due = timers.filter(({ dueMs }) => dueMs <= nowMs);
    if (due.length === 0) return;
    timers = timers.filter(({ dueMs }) => dueMs > nowMs);
    due.sort((a, b) => a.dueMs - b.dueMs || a.order - b.order);
    for (const timer of due) timer.fire();
  };
  const world: World = {
    seed,
    random,
    chance: (probability) => random() < probability,
    pick: (items) => items[Math.floor(random() * items.length)],
    nowMs: () => nowMs,
    clockOf: (life, offsetMs = () => 0) => ({
      nowMs: () => nowMs + offsetMs(),
      monotonicMs: () => nowMs - startMs,
      sleep: (ms, signal) =>
        new Promise((resolve, reject) => {
          if (signal?.aborted) return reject(signal.reason);
          const timer = { life, dueMs: nowMs + Math.ceil(Math.max(0, ms)), order: order++, fire: resolve };
          if (!life.dead) timers.push(timer);
          signal?.addEventListener('abort', () => {
            timers = timers.filter((other) => other !== timer);
            reject(signal.reason);
          });
        }),
    }),
    request: (life, label, sent, work) =>
      new Promise((resolve, reject) => {
        if (life.dead) return reject(killed());
        const go = async (): Promise<void> => {
          try {
            resolve(await work());
          } catch (error) {
            reject(error);
          }
        };
        pending.push({ life, label: `${life.name} ${label}`, sent, go, fail: reject });
      }),
    get pending() {
      return pending.toSorted((a, b) => (a.label < b.label ? -1 : a.label > b.label ? 1 : 0));
    },
    release: async (one) => {
      const index = pending.indexOf(one);
      if (index >= 0) pending.splice(index, 1);
      await one.go();
    },
    abandon: (life) => {
      timers = timers.filter((timer) => timer.life !== life);
      const left = pending.filter((one) => one.life === life);
      for (const one of left) pending.splice(pending.indexOf(one), 1);
      return left;
    },
    settle: settleProcesses,
    nextTimer: (withinMs = Number.POSITIVE_INFINITY) => {
      const dueMs = timers.reduce((least, timer) => Math.min(least, timer.dueMs), Number.POSITIVE_INFINITY);
      if (dueMs > nowMs + withinMs || dueMs === Number.POSITIVE_INFINITY) return false;
      nowMs = Math.max(nowMs, dueMs);
      fireDue();
      return true;
    },
    advance: (ms) => {
      nowMs += ms;
      fireDue();
    },
  };
  return world;
}

/** Turns of the event loop after which code that waits for nothing real has come to its next wait. */
const quietTurns = 2;

/** The only real things that a process waits for are its local files. */
async function settleProcesses(): Promise<void> {
  for (let quiet = 0; quiet < quietTurns; ) {
    await nextTurn();
    quiet = process.getActiveResourcesInfo().some(isFileRequest) ? 0 : quiet + 1;
  }
}

const isFileRequest = (resource: string): boolean => /FSReq|CloseReq/.test(resource);

/** What a dead process had sent may have arrived, or arrives later, or never; what it had not sent does not happen. */
export function dropRequests(world: World, life: Life): void {
  for (const one of world.abandon(life)) {
    const arrives = one.sent && world.chance(0.5);
    if (arrives) void world.request(network, one.label, true, one.go);
    one.fail(killed());
  }
}

/** Carries on what nobody waits for any more. */
export const network: Life = { name: 'network', dead: false };
