import { Agent, request } from 'node:http';
import { compress } from 'snappyjs';

// Remote-write requests as Prometheus makes them (1.0, snappy, 2000 samples), made before the clock starts.

export interface RemoteWriteShape {
  readonly series: number;
  readonly samplesPerSeries: number;
  readonly seriesPerRequest: number;
  readonly startMs: number;
  readonly stepMs: number;
  /** Of a series at a step; absent: one decimal, on a sine. */
  readonly sampleAt?: (series: number, step: number) => number;
}

/** The bodies, in time order: every series gets one sample a step. */
export function remoteWriteBodies(shape: RemoteWriteShape): Uint8Array[] {
  const labels = Array.from({ length: shape.series }, (_, index) => seriesLabels(index));
  const { sampleAt = sine } = shape;
  const bodies: Uint8Array[] = [];
  for (let step = 0; step < shape.samplesPerSeries; step++) {
    const timestampMs = shape.startMs + step * shape.stepMs;
    for (let first = 0; first < shape.series; first += shape.seriesPerRequest) {
      const chunk = labels.slice(first, first + shape.seriesPerRequest).map((label, index) => {
        const value = sampleAt(first + index, step);
        return field(1, Buffer.concat([label, field(2, sample(value, timestampMs))]));
      });
      bodies.push(compress(new Uint8Array(Buffer.concat(chunk))));
    }
  }
  return bodies;
}

const sine = (series: number, step: number): number =>
  Math.round(200 + 50 * Math.sin((step + series) / 20)) / 10;

const seriesLabels = (index: number): Buffer =>
  Buffer.concat(
    labelPairs(index).map(([name, value]) =>
      field(1, Buffer.concat([field(1, Buffer.from(name)), field(2, Buffer.from(value))])),
    ),
  );

/** Names and values, sorted by name. */
export function labelPairs(index: number): readonly (readonly [name: string, value: string])[] {
  return [
    ['__name__', `machine_metric_${index % 20}`],
    ['cluster', 'plant-a'],
    ['instance', `10.0.${Math.floor(index / 250) % 250}.${index % 250}:9100`],
    ['job', 'machines'],
    ['line', `line-${index % 37}`],
    ['sensor', `sensor-${index}`],
  ];
}

function sample(value: number, timestampMs: number): Buffer {
  const double = Buffer.alloc(9);
  double.writeUInt8(0x09, 0);
  double.writeDoubleLE(value, 1);
  return Buffer.concat([double, Buffer.from([0x10]), varint(timestampMs)]);
}

const field = (number: number, bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from([(number << 3) | 2]), varint(bytes.length), bytes]);

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}

/** Posts all bodies over a few connections; resolves with the seconds until the last answer. Any answer but 2xx fails. */
export async function runRemoteWriteLoad(
  url: string,
  bodies: readonly Uint8Array[],
  connections: number,
  headers: Readonly<Record<string, string>> = remoteWriteHeaders,
): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  let next = 0;
  const start = performance.now();
  const worker = async (): Promise<void> => {
    for (let body = bodies[next++]; body; body = bodies[next++]) await post(url, body, agent, headers);
  };
  await Promise.all(Array.from({ length: connections }, worker));
  agent.destroy();
  return (performance.now() - start) / 1000;
}

const remoteWriteHeaders = {
  'Content-Type': 'application/x-protobuf',
  'Content-Encoding': 'snappy',
  'X-Prometheus-Remote-Write-Version': '0.1.0',
};

function post(
  url: string,
  body: Uint8Array,
  agent: Agent,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const call = request(
      url,
      { method: 'POST', agent, headers: { ...headers, 'Content-Length': body.length } },
      (answer) => {
        answer.resume();
        answer.on('end', () => {
          const ok = answer.statusCode !== undefined && answer.statusCode < 300;
          if (ok) resolve();
          else reject(new Error(`${url} was answered with ${answer.statusCode}`));
        });
      },
    );
    call.on('error', reject);
    call.end(body);
  });
}
