import { statSync } from 'node:fs';
import { messageOf } from '../../lake/base/errors.ts';
import { loadScrapeConfig, type ScrapeConfig, type ScrapeConfigFile } from './config-file.ts';
import { createFetcher, type Fetcher } from './fetch.ts';
import { createFileDiscovery, type FileDiscovery } from './file-discovery.ts';
import { type LoopOptions, type ScrapeCounts, type ScrapeLoop, startScrapeLoop } from './scrape-loop.ts';
import { fingerprintOf, type TargetsOfJob, targetsOf } from './targets.ts';

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
  /** How often the files are looked at. */
  readonly refreshMs: number;
}

interface Job {
  readonly config: ScrapeConfig;
  readonly fetcher: Fetcher;
  readonly loops: Map<string, ScrapeLoop>;
  found: TargetsOfJob;
  blocked: string | undefined;
}

interface Loaded extends ScrapeConfigFile {
  readonly discovery: FileDiscovery;
  readonly version: string;
}

/** Throws FirnError `invalid` when the file is wrong at the start; later a wrong one is not taken, and said. */
export async function startScraper(options: ScraperOptions): Promise<Scraper> {
  const { configFile, clock, logger, refreshMs } = options;
  const counts: ScrapeCounts = { scrapes: 0, failures: 0, rows: 0, refusedRows: 0, droppedRows: 0, bytes: 0 };
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
    ...[...jobs.values()].flatMap(({ found, blocked }) => [...found.problems, ...(blocked ? [blocked] : [])]),
  ];
  const sync = async (): Promise<void> => {
    const before = jobs;
    jobs = new Map(
      loaded.configs.map((config) => [config.job_name, syncJob(config, before.get(config.job_name))]),
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
  /** Targets that stay the same go on as they are. */
  const syncJob = (config: ScrapeConfig, before: Job | undefined): Job => {
    const same = before !== undefined && fingerprintOf(before.config) === fingerprintOf(config);
    const found = targetsOf(config, [...config.static_configs, ...loaded.discovery.read(config)]);
    const fetcher = same ? before.fetcher : createFetcher(config, loaded.folder, options.bodyBytesMax);
    const job: Job = { config, fetcher, loops: new Map(), found, blocked: undefined };
    if (config.target_limit > 0 && found.targets.length > config.target_limit)
      job.blocked = `target_limit exceeded: job ${config.job_name} has ${found.targets.length} targets, at most ${config.target_limit} are allowed`;
    for (const target of found.targets) {
      const loop = same ? before.loops.get(target.key) : undefined;
      const blocked = (): string | undefined => jobs.get(config.job_name)?.blocked;
      job.loops.set(target.key, loop ?? startScrapeLoop(target, fetcher, blocked, { ...options, counts }));
    }
    return job;
  };
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await clock.sleep(refreshMs, stopping.signal).catch(() => undefined);
      if (stopping.signal.aborted) return;
      reload();
      await sync();
    }
  };
  await sync();
  const running = run();
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
      await Promise.all(
        [...jobs.values()].flatMap(({ loops }) => [...loops.values()].map((loop) => loop.stop())),
      );
      for (const { fetcher } of jobs.values()) fetcher[Symbol.dispose]();
    },
  };
}

function load(path: string): Loaded {
  const version = versionOf(path);
  const file = loadScrapeConfig(path);
  return { ...file, version, discovery: createFileDiscovery(file.folder) };
}

function versionOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? 'gone' : `${found.mtimeMs} ${found.size} ${found.ino}`;
}
