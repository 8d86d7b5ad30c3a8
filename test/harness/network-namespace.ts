import { existsSync } from 'node:fs';
import { run } from './firn.ts';
import { findProgram } from './programs.ts';

// A network of its own for one process, joined to the rest by two cables: `lan`, and `wan`, which can be pulled.

export interface NetworkNamespace extends AsyncDisposable {
  /** Runs what follows it in the namespace. */
  readonly through: readonly string[];
  /** The process' own addresses on the two cables, and the near ends of them. */
  readonly lan: Cable;
  readonly wan: Cable;
  /** Pulls the cable, or plugs it in again: packets vanish, nothing is refused. */
  setWan(state: 'up' | 'down'): Promise<void>;
}

interface Cable {
  readonly inside: string;
  readonly outside: string;
}

/** Why this machine can't have one, if so. */
export const namespaceMissing: string | undefined =
  process.getuid?.() !== 0
    ? 'it needs root'
    : findProgram('ip') === undefined
      ? 'there is no ip'
      : existsSync('/proc/self/ns/net')
        ? undefined
        : 'there are no network namespaces';

/** Addresses for documentation (RFC 5737) and benchmarks (RFC 2544); a virtual machine may stand in one of them. */
const networks = ['198.51.100', '203.0.113', '198.18.0'];

async function freeNetwork(): Promise<string> {
  const { stdout } = await run('ip', ['-4', 'route', 'show', 'table', 'all']);
  const free = networks.find((network) => !stdout.includes(`${network}.`));
  if (free === undefined) throw new Error('this machine uses every network that tests may use');
  return free;
}

export async function createNetworkNamespace(): Promise<NetworkNamespace> {
  const name = `firn-${process.pid}`;
  const network = await freeNetwork();
  const lan = { inside: `${network}.2`, outside: `${network}.1` };
  const wan = { inside: `${network}.6`, outside: `${network}.5` };
  const outsideWan = `fw${process.pid}`;
  const remove = async (): Promise<void> => {
    // The cables go with the namespace.
    await run('ip', ['netns', 'del', name]);
  };
  await ip('netns', 'add', name);
  try {
    for (const [cable, outside] of [
      [lan, `fl${process.pid}`],
      [wan, outsideWan],
    ] as const) {
      const inside = `${outside}i`;
      await ip('link', 'add', outside, 'type', 'veth', 'peer', 'name', inside, 'netns', name);
      await ip('addr', 'add', `${cable.outside}/30`, 'dev', outside);
      await ip('link', 'set', outside, 'up');
      await ip('-n', name, 'addr', 'add', `${cable.inside}/30`, 'dev', inside);
      await ip('-n', name, 'link', 'set', inside, 'up');
    }
    await ip('-n', name, 'link', 'set', 'lo', 'up');
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    through: ['ip', 'netns', 'exec', name],
    lan,
    wan,
    setWan: (state) => ip('link', 'set', outsideWan, state),
    [Symbol.asyncDispose]: remove,
  };
}

async function ip(...args: string[]): Promise<void> {
  const { code, stderr } = await run('ip', args);
  if (code !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
}
