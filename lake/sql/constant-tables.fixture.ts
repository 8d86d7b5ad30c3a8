import type { Clock } from '../base/clock.ts';
import { tenantId } from '../model/ids.ts';
import type { TableName } from '../model/table-name.ts';
import type { Prune, Tables } from '../tables.ts';
import { sqlText } from './duckdb/engine.ts';

// Tables that are made of constants, for tests: twenty samples ten minutes apart, three lines, one or two of the others.

export const nowMs = Date.UTC(2026, 10, 21, 5, 0, 0);
export const nowUs = nowMs * 1000;
export const fixedClock: Clock = { nowMs: () => nowMs, monotonicMs: () => 0, sleep: async () => {} };
const labels = '{"__name__":"http_requests_total","a.b":"dot","service":"api-gateway"}';

const rollupRows = (seconds: number): string => `(SELECT 'up' AS name, i AS series_id,
    make_timestamptz(${nowUs} - i * ${seconds} * 1000000) AS timestamp, ${sqlText(labels)} AS labels, 'plant' AS site,
    2::BIGINT AS count, 1.5::DOUBLE AS min, 3.5::DOUBLE AS max, 5::DOUBLE AS sum, 0::DOUBLE AS sum_compensation,
    1.5::DOUBLE AS first, make_timestamptz(${nowUs}) AS first_timestamp, 3.5::DOUBLE AS last,
    make_timestamptz(${nowUs}) AS last_timestamp, 2::DOUBLE AS increase, 0::DOUBLE AS reset_sum,
    0::BIGINT AS resets, 1::BIGINT AS changes, NULL::VARCHAR AS flags FROM range(2) t(i))`;

export const constantRows: Readonly<Record<TableName, string>> = {
  metrics: `(SELECT CASE WHEN i % 3 = 0 THEN 'up' ELSE 'http_requests_total' END AS name, i AS series_id,
    make_timestamptz(${nowUs} - i * 600000000) AS timestamp, CAST(i AS DOUBLE) AS value,
    ${sqlText(labels)} AS labels, 'plant' AS site, CASE WHEN i = 7 THEN 'device-past' END AS quality,
    CASE WHEN i = 7 THEN make_timestamptz(0) END AS device_timestamp, NULL::VARCHAR AS histogram,
    NULL::TIMESTAMPTZ AS start_timestamp FROM range(20) t(i))`,
  logs: `(SELECT 1::BIGINT AS stream_id, make_timestamptz(${nowUs} - i * 600000000) AS timestamp, i AS timestamp_ns,
    'line ' || i AS line, ${sqlText(labels)} AS labels, NULL::VARCHAR AS attributes, 'info' AS severity,
    NULL::VARCHAR AS trace_id, NULL::VARCHAR AS span_id, 'plant' AS site, NULL::VARCHAR AS quality,
    NULL::TIMESTAMPTZ AS device_timestamp FROM range(3) t(i))`,
  spans: `(SELECT 'press' AS service, make_timestamptz(${nowUs} - i * 1000000) AS timestamp, i AS start_ns,
    1000::BIGINT AS duration_ns, 'ab' AS trace_id, 'c' || i AS span_id, NULL::VARCHAR AS parent_span_id, 'GET' AS name,
    'server' AS kind, 'ok' AS status, NULL::VARCHAR AS status_message, NULL::VARCHAR AS trace_state,
    '{"http.status":200}' AS attributes, '{}' AS resource, NULL::VARCHAR AS scope, '[{"name":"retry"}]' AS events,
    NULL::VARCHAR AS links, 'plant' AS site FROM range(2) t(i))`,
  events: `(SELECT 'door' AS name, make_timestamptz(${nowUs}) AS timestamp, 1::BIGINT AS timestamp_ns, 'open' AS body,
    '{}' AS attributes, '{}' AS resource, NULL::VARCHAR AS severity, 'press' AS source, NULL::VARCHAR AS trace_id,
    NULL::VARCHAR AS span_id, 'plant' AS site)`,
  metrics_1m: `(SELECT 'up' AS name, i AS series_id, make_timestamptz(${nowUs} - i * 60000000) AS timestamp,
    1.5::DOUBLE AS min, 3.5::DOUBLE AS max, 5::DOUBLE AS sum, 2::BIGINT AS count, 3.5::DOUBLE AS last,
    ${sqlText(labels)} AS labels, 'plant' AS site FROM range(2) t(i))`,
  metrics_rollup_1m: rollupRows(60),
  metrics_rollup_1h: rollupRows(3600),
  gaps: `(SELECT make_timestamptz(${nowUs} - 3600000000) AS timestamp, make_timestamptz(${nowUs}) AS end_timestamp,
    'metrics' AS signal, 'metrics' AS class, 'gap' AS kind, 'disk-full' AS reason, 120::BIGINT AS rows,
    NULL::VARCHAR AS detail, 'gw-1' AS gateway, 'plant' AS site)`,
  exemplars: `(SELECT 'up' AS name, 1::BIGINT AS series_id, make_timestamptz(${nowUs}) AS timestamp, 1.5::DOUBLE AS value,
    ${sqlText(labels)} AS labels, '{"trace_id":"ab"}' AS exemplar_labels, 'ab' AS trace_id, NULL::VARCHAR AS span_id,
    'plant' AS site)`,
};

/** Calls `opened` for each view, and `closed` when it is let go; both only look. */
export function constantTables(watch?: {
  readonly opened?: (prune: Prune) => void;
  readonly closed?: () => void;
  readonly fromOf?: (table: TableName, prune: Prune) => string;
}): Tables {
  return {
    tenant: tenantId('demo'),
    metricMetadata: async () => [],
    open: async (table, prune) => {
      watch?.opened?.(prune);
      return {
        from: watch?.fromOf?.(table, prune) ?? constantRows[table],
        filesConsidered: 0,
        filesPruned: 0,
        [Symbol.asyncDispose]: async () => watch?.closed?.(),
      };
    },
  };
}
