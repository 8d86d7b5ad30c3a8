import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cpuSeconds, freePort, peakMemoryBytes, startProgram, waitFor } from '../harness/process.ts';
import { findProgram } from '../harness/programs.ts';
import { median } from './side-by-side.ts';

// Who is asked PromQL beside Firn, and what asking took.

export interface Subject {
  readonly name: string;
  readonly pid: number;
  readonly base: string;
}

/** Those that are installed. */
export async function rivals(stack: AsyncDisposableStack, folder: string): Promise<Subject[]> {
  const found: Subject[] = [];
  writeFileSync(join(folder, 'prometheus.yml'), 'storage: { tsdb: { out_of_order_time_window: 1d } }\n');
  for (const [name, program, flags, ready] of [
    [
      'Prometheus',
      'prometheus',
      (port: number) => [
        `--config.file=${join(folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(folder, 'tsdb')}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--web.enable-remote-write-receiver',
      ],
      '/-/ready',
    ],
    [
      'VictoriaMetrics',
      'victoria-metrics',
      (port: number) => [
        ...[
          `-storageDataPath=${join(folder, 'vm')}`,
          `-httpListenAddr=127.0.0.1:${port}`,
          '-retentionPeriod=10y',
        ],
        // Warm and cold alike are about reading samples, not about remembering answers.
        '-search.disableCache',
      ],
      '/health',
    ],
  ] as const) {
    const path = findProgram(program);
    if (path === undefined) {
      console.log(`${name} is not installed (test/setup): measured without it`);
      continue;
    }
    const port = await freePort();
    const base = `http://127.0.0.1:${port}`;
    const started = stack.use(startProgram(path, flags(port)));
    await waitFor(name, 30_000, async () => {
      const response = await fetch(base + ready).catch(() => undefined);
      return response?.ok ? true : undefined;
    });
    found.push({ name, pid: started.pid, base });
  }
  return found;
}

/** What a question took: the first time, and the times after it. */
export interface Figures {
  readonly coldMs: number;
  readonly coldCpu: number;
  readonly warmMs: number;
  readonly warmCpu: number;
  readonly peakMebibytes: number;
}

/** Once, then again for `rounds` times and for a second, so that short questions are not told by the ticks of a clock. */
export async function ask({ base, pid }: Subject, path: string, rounds: number): Promise<Figures> {
  const once = async (): Promise<number> => {
    const start = performance.now();
    const response = await fetch(base + path);
    const text = await response.text();
    if (!response.ok || !text.includes('"success"')) throw new Error(`${path}: ${text.slice(0, 300)}`);
    return performance.now() - start;
  };
  const before = cpuSeconds(pid);
  const coldMs = await once();
  const coldCpu = cpuSeconds(pid) - before;
  const times: number[] = [];
  const warm = cpuSeconds(pid);
  for (let taken = 0; times.length < rounds || (taken < 1000 && times.length < 20 * rounds); ) {
    const ms = await once();
    times.push(ms);
    taken += ms;
  }
  const warmCpu = (cpuSeconds(pid) - warm) / times.length;
  return { coldMs, coldCpu, warmMs: median(times), warmCpu, peakMebibytes: peakMemoryBytes(pid) / 1024 ** 2 };
}

/** Above the cells of figures. */
export const titles = `\n${''.padEnd(40)}${['cold ms', 'CPU s', 'warm ms', 'CPU s', 'peak MiB'].map((title) => title.padStart(9)).join('')}`;

export const cellsOf = ({ coldMs, coldCpu, warmMs, warmCpu, peakMebibytes }: Figures): string =>
  [coldMs.toFixed(0), coldCpu.toFixed(2), warmMs.toFixed(1), warmCpu.toFixed(3), peakMebibytes.toFixed(0)]
    .map((cell) => cell.padStart(9))
    .join('');

export function ratios(ours: Figures, others: readonly Figures[], goal: number): string {
  const of = (figure: (figures: Figures) => number): string =>
    (figure(ours) / Math.min(...others.map(figure))).toFixed(2);
  const [cold, ms, cpu] = [
    of(({ coldMs }) => coldMs),
    of(({ warmMs }) => warmMs),
    of(({ warmCpu }) => warmCpu),
  ];
  return `Firn / the better: cold ${cold}, warm ${ms}, CPU ${cpu} (goal ${goal})`;
}
