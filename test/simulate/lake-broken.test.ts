import { expect, test } from 'vitest';
import { type ReplaceFiles, replaceFiles } from '../../cloud/maintain/replace-files.ts';
import { FirnError } from '../../lake/base/errors.ts';
import type { Variant } from './lake-model/actors.ts';
import { simulateLake } from './lake-model/lake-schedule.ts';
import { withoutStacks } from './without-stacks.ts';

// The model must notice when a rule is broken.

const schedulesMax = 400;
const busy = { housekeepers: [8, 8], readers: [4, 4, 4], sleepers: [2, 2, 2, 2] };

const notLookedAtAgain: ReplaceFiles = async (table, replacement, options) => {
  const manifests = await table.manifestsOf(await table.load());
  const entries = await Promise.all(manifests.map((manifest) => table.entriesOf(manifest)));
  const live = new Set(entries.flat().map(({ file }) => file.path));
  const replaced = replacement.replaced.filter(({ path }) => live.has(path));
  return replaceFiles(table, { ...replacement, replaced }, options);
};
const oldManifests: ReplaceFiles = async (table, replacement, options) => {
  const manifests = await table.manifestsOf(await table.load());
  return replaceFiles({ ...table, manifestsOf: async () => manifests }, replacement, options);
};
const unknownTakenForLost: ReplaceFiles = async (table, replacement, options) => {
  try {
    return await replaceFiles(table, replacement, options);
  } catch (cause) {
    throw new FirnError({ code: 'conflict', operation: 'test', subject: 'test', message: 'lost', cause });
  }
};
const noFence: ReplaceFiles = (table, replacement, options) =>
  replaceFiles(table, { ...replacement, epoch: Number.MAX_SAFE_INTEGER }, options);

const broken: Readonly<Record<string, Variant>> = {
  'files that are not looked at again': { replaceFiles: notLookedAtAgain },
  'a lost race after which the old manifests are written again': { replaceFiles: oldManifests },
  'a commit of unknown outcome that is taken for a lost one': { replaceFiles: unknownTakenForLost },
  'a maintainer that slept and commits all the same': { replaceFiles: noFence, turns: busy },
  'a sweep that waits for nobody': { limits: { orphanGraceMs: 0 }, turns: busy },
};

test.each(Object.entries(broken))('the model notices %s', async (_name, variant) => {
  const wrong = await withoutStacks(async () => {
    for (let seed = 1; seed <= schedulesMax; seed++) {
      const outcome = await simulateLake(seed, variant);
      if (outcome.wrong.length > 0) return outcome.wrong;
    }
    return [];
  });
  expect(wrong.join('\n')).toMatch(/lost|twice|back|found no|comes to rest/);
});
