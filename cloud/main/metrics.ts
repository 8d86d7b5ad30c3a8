import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { HttpBindings } from '@hono/node-server';
import type { Context, Hono, MiddlewareHandler } from 'hono';
import { firnVersion } from '../../lake/api/build-info.ts';
import { type Exposed, expositionText, expositionType } from '../../lake/api/exposition-text.ts';
import type { Clock } from '../../lake/base/clock.ts';
import type { VirtualGateways } from '../direct/virtual-gateways.ts';
import type { Online } from '../fleet/reports.ts';
import type { Ingest } from '../ingest/ingest.ts';
import type { Maintain } from '../maintain/maintain.ts';
import type { Metering } from '../metering/open-metering.ts';
import { countNames, peakNames } from '../metering/use.ts';
import { hashSecret, secretMatches } from '../tenants/api-key.ts';
import { accessOf, type GateEnv, keyGate } from '../tenants/gate.ts';
import type { Logins } from '../tenants/logins.ts';

// What the cloud says of itself, for who runs it: it names all tenants, so it is for an operator's key, or for the token of
// its configuration, which opens nothing else.

const prefix = 'firn_cloud_';

export interface CloudParts {
  readonly ingest: Pick<Ingest, 'status'>;
  readonly maintain: Pick<Maintain, 'status'>;
  readonly metering: Pick<Metering, 'totals'>;
  readonly virtual: Pick<VirtualGateways, 'openCount'> | undefined;
  readonly online: () => Online;
  readonly clock: Clock;
}

export interface CloudMetrics extends Disposable {
  /** Counts answers; to be used before everything else. */
  readonly counting: MiddlewareHandler;
  /** Adds the endpoint; it stands before the gate of keys. */
  serve(app: Hono<GateEnv>, to: MetricsReaders): void;
}

interface MetricsReaders {
  readonly logins: Logins;
  readonly addressOf: (c: Context) => string;
  /** Empty: none. */
  readonly token: string;
}

export function openCloudMetrics(parts: CloudParts): CloudMetrics {
  const answers = new Map<string, number>();
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  const collect = (): Exposed[] => [
    gauge('info', 'The version that runs.', 1, { version: firnVersion }),
    ...ingestMetrics(parts),
    ...counters('maintain', 'Maintenance of tables, since the start', parts.maintain.status),
    ...fleetMetrics(parts),
    ...tenantMetrics(parts.metering),
    {
      ...{ name: `${prefix}http_answers_total`, help: 'Answers by HTTP, by status.', type: 'counter' },
      samples: [...answers].map(([status, value]) => ({ value, labels: { status } })),
    },
    ...delayMetrics(delay),
    ...processMetrics(),
  ];
  return {
    counting: async (c, next) => {
      await next();
      const { outgoing } = (c.env ?? {}) as Partial<HttpBindings>;
      // What goes past the application has been answered already.
      const status = String(outgoing?.headersSent ? outgoing.statusCode : c.res.status);
      answers.set(status, (answers.get(status) ?? 0) + 1);
    },
    serve: (app, { logins, addressOf, token }) => {
      const answer = (c: Context): Response =>
        c.body(expositionText(collect()), 200, { 'Content-Type': expositionType });
      app.get(
        '/metrics',
        async (c, next) => (isToken(c.req.header('authorization'), token) ? answer(c) : next()),
        keyGate(logins, addressOf),
        (c) => (accessOf(c).scopes.has('operator') ? answer(c) : c.json(notForThisKey, 403)),
      );
    },
    [Symbol.dispose]: () => delay.disable(),
  };
}

const notForThisKey = {
  ...{ status: 'error', errorType: 'forbidden' },
  error: 'these metrics are of all tenants: give an operator’s key, or the token of metrics.token',
};

function isToken(header: string | undefined, token: string): boolean {
  const [, bearer] = /^Bearer +(\S+)$/i.exec(header ?? '') ?? [];
  return token !== '' && bearer !== undefined && secretMatches(bearer, hashSecret(token));
}

const gauge = (
  name: string,
  help: string,
  value: number,
  labels: Readonly<Record<string, string>> = {},
): Exposed => ({ name: `${prefix}${name}`, help, type: 'gauge', samples: [{ value, labels }] });

/** Each number of a record, as `…_total`. */
function counters(room: string, about: string, status: object): Exposed[] {
  return Object.entries(status).flatMap(([name, value]) =>
    typeof value === 'number'
      ? [
          {
            ...{ name: `${prefix}${room}_${snake(name)}_total`, help: `${about}: ${words(name)}.` },
            ...{ type: 'counter' as const, samples: [{ value }] },
          },
        ]
      : [],
  );
}

const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const words = (name: string): string => snake(name).replaceAll('_', ' ');

function ingestMetrics({ ingest }: CloudParts): Exposed[] {
  const { gatewaysWaiting, failing, lastCommitMs, ...totals } = ingest.status();
  return [
    ...counters('ingest', 'Ingest of what gateways ship, since the start', totals),
    gauge(
      'ingest_gateways_waiting',
      'Gateways with a hole in the numbers of their shipments.',
      gatewaysWaiting,
    ),
    gauge('ingest_tenants_failing', 'Tenants whose last round failed; the log says why.', failing.length),
    gauge(
      'ingest_last_commit_timestamp_seconds',
      'When rows were last committed.',
      lastCommitMs === undefined ? Number.NaN : lastCommitMs / 1000,
    ),
  ];
}

function fleetMetrics({ online, virtual }: CloudParts): Exposed[] {
  const { gateways, lagSecondsMax, backlogRows } = online();
  return [
    gauge('gateways_online', 'Gateways that have said how they do in the last three heartbeats.', gateways),
    gauge(
      'gateways_commit_lag_seconds_max',
      'Of these, the longest between what one has shipped last and what it knows to be committed.',
      lagSecondsMax,
    ),
    gauge('gateways_backlog_rows', 'Rows that wait on them to be shipped.', backlogRows),
    gauge('direct_sites_open', 'Sites that are received for without a gateway.', virtual?.openCount() ?? 0),
  ];
}

function tenantMetrics(metering: CloudParts['metering']): Exposed[] {
  const tenants = [...metering.totals()];
  const named = (name: (typeof countNames | typeof peakNames)[number]) =>
    tenants.map(([tenant, use]) => ({ value: use[name], labels: { tenant } }));
  return [
    ...countNames.map(
      (name): Exposed => ({
        ...{ name: `${prefix}tenant_${name}_total`, help: `Of a tenant, since the start: ${words(name)}.` },
        ...{ type: 'counter', samples: named(name) },
      }),
    ),
    ...peakNames.map(
      (name): Exposed => ({
        ...{
          name: `${prefix}tenant_${name}`,
          help: `Of a tenant, the most since the start: ${words(name)}.`,
        },
        ...{ type: 'gauge', samples: named(name) },
      }),
    ),
  ];
}

/** Since they were read last. */
function delayMetrics(delay: ReturnType<typeof monitorEventLoopDelay>): Exposed[] {
  const seconds = (ns: number): number => (delay.count === 0 ? 0 : ns / 1e9);
  const samples = [0.5, 0.99, 1].map((quantile) => ({
    value: seconds(delay.percentile(quantile * 100)),
    labels: { quantile: String(quantile) },
  }));
  delay.reset();
  const help = 'How late the event loop was since the scrape before; 1 is the latest.';
  return [{ name: `${prefix}event_loop_delay_seconds`, help, type: 'gauge', samples }];
}

/** Named as every process names them. */
function processMetrics(): Exposed[] {
  const { user, system } = process.cpuUsage();
  const own = (name: string, help: string, type: Exposed['type'], value: number): Exposed => ({
    ...{ name: `process_${name}`, help, type, samples: [{ value }] },
  });
  return [
    own('cpu_seconds_total', 'Processor time of this process.', 'counter', (user + system) / 1e6),
    own('resident_memory_bytes', 'Memory of this process.', 'gauge', process.memoryUsage.rss()),
    own('start_time_seconds', 'When it started.', 'gauge', performance.timeOrigin / 1000),
  ];
}
