// Realistic lines of a plant, the same for the same seed: access logs, JSON logs of services, syslog of controllers.

export interface GeneratedLine {
  readonly labels: readonly (readonly [string, string])[];
  readonly line: string;
}

/** A small generator of numbers (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const agents = [
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36',
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) Gecko/20100101 Firefox/140.0',
  'curl/8.5.0',
  'Grafana/12.1.0',
];
const paths = [
  '/api/orders',
  '/api/orders/{n}',
  '/api/parts/{n}',
  '/health',
  '/login',
  '/assets/app.{n}.js',
  '/api/telemetry',
];
const messages = [
  'order released',
  'order finished',
  'part scanned',
  'label printed',
  'retrying upstream',
  'cache refreshed',
];
const alarms = [
  'pressure below limit',
  'valve {n} does not close',
  'drive {n} over temperature',
  'cycle finished',
  'axis {n} homed',
  'door opened',
];

/** One line in `rareEvery` holds a needle that no other has. */
export const rareNeedle = 'deadbeef-needle';

export function* generateLines(
  seed: number,
  startMs: number,
  stepMs: number,
  rareEvery: number,
): Generator<GeneratedLine> {
  const random = randomOf(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
  const number = (max: number): number => Math.floor(random() * max);
  for (let index = 0; ; index++) {
    const time = new Date(startMs + index * stepMs).toISOString();
    const fill = (text: string): string => text.replace('{n}', String(number(10_000)));
    const rare = index % rareEvery === rareEvery - 1 ? ` ${rareNeedle}` : '';
    const kind = random();
    if (kind < 0.4) {
      const status = random() < 0.02 ? 500 + number(4) : random() < 0.1 ? 404 : 200;
      yield {
        labels: [
          ['app', 'web'],
          ['host', `edge-${index % 4}`],
        ],
        line: `10.${number(4)}.${number(256)}.${number(256)} - - [${time}] "${pick(['GET', 'GET', 'POST'])} ${fill(pick(paths))} HTTP/1.1" ${status} ${number(60_000)} "-" "${pick(agents)}"${rare}`,
      };
    } else if (kind < 0.75) {
      const level = random() < 0.03 ? 'error' : random() < 0.1 ? 'warn' : 'info';
      yield {
        labels: [
          ['app', pick(['orders', 'printing', 'gateway'])],
          ['pod', `pod-${number(6)}`],
        ],
        line: `{"ts":"${time}","level":"${level}","msg":"${pick(messages)}${rare}","order":${number(1_000_000)},"status":${level === 'error' ? 500 + number(4) : 200},"took_ms":${number(900)},"trace_id":"${number(
          2 ** 31,
        )
          .toString(16)
          .padStart(8, '0')}${number(2 ** 31)
          .toString(16)
          .padStart(8, '0')}"}`,
      };
    } else {
      const plc = `plc-${number(20)}`;
      yield {
        labels: [
          ['app', 'scada'],
          ['hostname', plc],
        ],
        line: `<${number(8) + 128}>1 ${time} ${plc} scada ${number(900)} - - ${fill(pick(alarms))} station=${number(40)} value=${(random() * 100).toFixed(2)}${rare}`,
      };
    }
  }
}
