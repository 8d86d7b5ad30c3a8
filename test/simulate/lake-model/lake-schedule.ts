import {
  committer,
  compactor,
  deleter,
  foreigner,
  graceMs,
  housekeeper,
  type Model,
  reader,
  type Stage,
  sleeper,
  type Variant,
} from './actors.ts';
import { modelWorld } from './model-world.ts';

/** What one seed came to. */
export interface LakeOutcome {
  readonly wrong: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
}

const usualTurns = { housekeepers: [3, 1], readers: [1, 1, 1], sleepers: [1] };

/** Sixteen processes and more on one table; then a last reader sees what has to be there. */
export async function simulateLake(seed: number, variant: Variant = {}): Promise<LakeOutcome> {
  const world = modelWorld(seed, {
    faultShare: [0, 0.01, 0.03][seed % 3] ?? 0,
    faultsMax: 12,
    goOnShare: [0.5, 0.8, 0.9, 0.95][seed % 4] ?? 0,
  });
  const counts = { merges: 0, superseded: 0, reads: 0, swept: 0, expired: 0 };
  const model: Model = {
    ...{ committed: new Set(), begun: new Set(), deleted: new Set(), deleting: new Set() },
    ...{ wrong: [], openReaders: new Set(), counts },
  };
  const stage: Stage = { world, model, variant };
  const { turns = usualTurns } = variant;
  const works = [
    ...['a', 'b', 'c', 'd', 'e', 'f'].map((name) => committer(stage, name, 1)),
    foreigner(stage, 'z'),
    ...[2, 2, 2].map((count) => compactor(stage, count)),
    ...turns.sleepers.map((count) => sleeper(stage, count)),
    ...turns.housekeepers.map((count) => housekeeper(stage, count)),
    deleter(stage),
    ...turns.readers.map((count) => reader(stage, count)),
  ];
  const passTime = (): void => {
    const { clock, random } = world;
    const oldest = Math.min(...[...model.openReaders].map(({ sinceMs }) => sinceMs));
    // Views are closed before the grace time is over; all else may sleep for as long as it likes.
    if (random() < 0.3 && clock.nowMs() - oldest < graceMs / 2) clock.advance(Math.floor(random() * 300));
  };
  try {
    await world.run(works, passTime);
    for (let round = 0; round < 1; round++) {
      world.clock.advance(3 * graceMs);
      await world.run([housekeeper(stage, 1)], () => undefined);
      await world.run([compactor(stage, 1)], () => undefined);
    }
    await world.run([reader(stage, 1)], () => undefined);
  } catch (error) {
    model.wrong.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  return {
    wrong: model.wrong.map((what) => `seed ${seed}: ${what}`),
    counts: { ...counts, ...world.counts },
  };
}
