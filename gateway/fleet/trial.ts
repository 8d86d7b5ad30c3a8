import type { Clock } from '../../lake/base/clock.ts';
import { messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import { configDocument, configType } from '../../provisioning/contract.ts';
import type { Identity } from './identity.ts';
import type { OrderState } from './order-state.ts';
import { openOrder } from './orders.ts';

// Settings from the cloud are tried before they are kept. They are checked first, then the gateway is opened with them; if
// it can't store anything then, or does not reach the cloud, it is opened again with what it had.

/** It has to do well for so long. */
const settleMs = 10_000;

export interface TrialTarget {
  /** Throws FirnError `invalid` that names the setting. */
  check(settings: Readonly<Record<string, unknown>>): void;
  /** Closes the gateway and opens it with these settings; when it rejects, it is open with those before. */
  run(settings: Readonly<Record<string, unknown>>): Promise<void>;
  /** Whether it stores what it receives. */
  isHealthy(): boolean;
}

export interface Trial {
  readonly isRunning: boolean;
  /** Takes what the cloud wants. Throws FirnError `denied` for what it has not signed for this gateway. */
  take(document: string, identity: Identity): Promise<void>;
  /** The cloud has answered. */
  reached(): void;
  /** To be called every now and then, whether the cloud answers or not. */
  watch(): Promise<void>;
}

export function openTrial(options: {
  readonly state: OrderState;
  readonly target: TrialTarget;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly trialMsMax: number;
}): Trial {
  const { state, target, clock, logger, trialMsMax } = options;
  let sinceMs: number | undefined;
  const rollBack = async (why: string, reopen: boolean): Promise<void> => {
    const version = state.trial?.version;
    logger.warn('settings of the cloud are taken back', { version, reason: why });
    sinceMs = undefined;
    state.rollBack(why);
    if (reopen) await target.run(state.running.settings);
  };
  return {
    get isRunning() {
      return sinceMs !== undefined;
    },
    take: async (document, identity) => {
      const order = openOrder(document, configType, configDocument, identity, state.issuedMs);
      state.noteOrder(order.issuedMs);
      const { version, settings } = order;
      if (sinceMs !== undefined && state.trial?.version === version) return;
      if (JSON.stringify(settings) === JSON.stringify(state.running.settings) && sinceMs === undefined) {
        state.same(version);
        return;
      }
      try {
        target.check(settings);
      } catch (error) {
        logger.warn('settings of the cloud are refused', { version, error: messageOf(error) });
        state.refuse(version, messageOf(error));
        return;
      }
      state.begin({ version, settings });
      logger.info('settings of the cloud are tried', { version });
      try {
        await target.run(settings);
        sinceMs = clock.monotonicMs();
      } catch (error) {
        await rollBack(`the gateway could not be opened with them: ${messageOf(error)}`, false);
      }
    },
    reached: () => {
      if (sinceMs === undefined || clock.monotonicMs() - sinceMs < settleMs || !target.isHealthy()) return;
      sinceMs = undefined;
      state.keep();
      logger.info('settings of the cloud are kept', { version: state.running.version });
    },
    watch: async () => {
      if (sinceMs === undefined || clock.monotonicMs() - sinceMs < trialMsMax) return;
      const why = target.isHealthy()
        ? 'the cloud was not reached with them'
        : 'nothing could be stored with them';
      await rollBack(why, true);
    },
  };
}
