import { randomUUID } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Check } from './confirm-update.ts';

export interface CheckTargets {
  readonly mqttPort: number;
  /** Asks the gateway by HTTP, as somebody who may do everything. */
  readonly ask: AskGateway;
  /** Folder of the gateway's data. */
  readonly dataDir: string;
  /** How many shipments have reached the store so far; undefined where none is set. */
  readonly shipped: () => number | undefined;
}

export type AskGateway = (path: string, init?: RequestInit) => Promise<Response>;

const always = (): boolean => true;

/** Whether the gateway is up and waits for its enrollment: it takes nothing then (gateway/main/waiting.ts). */
export async function isWaiting(ask: AskGateway, signal?: AbortSignal): Promise<boolean> {
  const said = await ask('/api/v1/firn/status', { signal: signal ?? null })
    .then((answer) => answer.json())
    .catch(() => null);
  return typeof said === 'object' && said !== null && 'enrollment' in said;
}

/** What a gateway must do to be kept: answer, store, compute, and reach the cloud if it did before; or wait for a cloud. */
export function healthChecks(targets: CheckTargets): readonly Check[] {
  return checksOf(targets).map((check) => ({
    ...check,
    run: async (signal) => {
      if (!(await isWaiting(targets.ask, signal))) await check.run(signal);
    },
  }));
}

function checksOf(targets: CheckTargets): readonly Check[] {
  const { ask } = targets;
  let atStart: number | undefined;
  return [
    {
      name: 'the MQTT broker answers',
      isNeeded: always,
      run: (signal) => brokerAnswers(targets.mqttPort, signal),
    },
    {
      name: 'what is sent is stored',
      isNeeded: always,
      run: (signal) => pushLine(ask, { job: 'firn-update', level: 'debug' }, 'health check', signal),
    },
    {
      name: 'a query is answered',
      isNeeded: always,
      run: async (signal) => expectOk(await ask('/api/v1/query?query=vector(1)', { signal })),
    },
    { name: 'the disk takes data', isNeeded: always, run: () => diskTakesData(targets.dataDir) },
    {
      name: 'the cloud takes shipments, as it did before',
      isNeeded: (record) => record?.shipped === true,
      run: async () => {
        const now = targets.shipped();
        atStart ??= now;
        if (now === undefined || atStart === undefined || now <= atStart)
          throw new Error('none has left since the start');
      },
    },
  ];
}

/** CONNACK, whatever it says: who may connect is another question. */
function brokerAnswers(port: number, signal: AbortSignal): Promise<void> {
  const client = Buffer.from('firn-update-check');
  const body = Buffer.concat([
    Buffer.from([0, 4]),
    Buffer.from('MQTT'),
    Buffer.from([4, 2, 0, 10, 0, client.length]),
    client,
  ]);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect({ port, host: '127.0.0.1', signal });
  socket.once('connect', () => socket.write(Buffer.concat([Buffer.from([0x10, body.length]), body])));
  socket.once('data', (bytes) =>
    bytes[0] === 0x20 ? resolve() : reject(new Error('its answer is not MQTT')),
  );
  socket.once('error', reject);
  socket.once('close', () => reject(new Error('it closed the connection')));
  return promise.finally(() => socket.destroy());
}

/** One line to the gateway's own log store; resolves when it is on the disk. */
export async function pushLine(
  ask: AskGateway,
  stream: Readonly<Record<string, string>>,
  line: string,
  signal?: AbortSignal,
): Promise<void> {
  const body = JSON.stringify({ streams: [{ stream, values: [[`${Date.now()}000000`, line]] }] });
  const headers = { 'content-type': 'application/json' };
  expectOk(await ask('/loki/api/v1/push', { method: 'POST', headers, body, signal: signal ?? null }));
}

function expectOk(response: Response): void {
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
}

async function diskTakesData(folder: string): Promise<void> {
  const path = join(folder, `.check-${randomUUID()}`);
  const file = await open(path, 'wx');
  try {
    await file.write('firn');
    await file.sync();
  } finally {
    await file.close();
    await rm(path, { force: true });
  }
}
