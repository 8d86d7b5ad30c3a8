import { type Clock, systemClock } from '../../lake/base/clock.ts';
import { messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import { createBell } from '../../lake/base/retry.ts';
import type { ClockQuality } from '../../lake/model/manifest.ts';
import type { OwnTime } from '../../lake/receive/mqtt/device-time.ts';
import { type Machine, systemMachine } from './machine.ts';
import type { RecordedTimes } from './recorded-times.ts';
import {
  type ClockChange,
  createTimeKeeper,
  type TimeKeeper,
  type TimeKeeperSettings,
} from './time-keeper.ts';

export interface GatewayClockOptions extends Pick<TimeKeeperSettings, 'trust'> {
  readonly holdMs: number;
  readonly logger: Logger;
  readonly machine?: Machine;
  /** How often evidence is looked at while the time is in doubt, and while it is not. */
  readonly doubtIntervalMs?: number;
  readonly sureIntervalMs?: number;
}

/** Time from elsewhere: `serverMs` was the time when `systemClock.monotonicMs` was `atMonotonicMs`. */
interface OutsideTime {
  readonly serverMs: number;
  readonly atMonotonicMs: number;
}

export interface GatewayClock {
  /** The gateway's time, for everything in it. */
  readonly clock: Clock;
  readonly bootId: string;
  readonly quality: ClockQuality;
  monotonicUs(): number;
  /** For MQTT: what a device's time is compared with. */
  ownTime(): OwnTime;
  /** For the sealer; see TimeKeeper. */
  holdSinceMonoUs(): number;
  /** It is later than this for sure: the time in a receipt of the cloud. */
  notBefore(timeUs: number): void;
  /** Another machine to ask along with the evidence: the newest answer of the object store. */
  ask(outside: () => OutsideTime | undefined): void;
  /** Begins to look at the evidence. `setClock` writes a change to the log, `recorded` is what the log says. */
  follow(log: {
    readonly setClock: (clock: ClockQuality, correctUs: number | undefined) => Promise<void>;
    readonly recorded: RecordedTimes;
  }): Promise<AsyncDisposable>;
  readonly state: TimeKeeper['state'];
}

const defaults = { doubtIntervalMs: 1000, sureIntervalMs: 30_000 } as const;
/** Nothing that this version of Firn does can have happened earlier. */
const madeUs = Date.UTC(2026, 10, 1) * 1000;

export function createGatewayClock(options: GatewayClockOptions): GatewayClock {
  const { trust, holdMs, logger, machine = systemMachine(), ...given } = options;
  const { doubtIntervalMs, sureIntervalMs } = { ...defaults, ...given };
  /** Before the log is open there are no rows to apply changes to. */
  let report: (change: ClockChange) => void = () => undefined;
  let outside: () => OutsideTime | undefined = () => undefined;
  const bell = createBell(systemClock);
  const keeper = createTimeKeeper({ trust, holdUs: holdMs * 1000, floorUs: madeUs }, (change) => {
    const log = change.clock === 'trusted' ? logger.info : logger.warn;
    log('what is known of the clock has changed', { clock: change.clock, reason: change.reason });
    report(change);
    bell.ring(); // a jump: look at the evidence at once
  });
  const learn = ({ serverMs, atMonotonicMs }: OutsideTime, source: string): void => {
    const nowMs = serverMs + systemClock.monotonicMs() - atMonotonicMs;
    keeper.learn(nowMs * 1000, machine.read(), source);
  };
  const clock: Clock = {
    nowMs: () => keeper.nowUs(machine.read()) / 1000,
    monotonicMs: systemClock.monotonicMs,
    sleep: systemClock.sleep,
  };
  return {
    clock,
    bootId: machine.bootId,
    state: keeper.state,
    get quality() {
      return keeper.state.clock;
    },
    monotonicUs: () => machine.read().monoUs,
    ownTime: () => ({ trusted: keeper.state.clock !== 'untrusted', floorUs: keeper.state.floorUs }),
    holdSinceMonoUs: () => keeper.holdSinceMonoUs(machine.read()),
    notBefore: (timeUs) => keeper.resume({ newestUs: timeUs }),
    ask: (source) => {
      outside = source;
    },
    follow: async ({ setClock, recorded }) => {
      keeper.resume(recorded);
      report = ({ clock: quality, correctUs }) => {
        setClock(quality, correctUs).catch((error: unknown) => {
          logger.error('the log does not know what became of the clock', { error: messageOf(error) });
        });
      };
      let heardAtMs: number | undefined;
      const look = async (): Promise<void> => {
        const evidence = await machine.evidence();
        keeper.look(machine.read(), evidence);
        const time = outside();
        // One answer says it once, however often it is looked at.
        if (time === undefined || time.atMonotonicMs === heardAtMs) return;
        heardAtMs = time.atMonotonicMs;
        learn(time, 'the object store');
      };
      await look();
      const stop = new AbortController();
      const loop = (async () => {
        while (!stop.signal.aborted) {
          const sure = keeper.state.clock === 'trusted';
          await bell.wait(stop.signal, sure ? sureIntervalMs : doubtIntervalMs);
          if (!stop.signal.aborted) await look();
        }
      })();
      return {
        [Symbol.asyncDispose]: async () => {
          stop.abort();
          await loop;
        },
      };
    },
  };
}
