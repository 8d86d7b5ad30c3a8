// `npm run bench -- NAME [FLAGS]`: each benchmark is a file here. All print figures of one run, side by side.

import { Usage } from './flags.ts';

const benchmarks: Readonly<Record<string, () => Promise<{ main(argv: readonly string[]): Promise<void> }>>> =
  {
    logql: () => import('./logql.ts'),
    'lake-compaction': () => import('./lake-compaction.ts'),
    card: () => import('./card.ts'),
    'direct-sites': () => import('./direct-sites.ts'),
    fleet: () => import('./fleet.ts'),
    'ingest-queries': () => import('./ingest-queries.ts'),
    path: () => import('./path.ts'),
    lake: () => import('./lake.ts'),
    outage: () => import('./outage.ts'),
    promql: () => import('./promql.ts'),
    receive: () => import('./receive.ts'),
    'receive-logs': () => import('./logs.ts'),
    rollups: () => import('./rollups.ts'),
    'receive-parts': () => import('./receive-parts.ts'),
    sql: () => import('./sql.ts'),
    start: () => import('./start.ts'),
  };

const [name = '', ...argv] = process.argv.slice(2);
const load = benchmarks[name];
if (load === undefined) {
  process.stderr.write(
    `usage: npm run bench -- NAME [FLAGS]\n\nNAME --help says which flags it has:\n\n  ${Object.keys(benchmarks).join('\n  ')}\n`,
  );
  process.exitCode = 1;
} else {
  await (await load()).main(argv).catch((error: unknown) => {
    if (!(error instanceof Usage)) throw error;
    const { mistake, message } = error;
    const text = `usage: npm run bench -- ${name} [FLAGS]\n\n${message}\n`;
    if (mistake === undefined) return void process.stdout.write(text);
    process.stderr.write(`bench: ${mistake}\n\n${text}`);
    process.exitCode = 1;
  });
}
