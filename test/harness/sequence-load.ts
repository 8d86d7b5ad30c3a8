import { setTimeout as delay } from 'node:timers/promises';
import { connectAsync, type MqttClient } from 'mqtt';
import { call, type readKey } from './firn.ts';
import { writeSamples } from './write-samples.ts';

// Senders that give every row a number of its own and never send one twice, acknowledged or not: what is stored twice
// was stored twice by Firn.

/** What was sent under one metric name. */
export interface Sequence {
  readonly name: string;
  /** The last number that was sent. */
  sent: number;
  readonly acknowledged: Set<number>;
  /** When each was sent, by its number: MQTT payloads carry this time. */
  readonly sentMs: Map<number, number>;
}

export const newSequence = (name: string): Sequence => ({
  ...{ name, sent: 0, acknowledged: new Set(), sentMs: new Map() },
});

// At most 4,000 messages a second, and 5,000 rows: always something on its way, and no more to look through in the end than
// shows what is lost or doubled.
const messagesPerMs = 4;
const publishIntervalMs = 5;
const windowSize = 200;
const rowsPerWrite = 50;
const writeIntervalMs = 10;

/** Publishes over MQTT with QoS 1, up to a window in flight, until it is stopped or the broker is gone. */
export async function publishSequence(
  mqttPort: number,
  sequence: Sequence,
  payload: (value: number, sentMs: number) => string = (value, ts) => JSON.stringify({ value, ts }),
  host = '127.0.0.1',
): Promise<{ stop(): Promise<void> }> {
  const client = await connectAsync(`mqtt://${host}:${mqttPort}`, { reconnectPeriod: 0 });
  client.on('error', () => {});
  let inFlight = 0;
  const publishOne = (): void => {
    const value = ++sequence.sent;
    const sentMs = Date.now();
    sequence.sentMs.set(value, sentMs);
    inFlight++;
    client.publish(`plant/fault/${sequence.name}`, payload(value, sentMs), { qos: 1 }, (error) => {
      inFlight--;
      if (!error) sequence.acknowledged.add(value);
    });
  };
  const beganMs = performance.now();
  let given = 0;
  const isDue = (): boolean => given < messagesPerMs * (performance.now() - beganMs);
  const timer = setInterval(() => {
    for (; client.connected && inFlight < windowSize && isDue(); given++) publishOne();
  }, publishIntervalMs);
  return {
    stop: () => {
      clearInterval(timer);
      return end(client);
    },
  };
}

const end = (client: MqttClient): Promise<void> => client.endAsync(true);

/** Writes over remote write, one request at a time, until it is stopped. `onAnswer` is told each HTTP status. */
export function writeSequence(
  httpPort: number,
  sequence: Sequence,
  onAnswer: (answer: Response) => void = () => undefined,
  key?: ReturnType<typeof readKey>,
): { stop(): Promise<void> } {
  let running = true;
  const loop = async (): Promise<void> => {
    while (running) {
      const values = Array.from({ length: rowsPerWrite }, () => ++sequence.sent);
      const samples = values.map((value, index) => [Date.now() + index, value] as const);
      try {
        const answer = await writeSamples(`http://127.0.0.1:${httpPort}`, sequence.name, samples, key);
        if (answer.ok) for (const value of values) sequence.acknowledged.add(value);
        onAnswer(answer);
        await answer.arrayBuffer();
        await delay(writeIntervalMs);
      } catch {
        return; // the gateway is gone
      }
    }
  };
  const ended = loop();
  return {
    stop: () => {
      running = false;
      return ended;
    },
  };
}

/** Every value of a metric, from a gateway (without a key) or the cloud. */
export const valuesOf = async (base: string, name: string, key?: ReturnType<typeof readKey>) =>
  (await sqlRows<[number]>(base, `SELECT value FROM metrics WHERE __name__ = '${name}'`, key)).map(
    ([value]) => value,
  );

export async function sqlRows<Row>(
  base: string,
  sql: string,
  key?: ReturnType<typeof readKey>,
): Promise<Row[]> {
  const answer = await call(`${base}/api/v1/firn/sql`, key, {
    method: 'POST',
    body: JSON.stringify({ sql }),
    headers: { 'Content-Type': 'application/json' },
  });
  if (!answer.ok) throw new Error(await answer.text());
  return ((await answer.json()) as { rows: Row[] }).rows;
}

/** What is wrong with the rows of a sequence: an acknowledged one that is missing, one that is there twice. */
export function wrongWith({ name, acknowledged }: Sequence, stored: readonly number[]): string[] {
  const seen = new Set(stored);
  const lost = [...acknowledged].filter((value) => !seen.has(value));
  const wrong: string[] = [];
  if (lost.length > 0)
    wrong.push(`${name}: ${lost.length} acknowledged rows are lost, such as ${lost.slice(0, 5)}`);
  if (seen.size < stored.length) wrong.push(`${name}: ${stored.length - seen.size} rows are there twice`);
  return wrong;
}
