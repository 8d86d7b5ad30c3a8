import type { Clock } from './clock.ts';
import { remember } from './remember.ts';

// Guessing of passwords and secrets. Failures are counted by address, by name, and by both together, in windows of time;
// beyond a limit nobody is asked for a proof any more until the window is over, so that an answer tells nothing: neither
// whether a name exists nor whether the secret was right. Who has come from an address before is not kept out by what
// others do there, or do with the same name elsewhere.

export interface LoginLimits {
  /** Failed logins with one name; 0: no limit. */
  readonly failuresPerNameMax: number;
  /** Failed logins from one address; 0: no limit. */
  readonly failuresPerAddressMax: number;
  readonly windowSeconds: number;
}

export interface LoginAttempts {
  /** How long until a try counts, in milliseconds; 0: it counts now. */
  waitMs(address: string, name: string): number;
  failed(address: string, name: string): void;
  succeeded(address: string, name: string): void;
}

/** Whoever comes without limits. */
export const noLoginLimits: LoginAttempts = {
  waitMs: () => 0,
  failed: () => undefined,
  succeeded: () => undefined,
};

/** Counters, and pairs that are known; the oldest are forgotten first. */
const rememberedMax = 100_000;
const knownForMs = 24 * 3_600_000;

interface Window {
  failures: number;
  endsMs: number;
}

/** `onBlocked` is told once a window that somebody has to wait. */
export function createLoginAttempts(
  limits: LoginLimits,
  clock: Pick<Clock, 'monotonicMs'>,
  onBlocked: (address: string, name: string) => void = () => undefined,
): LoginAttempts {
  const { failuresPerNameMax, failuresPerAddressMax, windowSeconds } = limits;
  const windows = new Map<string, Window>();
  /** When somebody last came with success. */
  const known = new Map<string, number>();

  const leftMs = (key: string, max: number): number => {
    const window = windows.get(key);
    if (max === 0 || window === undefined || window.failures < max) return 0;
    return Math.max(0, window.endsMs - clock.monotonicMs());
  };
  const count = (key: string): number => {
    const nowMs = clock.monotonicMs();
    const before = windows.get(key);
    const window =
      before && before.endsMs > nowMs ? before : { failures: 0, endsMs: nowMs + windowSeconds * 1000 };
    window.failures++;
    remember(windows, key, window, rememberedMax);
    return window.failures;
  };
  return {
    waitMs: (address, name) => {
      const [from, by, both] = keysOf(address, name);
      const own = leftMs(both, failuresPerNameMax);
      if ((known.get(both) ?? Number.NEGATIVE_INFINITY) > clock.monotonicMs() - knownForMs) return own;
      return Math.max(own, leftMs(from, failuresPerAddressMax), leftMs(by, failuresPerNameMax));
    },
    failed: (address, name) => {
      const [from, by, both] = keysOf(address, name);
      count(both);
      const full = [count(from) === failuresPerAddressMax, count(by) === failuresPerNameMax];
      if (full.includes(true)) onBlocked(address, name);
    },
    succeeded: (address, name) => {
      const [, , both] = keysOf(address, name);
      remember(known, both, clock.monotonicMs(), rememberedMax);
      windows.delete(both);
    },
  };
}

function keysOf(address: string, name: string): readonly [from: string, by: string, both: string] {
  const from = networkOf(address);
  // A name is as long as its sender likes.
  const by = name.slice(0, 256);
  return [`from ${from}`, `by ${by}`, `both ${from} ${by}`];
}

/** Who has one IPv6 address has the 2^64 beside it. */
export const networkOf = (address: string): string =>
  address.includes(':') && !address.includes('.') ? address.split(':').slice(0, 4).join(':') : address;
