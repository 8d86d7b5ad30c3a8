import type { Clock } from '../../lake/base/clock.ts';

/** What the broker counts; names of `$SYS` topics are mosquitto's. */
interface SystemCounts {
  readonly connected: number;
  readonly connectedMax: number;
  readonly sessions: number;
  readonly sessionsExpired: number;
  readonly packetsReceived: number;
  readonly publishesReceived: number;
  readonly publishesSent: number;
  readonly publishesDropped: number;
  readonly publishBytesReceived: number;
  readonly publishBytesSent: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly subscriptions: number;
  readonly retained: number;
  readonly waiting: number;
  readonly waitingBytes: number;
  readonly connections: number;
}

interface SystemTopicsOptions {
  readonly intervalMs: number;
  readonly version: string;
  readonly clock: Clock;
  readonly counts: () => SystemCounts;
  readonly publish: (topic: string, payload: string) => void;
}

/** Publishes `$SYS/broker/…`, retained, at once and in each interval: what has changed since. */
export function startSystemTopics({
  intervalMs,
  version,
  clock,
  counts,
  publish,
}: SystemTopicsOptions): Disposable {
  const startMs = clock.monotonicMs();
  const published = new Map<string, string>();
  const loads = createLoads(intervalMs);
  const say = (): void => {
    const now = counts();
    const values = {
      version: `firn version ${version}`,
      uptime: `${Math.round((clock.monotonicMs() - startMs) / 1000)} seconds`,
      ...gauges(now),
      ...loads(now),
    };
    for (const [name, value] of Object.entries(values)) {
      const text = String(value);
      if (published.get(name) === text) continue;
      published.set(name, text);
      publish(`$SYS/broker/${name}`, text);
    }
  };
  if (intervalMs === 0) return { [Symbol.dispose]: () => undefined };
  say();
  const timer = setInterval(say, intervalMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function gauges(now: SystemCounts): Record<string, number> {
  return {
    'clients/connected': now.connected,
    'clients/disconnected': Math.max(0, now.sessions - now.connected),
    'clients/total': Math.max(now.sessions, now.connected),
    'clients/maximum': now.connectedMax,
    'clients/expired': now.sessionsExpired,
    'messages/received': now.packetsReceived,
    'publish/messages/received': now.publishesReceived,
    'publish/messages/sent': now.publishesSent,
    'publish/messages/dropped': now.publishesDropped,
    'publish/bytes/received': now.publishBytesReceived,
    'publish/bytes/sent': now.publishBytesSent,
    'bytes/received': now.bytesReceived,
    'bytes/sent': now.bytesSent,
    'subscriptions/count': now.subscriptions,
    'retained messages/count': now.retained,
    'store/messages/count': now.waiting + now.retained,
    'store/messages/bytes': now.waitingBytes,
    'heap/current': process.memoryUsage.rss(),
  };
}

const minutes = [1, 5, 15] as const;

/** Moving averages a minute, as mosquitto makes them. */
function createLoads(intervalMs: number) {
  const names = {
    'messages/received': 'packetsReceived',
    'publish/received': 'publishesReceived',
    'publish/sent': 'publishesSent',
    'publish/dropped': 'publishesDropped',
    'bytes/received': 'bytesReceived',
    'bytes/sent': 'bytesSent',
    connections: 'connections',
  } as const;
  const averages = new Map<string, number>();
  let last: SystemCounts | undefined;
  return (now: SystemCounts): Record<string, string> => {
    const loads: Record<string, string> = {};
    for (const [name, count] of Object.entries(names)) {
      const perMinute = ((now[count] - (last?.[count] ?? now[count])) * 60_000) / intervalMs;
      for (const span of minutes) {
        const key = `load/${name}/${span}min`;
        const weight = Math.exp(-intervalMs / (span * 60_000));
        const average = perMinute + weight * ((averages.get(key) ?? 0) - perMinute);
        averages.set(key, average);
        loads[key] = average.toFixed(2);
      }
    }
    last = now;
    return loads;
  };
}
