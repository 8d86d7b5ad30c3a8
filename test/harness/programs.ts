import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

// Programs that are not Firn's own and may not be installed: tests that need one say that they were skipped.

const root = join(import.meta.dirname, '..', '..');
/** Where test/setup unpacks the rivals. */
const peersFolder = join(root, '.cache', 'peers', 'usr', 'bin');

/** The path of a program, or undefined where it is not installed. */
export function findProgram(name: string): string | undefined {
  const peer = join(peersFolder, name);
  if (existsSync(peer)) return peer;
  try {
    return (
      execFileSync('sh', ['-c', `command -v ${name} || ls /usr/sbin/${name} 2>/dev/null`], {
        encoding: 'utf8',
      }).trim() || undefined
    );
  } catch {
    return undefined;
  }
}

/** ../shared of the workplace, or undefined in a checkout without it. */
export const sharedFolder: string | undefined = [join(root, '..', 'shared')].find((path) => existsSync(path));

/** Whether Debian's Python has this module. */
export function pythonModule(name: string): boolean {
  try {
    execFileSync('/usr/bin/python3', ['-c', `import ${name}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
