import { readdirSync } from 'node:fs';
import { join } from 'node:path';

// A USB stick whose file system is labelled FIRN-STICK asks for something by the files on it: on a site without a network
// to the outside it is how a person with no keyboard reaches the device. Whatever it can ask for is either signed, or
// gives away nothing, or is what somebody with the card in hand could do as well.

/** `file` is what asked for it. */
export type StickTask =
  /** A signed bundle: `*.raucb`; the newest by name. */
  | { readonly kind: 'update'; readonly file: string }
  /** An empty file `firn-support`: a support bundle is put beside it. */
  | { readonly kind: 'support'; readonly file: string; readonly out: string }
  /** A personalisation file: it is taken as from the boot partition. */
  | { readonly kind: 'personalise'; readonly file: string };

/** In the order in which they are done. `folder`: where the stick is mounted. */
export function stickTasks(folder: string, gateway: string, siteFileName: string): StickTask[] {
  const names = readdirSync(folder).sort();
  const path = (name: string): string => join(folder, name);
  const bundle = names.findLast((name) => name.endsWith('.raucb'));
  const tasks: StickTask[] = [];
  if (names.includes('firn-support'))
    tasks.push({ kind: 'support', file: path('firn-support'), out: path(`firn-support-${gateway}.tar.gz`) });
  if (names.includes(siteFileName)) tasks.push({ kind: 'personalise', file: path(siteFileName) });
  if (bundle !== undefined) tasks.push({ kind: 'update', file: path(bundle) });
  return tasks;
}
