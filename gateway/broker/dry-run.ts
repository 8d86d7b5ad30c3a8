import type { Clock } from '../../lake/base/clock.ts';
import { textsOf } from '../../lake/model/text-column.ts';
import { createLogsBuilder } from '../../lake/receive/logs-builder.ts';
import { createMetricsBuilder } from '../../lake/receive/metrics-builder.ts';
import { createMqttMapper } from '../../lake/receive/mqtt/mapper.ts';
import type { TopicRule } from '../../lake/receive/mqtt/rules/reading.ts';
import type { TopicTemplate } from '../../lake/receive/mqtt/templates.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';

// What rules would make of messages, and how many series: nothing is stored.

/** Sample rows that are kept of each rule. */
const samplesMax = 3;
/** Topics that no rule matched, and values of one label, that are remembered. */
const topicsMax = 10_000;
const valuesMax = 100_000;

export interface DryRunReport {
  readonly messages: number;
  readonly series: number;
  readonly rules: readonly RuleReport[];
  /** Topics that no rule matches: the mapping without rules takes them. */
  readonly unmatched: readonly string[];
}

interface RuleReport {
  readonly rule: string;
  readonly messages: number;
  readonly topics: number;
  readonly series: number;
  readonly rows: number;
  /** Messages that are to make no rows. */
  readonly ignored: number;
  /** Of them, those that a subscription brings because the broker kept them: they are not new. */
  readonly retained: number;
  readonly deadLetters: Readonly<Record<string, number>>;
  /** How many values each label has, most first. */
  readonly labels: readonly (readonly [name: string, values: number])[];
  readonly samples: readonly string[];
}

const noRule = '(no rule)';

/** `rules` in their order; those that no message met are reported too. */
export function createDryRun(rules: readonly TopicRule[], templates: readonly TopicTemplate[], clock: Clock) {
  const mapper = createMqttMapper({ cache: createSeriesCache({ identity: [] }), templates, rules });
  const metrics = createMetricsBuilder();
  const logs = createLogsBuilder();
  const tallies = new Map(rules.map(({ name }) => [name, createTally()]));
  const series = new Set<bigint>();
  const unmatched = new Set<string>();
  let messages = 0;
  return {
    take: (
      topic: string,
      payload: Uint8Array,
      old: boolean,
      receivedUs = Math.round(clock.nowMs() * 1000),
    ): void => {
      messages++;
      const rule = mapper.ruleOf(topic);
      if (rule === undefined && unmatched.size < topicsMax) unmatched.add(topic);
      const tally = tallies.get(rule ?? noRule) ?? createTally();
      tallies.set(rule ?? noRule, tally);
      const outcome = mapper.map({ topic, payload, receivedUs, old }, metrics, logs);
      const rows = [metrics.finish(), logs.finish()] as const;
      if (outcome !== 'dead-letter')
        for (const batch of rows) for (const { id } of batch.series) series.add(id);
      tally.add(topic, outcome, old, rows);
    },
    report: (): DryRunReport => ({
      ...{ messages, series: series.size, unmatched: [...unmatched].sort() },
      rules: [...tallies].map(([rule, tally]) => ({ rule, ...tally.report() })),
    }),
  };
}

type Rows = readonly [
  ReturnType<ReturnType<typeof createMetricsBuilder>['finish']>,
  ReturnType<ReturnType<typeof createLogsBuilder>['finish']>,
];

function createTally() {
  const topics = new Set<string>();
  const series = new Set<bigint>();
  const values = new Map<string, Set<string>>();
  const deadLetters: Record<string, number> = {};
  const samples: string[] = [];
  const counts = { messages: 0, rows: 0, ignored: 0, retained: 0 };
  const addSeries = (id: bigint, labels: Record<string, string>): void => {
    if (series.has(id)) return;
    series.add(id);
    for (const [name, value] of Object.entries(labels)) {
      const known = values.get(name) ?? new Set();
      values.set(name, known);
      if (known.size < valuesMax) known.add(value);
    }
  };
  return {
    add: (topic: string, outcome: string, old: boolean, [metrics, logs]: Rows): void => {
      counts.messages++;
      topics.add(topic);
      if (outcome === 'ignored') counts.ignored++;
      if (outcome === 'ignored' && old) counts.retained++;
      const labels = new Map(
        [...metrics.series, ...logs.series].map(({ id, labels: text }) => [
          id,
          JSON.parse(text) as Record<string, string>,
        ]),
      );
      if (outcome === 'dead-letter') {
        const reason = [...labels.values()][0]?.reason ?? 'unknown';
        deadLetters[reason] = (deadLetters[reason] ?? 0) + 1;
        return;
      }
      counts.rows += metrics.rows + logs.rows;
      for (const [id, each] of labels) addSeries(id, each);
      for (let row = 0; row < metrics.rows && samples.length < samplesMax; row++)
        samples.push(
          `${seriesText(labels.get(metrics.seriesId[row] ?? 0n))} ${metrics.value[row]} ${timeText(metrics.timestampUs[row] ?? 0n)}`,
        );
      const lines = textsOf(logs.line);
      for (let row = 0; row < logs.rows && samples.length < samplesMax; row++)
        samples.push(
          `${seriesText(labels.get(logs.streamId[row] ?? 0n))} ${JSON.stringify(lines[row]?.slice(0, 200))} ${timeText((logs.timestampNs[row] ?? 0n) / 1000n)}`,
        );
    },
    report: (): Omit<RuleReport, 'rule'> => ({
      ...{ ...counts, topics: topics.size, series: series.size, deadLetters, samples },
      labels: [...values].map(([name, all]) => [name, all.size] as const).sort((a, b) => b[1] - a[1]),
    }),
  };
}

function seriesText({ __name__ = '', ...labels }: Record<string, string> = {}): string {
  const inside = Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return `${__name__}{${inside.join(', ')}}`;
}

const timeText = (us: bigint): string => new Date(Number(us / 1000n)).toISOString();

const notNew = (retained: number): string =>
  retained === 0 ? '' : `, ${retained} of them because they are retained, not new`;

export function printDryRun(report: DryRunReport): string {
  const lines = [`${report.messages} messages would make ${report.series} series and log streams`];
  const idle = report.rules.filter(({ messages }) => messages === 0).map(({ rule }) => rule);
  for (const {
    rule,
    messages,
    topics,
    series,
    rows,
    ignored,
    retained,
    deadLetters,
    labels,
    samples,
  } of report.rules) {
    if (messages === 0) continue;
    lines.push('', `${rule}: ${messages} messages on ${topics} topics, ${rows} rows, ${series} series`);
    if (ignored > 0) lines.push(`  ${ignored} messages make no rows${notNew(retained)}`);
    for (const [reason, count] of Object.entries(deadLetters))
      lines.push(`  ${count} dead letters: ${reason}`);
    if (labels.length > 0)
      lines.push(`  values: ${labels.map(([name, count]) => `${name} ${count}`).join(', ')}`);
    lines.push(...samples.map((sample) => `  ${sample}`));
  }
  if (idle.length > 0) lines.push('', 'no messages came for:', ...idle.map((rule) => `  ${rule}`));
  if (report.unmatched.length > 0) {
    lines.push('', `${report.unmatched.length} topics match no rule:`);
    lines.push(...report.unmatched.slice(0, 20).map((topic) => `  ${topic}`));
    if (report.unmatched.length > 20) lines.push(`  and ${report.unmatched.length - 20} more`);
  }
  return `${lines.join('\n')}\n`;
}
