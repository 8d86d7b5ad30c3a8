import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, hasCode, messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import { backoffMs } from '../../lake/base/retry.ts';
import {
  type CommandResult,
  commandDocument,
  commandType,
  type Firmware,
  firmwareDocument,
  firmwareType,
  fleetPaths,
  type GatewayReport,
  type HeartbeatAnswer,
  heartbeatAnswer,
} from '../../provisioning/contract.ts';
import { type CommandTarget, runOrder } from './commands.ts';
import type { OrderState } from './order-state.ts';
import { openOrder } from './orders.ts';
import type { CloudSession } from './session.ts';
import { openTrial, type TrialTarget } from './trial.ts';

// What a gateway does with its cloud, besides shipping: every now and then it says how it does, and hears what it is to do.
// Nothing on site waits for it.

interface AgentStatus {
  /** When the cloud has last answered, by our clock; undefined: not since the start. */
  contactMs: number | undefined;
  lastError: string | undefined;
}

export interface Agent extends AsyncDisposable {
  readonly status: Readonly<AgentStatus>;
}

/** Takes updates of the whole machine. */
interface FirmwareTarget {
  said(): NonNullable<GatewayReport['firmware']>;
  request(rollout: number, wanted: Firmware): void;
}

interface AgentOptions {
  readonly session: CloudSession;
  readonly report: () => GatewayReport;
  readonly state: OrderState;
  readonly settings: TrialTarget;
  readonly commands: CommandTarget;
  /** Absent where the machine was not flashed. */
  readonly firmware?: FirmwareTarget | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Settings from the cloud are taken back when they do not do well for so long. */
  readonly trialMsMax: number;
  readonly random?: () => number;
}

const waits = { retryMinMs: 2_000, retryMaxMs: 120_000 } as const;
/** Gateways that come again after the same time spread over this part of it. */
const spread = 0.2;
/** While settings are tried, and when a command has been carried out. */
const soonMs = 2_000;

export function startAgent(options: AgentOptions): Agent {
  const { session, report, state, firmware, clock, logger, random = Math.random } = options;
  const trial = openTrial({ ...options, target: options.settings });
  const status: AgentStatus = { contactMs: undefined, lastError: undefined };
  const stopping = new AbortController();
  const { signal } = stopping;
  let results: CommandResult[] = [];
  const obey = async (orders: readonly string[]): Promise<void> => {
    for (const text of orders) {
      const order = openOrder(text, commandType, commandDocument, session.identity, state.issuedMs);
      if (state.isDone(order.id)) continue;
      // Noted first: a command that ends this process is not carried out again and again.
      state.noteCommand(order.id, order.issuedMs);
      logger.info('the cloud commands', { command: order.command, id: order.id });
      results.push(await runOrder(options.commands, order.id, order.command));
    }
  };
  const beat = async (): Promise<HeartbeatAnswer> => {
    const { said } = state;
    // One at a time, so that a heartbeat stays small.
    const sent = results.slice(0, 1);
    const told = { ...(said && { config: said }), ...(firmware && { firmware: firmware.said() }) };
    const body = { report: { ...report(), ...told }, results: sent };
    const answer = heartbeatAnswer.parse(await session.ask(fleetPaths.heartbeat, { body, signal }));
    results = results.slice(sent.length);
    status.contactMs = clock.nowMs();
    trial.reached();
    return answer;
  };
  const turn = async (): Promise<number> => {
    const { againInSeconds, config, firmware: wanted, commands } = await beat();
    if (config !== undefined) await trial.take(config, session.identity);
    if (wanted !== undefined) takeFirmware(wanted, options);
    await obey(commands);
    const isBusy = trial.isRunning || results.length > 0 || config !== undefined || wanted !== undefined;
    const againMs = againInSeconds * 1000 * (1 - spread * random());
    return isBusy ? Math.min(soonMs, againMs) : againMs;
  };
  const run = async (): Promise<void> => {
    let failures = 0;
    while (!signal.aborted) {
      let waitMs: number;
      try {
        waitMs = await turn();
        if (failures > 0) logger.info('the cloud answers again', { url: session.identity.url });
        failures = 0;
        status.lastError = undefined;
      } catch (error) {
        if (signal.aborted) return;
        // What the cloud does not take now it never will, and the next heartbeat is worth more.
        if (hasCode(error, 'invalid')) results = results.slice(1);
        failures++;
        status.lastError = messageOf(error);
        if (failures === 1)
          logger.warn('the cloud is not reached, or not believed; nothing here waits for it', {
            error: messageOf(error),
          });
        waitMs = waitAfter(error, failures, random());
      }
      await clock.sleep(trial.isRunning ? Math.min(waitMs, soonMs) : waitMs, signal).catch(() => undefined);
      if (!signal.aborted) await trial.watch();
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

function takeFirmware(text: string, { session, state, firmware, logger }: AgentOptions): void {
  const order = openOrder(text, firmwareType, firmwareDocument, session.identity, state.issuedMs);
  state.noteOrder(order.issuedMs);
  logger.info('the cloud asks for an update', { version: order.version, rollout: order.rollout });
  firmware?.request(order.rollout, order);
}

/** At least as long as the cloud asks for, and then some, so that not all come at once. */
function waitAfter(error: unknown, failures: number, random: number): number {
  const asked = error instanceof FirnError ? (error.retryAfterMs ?? 0) : 0;
  return Math.max(asked * (1 + random), backoffMs(failures, waits, random));
}
