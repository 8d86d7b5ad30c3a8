import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, runCommand } from '../../lake/base/command.ts';
import { messageOf } from '../../lake/base/errors.ts';
import { siteFileName } from '../../provisioning/site-file.ts';
import { sayOnConsoles } from '../appliance/consoles.ts';
import { type Places, placesUnder } from '../appliance/places.ts';
import { type StickTask, stickTasks } from '../appliance/stick-tasks.ts';
import { applianceConfig } from './appliance-config.ts';

const command: Command = {
  name: 'firn appliance stick',
  about:
    'Run by an appliance when a USB stick labelled FIRN-STICK is plugged in: writes a support bundle if the stick has a file\n' +
    'firn-support, takes its firn-site.yaml, installs its newest .raucb and starts it. What came of it is in firn-result.txt\n' +
    'on the stick; the files that asked for it end in .taken then.',
  flags: [],
  positionals: ['DEVICE'],
  settings: [],
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const places = placesUnder('/');
    const folder = join(places.run, 'firn/stick');
    mkdirSync(folder, { recursive: true });
    execFileSync('mount', ['-o', 'nosuid,nodev,noexec,sync', line.positionals[0] ?? '', folder]);
    let results: readonly boolean[] = [];
    try {
      results = doTasks(folder, places);
    } finally {
      execFileSync('umount', [folder]);
    }
    if (results.includes(true)) execFileSync('systemctl', ['reboot']);
    return 0;
  });
}

/** Whether each needs a restart. */
function doTasks(folder: string, places: Places): boolean[] {
  const lines: string[] = [];
  const results = stickTasks(folder, applianceConfig(places).gateway, siteFileName).map((task) => {
    try {
      const { text, restart } = doTask(task, places);
      lines.push(`${task.kind}: ${text.trim()}`);
      return restart;
    } catch (error) {
      const { stderr } = error as { readonly stderr?: Buffer };
      lines.push(`${task.kind}: failed: ${(stderr?.toString() || messageOf(error)).trim()}`);
      return false;
    }
  });
  writeFileSync(join(folder, 'firn-result.txt'), `${new Date().toISOString()}\n${lines.join('\n')}\n`);
  sayOnConsoles(`firn: stick: ${lines.join('; ') || 'nothing to do on it'}\n`);
  return results;
}

function doTask(task: StickTask, places: Places): { readonly text: string; readonly restart: boolean } {
  const firn = (...args: readonly string[]): string =>
    execFileSync('firn', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  // Taken first: the stick may still be plugged in at the start that follows.
  const taken = `${task.file}.taken`;
  renameSync(task.file, taken);
  switch (task.kind) {
    case 'support':
      return { text: firn('support', 'bundle', '--out', task.out), restart: false };
    case 'personalise':
      copyFileSync(taken, join(places.boot, siteFileName));
      return { text: 'taken at the start that follows; see the console', restart: true };
    case 'update':
      return { text: firn('update', 'install', taken), restart: true };
  }
}
