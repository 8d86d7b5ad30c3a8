import type { Clock } from '../../lake/base/clock.ts';
import { hasCode, messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import { createBell } from '../../lake/base/retry.ts';
import type { Gap } from '../../lake/model/gap.ts';
import { createDiskGuard, type DiskGuard } from './disk-guard.ts';
import {
  type LadderFile,
  type LadderFiles,
  type LadderSettings,
  type LadderStep,
  ladderDefaults,
  nextStep,
} from './ladder.ts';
import { gapsOfDropped, gapsOfRolledUp } from './ladder-gaps.ts';
import { type DiskLimits, type DiskPressure, type DiskUsage, pressureOf } from './pressure.ts';

// Does the steps of the ladder. A step that takes rows away changes the list of files and writes what is missing in one
// transaction, and deletes the files after it: a crash before it changes nothing, a crash after it leaves files that
// nothing names, which the next start removes. So nothing is lost without a row in `gaps`, and nothing is there twice.

export interface DiskPorts {
  measure(): Promise<DiskUsage>;
  readonly files: LadderFiles & {
    /** Leaves these out of `oldestRun` from now on. */
    hold(files: readonly LadderFile[]): void;
  };
  /** Forgets files whose rows are elsewhere. */
  forget(paths: readonly string[]): Promise<void>;
  /**
   * Forgets files for good and stores gaps, in one transaction. Rejects with FirnError `conflict` when a shipment names
   * one meanwhile.
   */
  drop(paths: readonly string[], gaps: readonly Gap[]): Promise<void>;
  /**
   * Writes what replaces these files. `few` rows would be saved: nothing was written. Rejects with FirnError
   * `unsupported` where there is no DuckDB.
   */
  rollUp(files: readonly LadderFile[]): Promise<RolledUp | 'few'>;
  /** Deletes files that nothing names any more, once nothing reads them. */
  discard(paths: readonly string[]): Promise<void>;
  /** Gives back a little room that was set aside: the transaction that frees room needs some itself. */
  releaseBallast(): Promise<boolean>;
}

export interface RolledUp {
  /** Samples that are gone. */
  readonly removedRows: number;
  readonly addedBytes: number;
  /** Replaces the files in one transaction with the gaps. */
  commit(gaps: readonly Gap[]): Promise<void>;
  /** Deletes what was written. */
  abandon(): Promise<void>;
}

export interface DiskLadderOptions extends DiskPorts, DiskLimits, Partial<LadderSettings> {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly checkIntervalMs?: number;
  /** Steps before the gateway's other work gets its turn. */
  readonly stepsPerCheckMax?: number;
}

const diskDefaults = { ...ladderDefaults, checkIntervalMs: 10_000, stepsPerCheckMax: 200 } as const;

export interface DiskLadder extends AsyncDisposable {
  readonly guard: DiskGuard;
  /** Measures, and takes steps until there is room or nothing is left to give up. */
  relieveNow(): Promise<void>;
  readonly status: Readonly<DiskStatus>;
}

/** Counted since the start. */
interface DiskStatus {
  pressure: DiskPressure | undefined;
  removedCopies: number;
  rolledUpRows: number;
  droppedRows: number;
  freedBytes: number;
}

type Settings = Required<DiskLadderOptions>;

export function startDiskLadder(options: DiskLadderOptions): DiskLadder {
  const settings: Settings = { ...diskDefaults, ...options };
  const { clock, logger } = settings;
  const bell = createBell(clock);
  const guard = createDiskGuard(() => bell.ring());
  const status: DiskStatus = {
    ...{ pressure: undefined, removedCopies: 0, rolledUpRows: 0, droppedRows: 0, freedBytes: 0 },
  };
  const climb = createClimber(settings, guard, status);
  const stop = new AbortController();
  let last: Promise<void> = Promise.resolve();
  const relieveNow = (): Promise<void> => {
    last = last.catch(() => undefined).then(() => climb(stop.signal));
    return last;
  };
  const loop = (async () => {
    for (let logged: string | undefined; !stop.signal.aborted; ) {
      await bell.wait(stop.signal, settings.checkIntervalMs);
      if (stop.signal.aborted) return;
      try {
        await relieveNow();
        logged = undefined;
      } catch (error) {
        const message = messageOf(error);
        if (message !== logged) logger.error('could not free disk space; trying again', { error: message });
        logged = message;
      }
    }
  })();
  return {
    guard,
    status,
    relieveNow,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await loop;
      await last.catch(() => undefined); // whoever called relieveNow has it
    },
  };
}

function createClimber(settings: Settings, guard: DiskGuard, status: DiskStatus) {
  const { logger, stepsPerCheckMax, files } = settings;
  const announce = createAnnouncer(logger);
  /** There is no DuckDB here. */
  let canRollUp = true;

  return async (stop: AbortSignal): Promise<void> => {
    const possible: LadderFiles = {
      oldest: files.oldest,
      oldestRun: (max) => (canRollUp ? files.oldestRun(max) : []),
    };
    for (let steps = 0; steps < stepsPerCheckMax && !stop.aborted; steps++) {
      const pressure = pressureOf(await settings.measure(), settings);
      guard.measured(pressure);
      status.pressure = pressure;
      announce(pressure, guard.status.refusing);
      const step = nextStep(pressure, possible, settings);
      if (step === undefined) return;
      try {
        await takeStep(settings, step, status);
      } catch (error) {
        // Somebody else has just merged or shipped one of the files: look again.
        if (hasCode(error, 'conflict')) continue;
        if (step.kind !== 'roll-up' || hasCode(error, 'unavailable')) throw error;
        // Without the roll-up the ladder goes on to the next step; room must be made in any case.
        if (hasCode(error, 'unsupported')) canRollUp = false;
        files.hold(step.files);
        logger.warn('old metrics could not be rolled up', { error: messageOf(error) });
      }
    }
  };
}

async function takeStep(settings: Settings, step: LadderStep, status: DiskStatus): Promise<void> {
  const { logger } = settings;
  if (step.kind === 'roll-up') return rollUp(settings, step.files, status);
  const paths = step.files.map(({ path }) => path);
  await withBallast(settings, () =>
    step.kind === 'drop' ? settings.drop(paths, gapsOfDropped(step.files)) : settings.forget(paths),
  );
  await settings.discard(paths);
  const [rows, bytes] = [sumOf(step.files, 'rows'), sumOf(step.files, 'bytes')];
  status.freedBytes += bytes;
  if (step.kind === 'drop') {
    status.droppedRows += rows;
    logger.error('the disk budget is used up: data was dropped', { class: step.class, rows, bytes });
  } else {
    status.removedCopies += paths.length;
    logger.debug('removed local copies to free disk space', { files: paths.length, bytes });
  }
}

async function rollUp(settings: Settings, files: readonly LadderFile[], status: DiskStatus): Promise<void> {
  const rolled = await settings.rollUp(files);
  if (rolled === 'few') return settings.files.hold(files);
  try {
    await withBallast(settings, () => rolled.commit(gapsOfRolledUp(files, rolled.removedRows)));
  } catch (error) {
    await rolled.abandon();
    throw error;
  }
  await settings.discard(files.map(({ path }) => path));
  const freed = sumOf(files, 'bytes') - rolled.addedBytes;
  status.rolledUpRows += rolled.removedRows;
  status.freedBytes += freed;
  settings.logger.warn('rolled up old metrics to free disk space', {
    rows: rolled.removedRows,
    bytes: freed,
  });
}

/** Tries again once with the ballast's room: on a disk that others have filled nothing could be taken off the list. */
async function withBallast(settings: Settings, transaction: () => Promise<void>): Promise<void> {
  try {
    await transaction();
  } catch (error) {
    if (!hasCode(error, 'unavailable') || !(await settings.releaseBallast())) throw error;
    await transaction();
  }
}

const sumOf = (files: readonly LadderFile[], field: 'rows' | 'bytes'): number =>
  files.reduce((sum, file) => sum + file[field], 0);

/** Says once when rows begin to be refused, and when that ends. */
function createAnnouncer(logger: Logger): (pressure: DiskPressure, refusing: boolean) => void {
  let refused = false;
  return ({ ownBytes, budgetBytes, boundBy }, refusing) => {
    const fields = { ownBytes, budgetBytes, setting: boundBy };
    if (refusing && !refused) logger.error('no room left: nothing more is accepted for now', fields);
    if (!refusing && refused) logger.info('there is room again', fields);
    refused = refusing;
  };
}
