import { messageOf } from '../../lake/base/errors.ts';
import { canonicalLabels, type Labels, labelsJson } from '../../lake/model/labels.ts';
import { parseDurationMs, printDurationMs } from '../../lake/promql/literals.ts';
import type { ScrapeConfig } from './config-file.ts';
import { compileRelabel } from './relabel.ts';

/** What is scraped: one address of a job, after relabelling. */
export interface Target {
  /** The same key: the same target, scraped in the same way. */
  readonly key: string;
  readonly config: ScrapeConfig;
  /** Before relabelling. */
  readonly discovered: Labels;
  /** What its series get. */
  readonly labels: Labels;
  readonly url: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

export interface TargetGroup {
  readonly targets: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

export interface TargetsOfJob {
  readonly targets: readonly Target[];
  /** Labels of those that relabelling dropped. */
  readonly dropped: readonly Labels[];
  /** Those that can't be scraped, and why. */
  readonly problems: readonly string[];
}

/** The targets of one job, as Prometheus makes them (scrape/target.go PopulateLabels); each once. */
export function targetsOf(config: ScrapeConfig, groups: readonly TargetGroup[]): TargetsOfJob {
  const relabel = compileRelabel(config.relabel_configs);
  const how = fingerprintOf({ ...config, static_configs: [], file_sd_configs: [], relabel_configs: [] });
  const targets = new Map<string, Target>();
  const dropped: Labels[] = [];
  const problems: string[] = [];
  for (const group of groups)
    for (const address of group.targets) {
      const discovered = canonicalLabels(discoveredLabels(config, group, address));
      const labels = new Map(discovered);
      if (!relabel(labels)) {
        dropped.push(discovered);
        continue;
      }
      try {
        const target = readTarget(config, discovered, labels);
        const key = `${how} ${target.url} ${target.intervalMs} ${target.timeoutMs} ${labelsJson(target.labels)}`;
        targets.set(key, { ...target, key });
      } catch (error) {
        problems.push(`target ${JSON.stringify(address)} of job ${config.job_name}: ${messageOf(error)}`);
      }
    }
  return { targets: [...targets.values()], dropped, problems };
}

/** Equal for configurations that say the same. */
export const fingerprintOf = (config: ScrapeConfig): string =>
  JSON.stringify(config, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));

function discoveredLabels(config: ScrapeConfig, group: TargetGroup, address: string): [string, string][] {
  return [
    ['job', config.job_name],
    ['__scrape_interval__', printDurationMs(config.intervalMs)],
    ['__scrape_timeout__', printDurationMs(config.timeoutMs)],
    ['__metrics_path__', config.metrics_path],
    ['__scheme__', config.scheme],
    ...Object.entries(config.params).map(([name, values]): [string, string] => [
      `__param_${name}`,
      values[0] ?? '',
    ]),
    ...Object.entries(group.labels),
    ['__address__', address],
  ];
}

function readTarget(
  config: ScrapeConfig,
  discovered: Labels,
  relabelled: ReadonlyMap<string, string>,
): Omit<Target, 'key'> {
  const value = (name: string): string => relabelled.get(name) ?? '';
  const address = value('__address__');
  if (address === '') throw new Error('it has no address (__address__ is empty after relabelling)');
  if (/[/?#\s@]/.test(address))
    throw new Error(`${JSON.stringify(address)} is no address: write host:port only`);
  const intervalMs = durationOf('__scrape_interval__', value('__scrape_interval__'));
  const timeoutMs = durationOf('__scrape_timeout__', value('__scrape_timeout__'));
  if (timeoutMs > intervalMs) throw new Error('its scrape timeout is longer than its interval');
  const labels = [...relabelled].filter(([name]) => !name.startsWith('__'));
  if (!relabelled.has('instance')) labels.push(['instance', address]);
  return {
    config,
    discovered,
    labels: canonicalLabels(labels),
    url: urlOf(config, relabelled),
    intervalMs,
    timeoutMs,
  };
}

function durationOf(name: string, text: string): number {
  const ms = parseDurationMs(text);
  if (ms === 0) throw new Error(`${name} is 0`);
  return ms;
}

/** A parameter that is a label by now has that value; its further ones stay as they were configured. */
function urlOf(config: ScrapeConfig, labels: ReadonlyMap<string, string>): string {
  const scheme = labels.get('__scheme__') ?? 'http';
  if (scheme !== 'http' && scheme !== 'https')
    throw new Error(`scheme ${JSON.stringify(scheme)} is neither http nor https`);
  const path = labels.get('__metrics_path__') ?? '/';
  const url = new URL(`${scheme}://${labels.get('__address__')}${path.startsWith('/') ? '' : '/'}${path}`);
  for (const [name, values] of Object.entries(config.params))
    for (const value of values.slice(labels.has(`__param_${name}`) ? 1 : 0))
      url.searchParams.append(name, value);
  for (const [label, value] of labels) {
    if (!label.startsWith('__param_')) continue;
    const name = label.slice('__param_'.length);
    const others = url.searchParams.getAll(name);
    url.searchParams.set(name, value);
    for (const other of others) url.searchParams.append(name, other);
  }
  url.searchParams.sort();
  return url.href;
}
