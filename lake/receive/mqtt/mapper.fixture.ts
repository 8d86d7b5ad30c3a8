import { textsOf } from '../../model/text-column.ts';
import { createLogsBuilder } from '../logs-builder.ts';
import { createMetricsBuilder } from '../metrics-builder.ts';
import { createSeriesCache } from '../series-cache.ts';
import type { OwnTime } from './device-time.ts';
import { createMqttMapper, type MqttLimits, type MqttOutcome } from './mapper.ts';
import type { TopicRule } from './rules/reading.ts';
import type { TopicTemplate } from './templates.ts';

export const receivedUs = 1_700_000_000_000_000;
export type Labelled = Record<string, string>;

export interface Mapped {
  readonly outcome: MqttOutcome;
  readonly metrics: readonly { labels: Labelled; value: number; timestampUs: number }[];
  readonly logs: readonly { labels: Labelled; line: string; timestampNs: bigint }[];
  readonly units: readonly (readonly [name: string, unit: string, type: string])[];
  /** Of rows that have one, metrics first. */
  readonly doubts: readonly (readonly [quality: string, deviceUs: number | null])[];
}

export function createMap(
  templates: readonly TopicTemplate[] = [],
  limits: Partial<MqttLimits> = {},
  own: OwnTime = { trusted: true, floorUs: 0 },
  rules: readonly TopicRule[] = [],
) {
  const cache = createSeriesCache({ identity: [] });
  const mapper = createMqttMapper({ cache, templates, limits, ownTime: () => own, rules });
  return (topic: string, payload: string | Uint8Array, old = false): Mapped => {
    const metrics = createMetricsBuilder();
    const logs = createLogsBuilder();
    const outcome = mapper.map({ topic, payload: Buffer.from(payload), receivedUs, old }, metrics, logs);
    const rows = metrics.finish();
    const lines = logs.finish();
    const labels = new Map(
      [...rows.series, ...lines.series].map(({ id, labels: text }) => [id, JSON.parse(text) as Labelled]),
    );
    const labelsOf = (id: bigint): Labelled => labels.get(id) ?? {};
    return {
      outcome,
      metrics: [...rows.seriesId].map((id, row) => ({
        labels: labelsOf(id),
        value: rows.value[row] ?? 0,
        timestampUs: Number(rows.timestampUs[row]),
      })),
      logs: [...lines.streamId].map((id, row) => ({
        labels: labelsOf(id),
        line: textsOf(lines.line)[row] ?? '',
        timestampNs: lines.timestampNs[row] ?? 0n,
      })),
      units: rows.metadata.map(({ name, unit, type }) => [name, unit, type] as const),
      doubts: [rows, lines].flatMap(({ quality = [], deviceTimestampUs = [] }) =>
        quality.flatMap((text, row) => {
          const device = deviceTimestampUs[row] ?? null;
          return text === null ? [] : [[text, device === null ? null : Number(device)] as const];
        }),
      ),
    };
  };
}
