import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import { backoffMs } from '../../lake/base/retry.ts';
import { fleetPaths, type GatewayReport, heartbeatAnswer } from '../../provisioning/contract.ts';
import type { CloudSession } from './session.ts';

// What a gateway does with its cloud, besides shipping: every now and then it says how it does. Nothing on site waits for
// it.

interface AgentStatus {
  /** When the cloud has last answered, by our clock; undefined: not since the start. */
  contactMs: number | undefined;
  lastError: string | undefined;
}

export interface Agent extends AsyncDisposable {
  readonly status: Readonly<AgentStatus>;
}

interface AgentOptions {
  readonly session: CloudSession;
  readonly report: () => GatewayReport;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random?: () => number;
}

const waits = { retryMinMs: 2_000, retryMaxMs: 120_000 } as const;
/** Gateways that come again after the same time spread over this part of it. */
const spread = 0.2;

export function startAgent(options: AgentOptions): Agent {
  const { session, report, clock, logger, random = Math.random } = options;
  const status: AgentStatus = { contactMs: undefined, lastError: undefined };
  const stopping = new AbortController();
  const { signal } = stopping;
  const beat = async (): Promise<number> => {
    const body = { report: report() };
    const { againInSeconds } = heartbeatAnswer.parse(
      await session.ask(fleetPaths.heartbeat, { body, signal }),
    );
    return againInSeconds * 1000 * (1 - spread * random());
  };
  const run = async (): Promise<void> => {
    let failures = 0;
    while (!signal.aborted) {
      let waitMs: number;
      try {
        waitMs = await beat();
        if (failures > 0) logger.info('the cloud answers again', { url: session.identity.url });
        failures = 0;
        status.contactMs = clock.nowMs();
        status.lastError = undefined;
      } catch (error) {
        if (signal.aborted) return;
        failures++;
        status.lastError = messageOf(error);
        if (failures === 1)
          logger.warn('the cloud is not reached; nothing here waits for it', { error: messageOf(error) });
        waitMs = waitAfter(error, failures, random());
      }
      await clock.sleep(waitMs, signal).catch(() => undefined);
    }
  };
  const running = run();
  return {
    status,
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await running;
    },
  };
}

/** At least as long as the cloud asks for, and then some, so that not all come at once. */
function waitAfter(error: unknown, failures: number, random: number): number {
  const asked = error instanceof FirnError ? (error.retryAfterMs ?? 0) : 0;
  return Math.max(asked * (1 + random), backoffMs(failures, waits, random));
}
