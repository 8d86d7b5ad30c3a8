import type { Clock } from '../../lake/base/clock.ts';
import { networkOf } from '../../lake/base/login-attempts.ts';
import { createRate, type Rate } from '../../lake/base/rate.ts';
import { remember } from '../../lake/base/remember.ts';

// Devices that ask for adoption. Anybody can ask, so nothing of it is stored: how often is limited, and who has asked lately
// is remembered in memory, for the person who adopts. Adoption itself does not need it.

export interface AdoptionLimits {
  /** Requests for adoption; 0: no limit. */
  readonly adoptionsPerSecondMax: number;
  /** The same from one address. */
  readonly adoptionsPerSecondPerAddressMax: number;
}

/** A device that has asked lately. */
export interface WaitingDevice {
  readonly sinceMs: number;
  readonly lastMs: number;
  readonly address: string;
  /** Id that it would like to have. */
  readonly gateway: string | undefined;
  /** The only tenant that may adopt it. */
  readonly tenant: string | undefined;
}

export interface WaitingDevices {
  /** How long until an address may ask, in milliseconds; 0: it may now, and that counts. */
  waitMs(address: string): number;
  /** A device has asked in vain; when it is to come again, in seconds. */
  note(code: string, asked: Pick<WaitingDevice, 'address' | 'gateway' | 'tenant'>): number;
  forget(code: string): void;
  /** Undefined when it has not asked for a while, or is another tenant's. */
  find(code: string, tenant: string): WaitingDevice | undefined;
}

/** Devices, and addresses; the oldest are forgotten first. */
const rememberedMax = 10_000;
const rememberedMs = 600_000;
/** Who has just been switched on has somebody beside it; who has waited for days comes each minute. */
const comeAgain = { min: 5, max: 60, partOfWait: 20 } as const;

export function openWaitingDevices(clock: Clock, limits: AdoptionLimits): WaitingDevices {
  const devices = new Map<string, WaitingDevice>();
  const all = createRate(() => limits.adoptionsPerSecondMax, clock.monotonicMs);
  const rates = new Map<string, Rate>();
  const rateOf = (address: string): Rate => {
    const network = networkOf(address);
    const rate =
      rates.get(network) ?? createRate(() => limits.adoptionsPerSecondPerAddressMax, clock.monotonicMs);
    remember(rates, network, rate, rememberedMax);
    return rate;
  };
  const fresh = (code: string): WaitingDevice | undefined => {
    const found = devices.get(code);
    return found !== undefined && found.lastMs > clock.nowMs() - rememberedMs ? found : undefined;
  };
  return {
    waitMs: (address) => {
      const own = rateOf(address);
      const waitMs = Math.max(own.waitMs(), all.waitMs());
      if (waitMs === 0) for (const rate of [own, all]) rate.take(1);
      return waitMs;
    },
    note: (code, asked) => {
      const nowMs = clock.nowMs();
      const sinceMs = fresh(code)?.sinceMs ?? nowMs;
      remember(devices, code, { ...asked, sinceMs, lastMs: nowMs }, rememberedMax);
      const waitedSeconds = (nowMs - sinceMs) / 1000;
      return Math.min(comeAgain.max, Math.max(comeAgain.min, waitedSeconds / comeAgain.partOfWait));
    },
    forget: (code) => void devices.delete(code),
    find: (code, tenant) => {
      const found = fresh(code);
      return found?.tenant === undefined || found.tenant === tenant ? found : undefined;
    },
  };
}
