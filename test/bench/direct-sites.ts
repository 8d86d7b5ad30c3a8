import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { call, readKey, startPart, temporaryFolder } from '../harness/firn.ts';
import { cpuSeconds, memoryBytes } from '../harness/process.ts';
import { readFlags } from './flags.ts';

// `npm run bench -- direct-sites`: what each site costs that a cloud receives for without a gateway, in memory and in the
// processor's time while nothing comes.

const idleSeconds = 20;

export async function main(argv: readonly string[]): Promise<void> {
  const options = {
    sites: { type: 'string', default: '100', about: 'that send to the cloud itself' },
  } as const;
  const values = readFlags(argv, options);
  const sites = Number(values.sites);
  using folder = temporaryFolder();
  const dataDir = join(folder.path, 'cloud');
  await using cloud = await startPart('cloud', [
    ...['--data-dir', dataDir, '--store-kind', 'directory', '--store-path', join(folder.path, 'lake')],
    ...['--direct-open-max', `${sites}`, '--direct-sites-per-tenant-max', `${sites}`, '--log-level', 'warn'],
    ...['--direct-idle-seconds', '3600'],
  ]);
  const url = `http://127.0.0.1:${cloud.port('cloudHttp')}`;
  const key = readKey(join(dataDir, 'keys', 'demo.key'));
  const line = (open: number): void => {
    const [mebibytes, threads] = [memoryBytes(cloud.pid) / 2 ** 20, threadsOf(cloud.pid)];
    const seconds = cpuSeconds(cloud.pid).toFixed(1);
    console.log(`${open} sites: ${mebibytes.toFixed(0)} MiB, ${threads} threads, ${seconds} CPU-s`);
  };
  line(0);
  for (let site = 1; site <= sites; site++) {
    const headers = { 'x-firn-site': `site-${site}` };
    const body = Array.from({ length: 100 }, (_, sensor) => `heat,sensor=${sensor} value=${site}`).join('\n');
    const sent = await call(`${url}/api/v2/write?bucket=b`, key, { method: 'POST', headers, body });
    if (sent.status !== 204) throw new Error(`${sent.status} ${await sent.text()}`);
    if (site % 20 === 0 || site === sites) line(site);
  }
  const before = cpuSeconds(cloud.pid);
  await new Promise((resolve) => setTimeout(resolve, idleSeconds * 1000));
  const used = cpuSeconds(cloud.pid) - before;
  line(sites);
  console.log(`idle: ${((used / idleSeconds) * 100).toFixed(1)} % of a core for ${sites} open sites`);
}

function threadsOf(pid: number): number {
  return Number(/^Threads:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}
