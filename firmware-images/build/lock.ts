import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FirnError } from '../../lake/base/errors.ts';
import type { Architecture } from './architectures.ts';

// Which versions of Debian's packages an image is made of is on record; a mirror that has others is not taken silently.

export const lockPath = ({ name }: Architecture): string =>
  join(import.meta.dirname, '..', `packages.${name}.lock`);

/** Throws FirnError `conflict` that names up to ten packages whose version differs. Lines are `name=version`. */
export async function compareWithLock(
  architecture: Architecture,
  installed: readonly string[],
): Promise<void> {
  const locked = (await readFile(lockPath(architecture), 'utf8')).trim().split('\n');
  const differences = differencesOf(locked, installed);
  if (differences.length === 0) return;
  throw new FirnError({
    code: 'conflict',
    operation: 'compare packages with the lock',
    subject: lockPath(architecture),
    message: `${differences.length} packages differ from the lock: ${differences.slice(0, 10).join(', ')}`,
    hint: 'give a mirror of the day of the lock by --mirror, or take the new versions by --write-lock and test the image',
  });
}

/** `name locked -> installed`, in order of names. */
export function differencesOf(locked: readonly string[], installed: readonly string[]): string[] {
  const versions = (lines: readonly string[]): Map<string, string> =>
    new Map(
      lines.map((line): [string, string] => [
        line.slice(0, line.indexOf('=')),
        line.slice(line.indexOf('=') + 1),
      ]),
    );
  const [before, after] = [versions(locked), versions(installed)];
  return [...new Set([...before.keys(), ...after.keys()])]
    .sort()
    .filter((name) => before.get(name) !== after.get(name))
    .map((name) => `${name} ${before.get(name) ?? 'absent'} -> ${after.get(name) ?? 'absent'}`);
}
