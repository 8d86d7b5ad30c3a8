import { spawn } from 'node:child_process';
import { FirnError } from '../../lake/base/errors.ts';
import type { BundleInfo, SlotName, SlotStatus, Slots } from './slots.ts';

// RAUC's slots: it verifies bundles against /etc/rauc/keyring.pem, writes them, and keeps what boots in GRUB's variables.

interface RaucStatus {
  readonly booted: string;
  readonly boot_primary: string | null;
  readonly slots: readonly Readonly<
    Record<string, { readonly bootname?: string; readonly boot_status?: string }>
  >[];
}

export const raucSlots = (): Slots => ({ status, inspect, install, confirm, reject });

async function status(): Promise<SlotStatus> {
  const status = JSON.parse(await rauc(['status', '--output-format=json'])) as RaucStatus;
  const slots = new Map(status.slots.flatMap((each) => Object.entries(each)));
  const nameOf = (slot: string | null): SlotName | undefined => {
    const name = slots.get(slot ?? '')?.bootname ?? slot;
    return name === 'A' || name === 'B' ? name : undefined;
  };
  const booted = nameOf(status.booted);
  if (booted === undefined) throw raucFailure('status', `no slot is named ${status.booted}`);
  const good = (name: SlotName): boolean =>
    [...slots.values()].some((slot) => slot.bootname === name && slot.boot_status === 'good');
  return { booted, next: nameOf(status.boot_primary) ?? booted, good: { A: good('A'), B: good('B') } };
}

async function inspect(bundle: string): Promise<BundleInfo> {
  const { version, compatible } = JSON.parse(
    await rauc(['info', '--output-format=json', bundle]),
  ) as BundleInfo;
  return { version, compatible };
}

async function install(bundle: string, signal?: AbortSignal): Promise<void> {
  await rauc(['install', bundle], signal);
}

const confirm = async (): Promise<void> => void (await rauc(['status', 'mark-good', 'booted']));
const reject = async (): Promise<void> => void (await rauc(['status', 'mark-bad', 'booted']));

async function rauc(args: readonly string[], signal?: AbortSignal): Promise<string> {
  const child = spawn('rauc', args, { stdio: ['ignore', 'pipe', 'pipe'], signal });
  const printed: Buffer[] = [];
  const complained: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => printed.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => complained.push(chunk));
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once('error', reject);
  child.once('close', resolve);
  if ((await promise) === 0) return Buffer.concat(printed).toString();
  throw raucFailure(args[0] ?? '', Buffer.concat([...complained, ...printed]).toString());
}

const kinds = [
  {
    words: /bundle format|bundle size|copy data/i,
    code: 'corrupt',
    hint: 'the bundle is not whole: fetch or copy it again; the version that runs goes on',
  },
  {
    words: /signature|certificate|verif/i,
    code: 'denied',
    hint: 'the bundle is not signed by an authority that this image trusts',
  },
] as const;

/** What RAUC says of a command that failed: why is in its last lines, and what kind of failure it is in its words. */
export function raucFailure(operation: string, text: string): FirnError {
  const lines = text.split('\n').filter((line) => /error|failed|LastError|not|mismatch|invalid/i.test(line));
  const message = (lines.slice(-3).join('; ') || text.trim()).replaceAll(/\s+/g, ' ').slice(0, 500);
  const { code, hint } = kinds.find(({ words }) => words.test(message)) ?? {
    code: 'corrupt',
    hint: 'the version that runs goes on',
  };
  return new FirnError({
    ...{ code, hint, operation: `rauc ${operation}`, subject: 'update' },
    message: message === '' ? `rauc ${operation} failed` : message,
  });
}
