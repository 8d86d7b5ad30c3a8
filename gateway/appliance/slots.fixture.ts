import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FirnError } from '../../lake/base/errors.ts';
import type { BundleInfo, SlotName, Slots } from './slots.ts';

/** Two files for slots, and a boot menu that counts tries as grub.cfg does. */
export interface DirectorySlots extends Slots {
  /** The next start: takes a try of the first good slot in order, and gives the version that runs then. */
  boot(): string;
  readonly booted: SlotName;
}

/** A bundle is a JSON file `{version, compatible, signed}`. `root`: where the running release stands. */
export function directorySlots(folder: string, release: string): DirectorySlots {
  const slotFile = (name: SlotName): string => join(folder, `slot-${name}.json`);
  const state = { order: ['A', 'B'] as SlotName[], good: { A: true, B: false }, tries: { A: 0, B: 0 } };
  let booted: SlotName = 'A';
  const read = (path: string): BundleInfo & { signed?: boolean } => JSON.parse(readFileSync(path, 'utf8'));
  const inspect = async (bundle: string): Promise<BundleInfo> => {
    const info = read(bundle);
    if (info.signed !== true)
      throw new FirnError({
        code: 'denied',
        operation: 'inspect',
        subject: 'bundle',
        message: 'the signature is wrong',
      });
    return info;
  };
  return {
    get booted() {
      return booted;
    },
    status: async () => ({ booted, next: state.order[0] ?? 'A', good: { ...state.good } }),
    inspect,
    install: async (bundle) => {
      const other: SlotName = booted === 'A' ? 'B' : 'A';
      state.good[other] = false;
      await inspect(bundle);
      copyFileSync(bundle, slotFile(other));
      state.good[other] = true;
      state.tries[other] = 0;
      state.order = [other, booted];
    },
    confirm: async () => {
      state.good[booted] = true;
      state.tries[booted] = 0;
    },
    reject: async () => {
      state.good[booted] = false;
    },
    boot: () => {
      const next = state.order.find((name) => state.good[name] && state.tries[name] < 3);
      if (next === undefined) throw new Error('no slot is left');
      state.tries[next]++;
      booted = next;
      if (!existsSync(slotFile(next))) writeFileSync(slotFile(next), readFileSync(release));
      const { version } = read(slotFile(next));
      writeFileSync(release, JSON.stringify({ version, architecture: 'amd64' }));
      return version;
    },
  };
}
