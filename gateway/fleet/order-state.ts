import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import { writeSecretFile } from '../../lake/base/secret-file.ts';
import type { GatewayReport } from '../../provisioning/contract.ts';

// Settings that the cloud has given, as they are kept: those that the gateway runs with, those that it tries, and what is
// to be said of them. A trial that is found at a start was not finished: the gateway ended in it, and it is taken back.

const settingsSchema = z.strictObject({
  version: z.number().int().nonnegative(),
  settings: z.record(z.string(), z.unknown()),
});
const said = z.strictObject({
  version: z.number(),
  state: z.enum(['applied', 'trying', 'refused', 'rolled-back']),
  detail: z.string().optional(),
});
const stateSchema = z.strictObject({
  format: z.literal(1),
  /** Of the newest order that was taken, by the cloud's clock. */
  issuedMs: z.number(),
  running: settingsSchema,
  trial: settingsSchema.optional(),
  said: said.optional(),
  /** Commands that were carried out, the newest last. */
  commands: z.array(z.string()),
});
type State = z.infer<typeof stateSchema>;
type GivenSettings = z.infer<typeof settingsSchema>;

const commandsMax = 200;
const detailMax = 1000;

export interface OrderState {
  readonly issuedMs: number;
  readonly running: GivenSettings;
  readonly trial: GivenSettings | undefined;
  readonly said: GatewayReport['config'];
  isDone(command: string): boolean;
  noteOrder(issuedMs: number): void;
  noteCommand(id: string, issuedMs: number): void;
  /** They are what it runs with already. */
  same(version: number): void;
  refuse(version: number, why: string): void;
  begin(trial: GivenSettings): void;
  keep(): void;
  rollBack(why: string): void;
}

const fresh: State = { format: 1, issuedMs: 0, running: { version: 0, settings: {} }, commands: [] };

/** A file that can't be read counts as none: the cloud will say again what it wants. */
export function openOrderState(folder: string, logger: Logger): OrderState {
  const path = join(folder, 'orders.json');
  let state = read(path, logger);
  const save = (next: Partial<State>): void => {
    state = { ...state, ...next };
    writeSecretFile(path, `${JSON.stringify(stateSchema.parse(state), null, 2)}\n`);
  };
  const open: OrderState = {
    get issuedMs() {
      return state.issuedMs;
    },
    get running() {
      return state.running;
    },
    get trial() {
      return state.trial;
    },
    get said() {
      return state.said;
    },
    isDone: (command) => state.commands.includes(command),
    noteOrder: (issuedMs) => save({ issuedMs }),
    noteCommand: (id, issuedMs) => save({ issuedMs, commands: [...state.commands, id].slice(-commandsMax) }),
    same: (version) => save({ running: { ...state.running, version }, said: { version, state: 'applied' } }),
    refuse: (version, why) => save({ said: { version, state: 'refused', detail: why.slice(0, detailMax) } }),
    begin: (trial) => save({ trial, said: { version: trial.version, state: 'trying' } }),
    keep: () => {
      const { trial } = state;
      if (trial)
        save({ running: trial, trial: undefined, said: { version: trial.version, state: 'applied' } });
    },
    rollBack: (why) => {
      const { trial } = state;
      const detail = why.slice(0, detailMax);
      if (trial) save({ trial: undefined, said: { version: trial.version, state: 'rolled-back', detail } });
    },
  };
  if (state.trial) {
    logger.warn('settings of the cloud are taken back', { version: state.trial.version });
    open.rollBack('the gateway ended while it tried them');
  }
  return open;
}

function read(path: string, logger: Logger): State {
  if (!existsSync(path)) return fresh;
  try {
    return stateSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (error) {
    logger.warn('settings of the cloud can not be read; it is asked again', {
      path,
      error: messageOf(error),
    });
    return fresh;
  }
}
