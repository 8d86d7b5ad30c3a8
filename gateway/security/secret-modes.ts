import { chmodSync, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { FirnError } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';

const othersMask = 0o077;
const worldMask = 0o007;

/** Files that the gateway made for itself alone get their modes back; `folders` hold nothing but such files. */
export function mendModes(folders: readonly string[], logger: Logger): void {
  for (const folder of folders.filter((each) => existsSync(each)))
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      const found = statSync(path);
      if (!found.isFile() || (found.mode & othersMask) === 0) continue;
      chmodSync(path, 0o600);
      logger.warn('a secret file could be read by others; now it can be by its owner alone', {
        ...{ path, before: octal(found.mode) },
      });
    }
}

/**
 * Files with secrets that the settings name: whoever made them decides which group may read them, but not that everybody
 * may. Throws FirnError `invalid` that says what to type.
 */
export function checkModes(files: Readonly<Record<string, string>>): void {
  for (const [setting, path] of Object.entries(files)) {
    if (path === '' || !existsSync(path)) continue;
    const { mode } = statSync(path);
    if ((mode & worldMask) === 0) continue;
    throw new FirnError({
      ...{ code: 'invalid', operation: 'check secret files', subject: setting },
      message: `${setting}: everybody on this machine may open ${path} (mode ${octal(mode)})`,
      hint: `type: chmod o-rwx ${path}`,
    });
  }
}

const octal = (mode: number): string => (mode & 0o777).toString(8).padStart(4, '0');
