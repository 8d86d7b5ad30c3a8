import { statSync } from 'node:fs';
import type { Clock } from '../../lake/base/clock.ts';
import { messageOf } from '../../lake/base/errors.ts';
import { loadScrapeConfig, type ScrapeConfig, type ScrapeConfigFile } from './config-file.ts';
import { createFetcher, type Fetcher } from './fetch.ts';
import { createFileDiscovery, type FileDiscovery } from './file-discovery.ts';
import { type LoopOptions, type ScrapeCounts, type ScrapeLoop, startScrapeLoop } from './scrape-loop.ts';
import { fingerprintOf, type TargetsOfJob, targetsOf } from './targets.ts';
import { createTurns, type Turns } from './turns.ts';

/** Scrapes what a file like prometheus.yml says. The file and its target files are read again when they change. */
export interface Scraper extends AsyncDisposable {
  readonly counts: Readonly<ScrapeCounts>;
  /** Every job with its targets as they are now. */
  jobs(): readonly JobStatus[];
  /** What is wrong with the files, in words. */
  problems(): readonly string[];
}

export interface JobStatus {
  readonly name: string;
  readonly loops: readonly ScrapeLoop[];
  readonly dropped: TargetsOfJob['dropped'];
}

export interface ScraperOptions extends Omit<LoopOptions, 'counts'> {
  readonly configFile: string;
  readonly bodyBytesMax: number;
  /** Scrapes at once; others wait for their turn, at most until their timeout. */
  readonly concurrentMax: number;
  /** How often the files are looked at. */
  readonly refreshMs: number;
}

interface Job {
  readonly config: ScrapeConfig;
  readonly fetcher: Fetcher;
  readonly loops: ReadonlyMap<string, ScrapeLoop>;
  readonly found: TargetsOfJob;
  /** Why none of its targets must be scraped. */
  readonly state: { blocked: string | undefined };
}

interface Loaded extends ScrapeConfigFile {
  readonly discovery: FileDiscovery;
  readonly version: string;
}

/** Throws FirnError `invalid` when the file is wrong at the start; later a wrong one is not taken, and said. */
export async function startScraper(options: ScraperOptions): Promise<Scraper> {
  const { configFile, clock, logger, refreshMs } = options;
  const counts = noCounts();
  const turns = createTurns(options.concurrentMax);
  const stopping = new AbortController();
  let loaded = load(configFile);
  let configProblem: string | undefined;
  let jobs = new Map<string, Job>();
  let said = '';
  for (const words of loaded.ignored)
    logger.warn('the scrape configuration has what does nothing', { words });

  const reload = (): void => {
    try {
      if (versionOf(configFile) === loaded.version) return;
      loaded = load(configFile);
      configProblem = undefined;
      logger.info('the scrape configuration was read again', { file: configFile });
    } catch (error) {
      configProblem = `${messageOf(error)}; the configuration before it stays in use`;
    }
  };
  const problems = (): string[] => [
    ...(configProblem === undefined ? [] : [configProblem]),
    ...loaded.discovery.problems.values(),
    ...[...jobs.values()].flatMap(({ found, state }) => [
      ...found.problems,
      ...(state.blocked ? [state.blocked] : []),
    ]),
  ];
  const next = (config: ScrapeConfig, before: Job | undefined): Job => {
    const found = targetsOf(config, [...config.static_configs, ...loaded.discovery.read(config)]);
    return nextJob(config, found, before, loaded.folder, { ...options, counts, turns });
  };
  const sync = async (): Promise<void> => {
    const before = jobs;
    jobs = new Map(
      loaded.configs.map((config) => [config.job_name, next(config, before.get(config.job_name))]),
    );
    const ended = [...before].flatMap(([name, job]) => {
      const now = jobs.get(name);
      if (now?.fetcher !== job.fetcher) job.fetcher[Symbol.dispose]();
      return [...job.loops]
        .filter(([key, loop]) => now?.loops.get(key) !== loop)
        .map(([, loop]) => loop.end());
    });
    await Promise.all(ended);
    const words = problems().join('; ');
    if (words !== '' && words !== said)
      logger.warn('something is wrong with what is to be scraped', { words });
    said = words;
  };
  await sync();
  const running = every(refreshMs, clock, stopping.signal, () => {
    reload();
    return sync();
  });
  return {
    counts,
    problems,
    jobs: () =>
      [...jobs.values()].map(({ config, loops, found }) => ({
        ...{ name: config.job_name, loops: [...loops.values()], dropped: found.dropped },
      })),
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await running;
      const loops = [...jobs.values()].flatMap((job) => [...job.loops.values()]);
      await Promise.all(loops.map((loop) => loop.stop()));
      for (const { fetcher } of jobs.values()) fetcher[Symbol.dispose]();
    },
  };
}

async function every(
  ms: number,
  clock: Clock,
  stopping: AbortSignal,
  step: () => Promise<void>,
): Promise<void> {
  while (!stopping.aborted) {
    await clock.sleep(ms, stopping).catch(() => undefined);
    if (!stopping.aborted) await step();
  }
}

/** Targets that stay the same go on as they are. */
function nextJob(
  config: ScrapeConfig,
  found: TargetsOfJob,
  before: Job | undefined,
  folder: string,
  options: ScraperOptions & Pick<LoopOptions, 'counts'> & { readonly turns: Turns },
): Job {
  const same = before !== undefined && fingerprintOf(before.config) === fingerprintOf(config);
  const fetcher = same ? before.fetcher : createFetcher(config, folder, options.bodyBytesMax, options.turns);
  const { target_limit, job_name } = config;
  const tooMany = target_limit > 0 && found.targets.length > target_limit;
  const state = same ? before.state : { blocked: undefined };
  state.blocked = tooMany
    ? `target_limit exceeded: job ${job_name} has ${found.targets.length} targets, at most ${target_limit} are allowed`
    : undefined;
  const loops = new Map<string, ScrapeLoop>();
  for (const target of found.targets) {
    const loop = same ? before.loops.get(target.key) : undefined;
    loops.set(target.key, loop ?? startScrapeLoop(target, fetcher, () => state.blocked, options));
  }
  return { config, fetcher, loops, found, state };
}

const noCounts = (): ScrapeCounts => ({
  ...{ scrapes: 0, failures: 0, rows: 0, refusedRows: 0, droppedRows: 0, bytes: 0 },
});

function load(path: string): Loaded {
  const version = versionOf(path);
  const file = loadScrapeConfig(path);
  return { ...file, version, discovery: createFileDiscovery(file.folder) };
}

function versionOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? 'gone' : `${found.mtimeMs} ${found.size} ${found.ino}`;
}
