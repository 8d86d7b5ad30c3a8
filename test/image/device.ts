import { execFile } from 'node:child_process';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Machine } from './machine.ts';
import type { Context } from './main.ts';

export const execute = promisify(execFile);

export const password = 'press-hall-42';

/** The disk of a device that is told who it is. `more`: lines of its file. */
export const personalisedDisk = (context: Context, more = ''): Promise<string> =>
  deviceDisk(
    context,
    `tenant: acme\nsite: plant-7\ngateway: press\nopen: true\nmqtt: {user: line, password: ${password}}\n${more}`,
  );

/** A copy of the image as `firn provision image` makes it, with this personalisation file, on a disk of 8 GiB. */
export async function deviceDisk({ image, work }: Context, siteFile: string): Promise<string> {
  const site = join(work, 'firn-site.yaml');
  const disk = join(work, 'disk.img');
  writeFileSync(site, siteFile);
  await execute(process.execPath, [
    'cli/main.ts',
    'provision',
    'image',
    image,
    '--site-file',
    site,
    '--out',
    disk,
  ]);
  truncateSync(disk, 8 * 1024 ** 3);
  return disk;
}

export async function publish(machine: Machine, topic: string, message: string): Promise<void> {
  const to = ['-h', '127.0.0.1', '-p', String(machine.mqttPort), '-u', 'line', '-P', password];
  await execute('mosquitto_pub', [...to, '-q', '1', '-t', topic, '-m', message], { timeout: 60_000 });
}

/** The values of an instant query, by series. */
export async function query(
  machine: Machine,
  promql: string,
): Promise<{ metric: Record<string, string>; value: number }[]> {
  const url = `http://127.0.0.1:${machine.httpPort}/api/v1/query?query=${encodeURIComponent(promql)}`;
  const response = await fetch(url, { signal: AbortSignal.timeout(180_000) });
  const body = (await response.json()) as {
    readonly status: string;
    readonly data: {
      readonly result: readonly { metric: Record<string, string>; value: [number, string] }[];
    };
  };
  if (body.status !== 'success') throw new Error(`${promql}: ${JSON.stringify(body)}`);
  return body.data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
}

/** One number, by SQL. */
export async function sqlNumber(machine: Machine, sql: string): Promise<number> {
  const url = `http://127.0.0.1:${machine.httpPort}/api/v1/firn/sql`;
  const request = { method: 'POST', headers: { accept: 'text/csv', 'content-type': 'application/json' } };
  const response = await fetch(url, {
    ...request,
    body: JSON.stringify({ sql }),
    signal: AbortSignal.timeout(180_000),
  });
  return Number((await response.text()).trim().split('\n').at(-1));
}

/** What the logs say of updates, oldest first. */
export async function updateLog(machine: Machine): Promise<string[]> {
  const url = `http://127.0.0.1:${machine.httpPort}/loki/api/v1/query_range?direction=forward&limit=100&query=${encodeURIComponent('{job="firn-update",level!="debug"}')}`;
  const body = (await (await fetch(url, { signal: AbortSignal.timeout(180_000) })).json()) as {
    readonly data: { readonly result: readonly { values: readonly [string, string][] }[] };
  };
  return body.data.result
    .flatMap(({ values }) => values)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, line]) => line);
}

/** Resolves when the health check of a start has passed. */
export const healthy = (machine: Machine, fromOffset = 0): Promise<RegExpMatchArray> =>
  machine.waitFor(/firn: this version is (kept|confirmed)/, 900_000, fromOffset);
