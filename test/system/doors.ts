// Every endpoint of the cloud, by who may use it. An endpoint that is missing here fails the test (keys.test.ts): say for a
// new one whom it is for.

/** What senders send to, on the gateway and in the cloud. */
const senders = `POST /api/v1/write
    POST /loki/api/v1/push
    POST /v1/logs
    POST /otlp/v1/logs
    POST /v1/traces
    POST /v1/metrics
    POST /api/v1/otlp/v1/metrics
    POST /api/v2/write
    POST /write
    GET,POST /query`;

/**
 * anybody: its own way to tell who asks, or none. gateway: a gateway's token. key: every key. reads: keys that read. whole:
 * those that see all rows of their tenant. changes: those with the scope admin, too. manages: an operator's, and those of
 * the tenant with the scope admin. operator: an operator's alone. sends: those with the scope ingest.
 */
export type Door =
  | 'anybody'
  | 'gateway'
  | 'key'
  | 'reads'
  | 'whole'
  | 'changes'
  | 'manages'
  | 'operator'
  | 'sends';

const of = <Kind extends string>(door: Kind, endpoints: string): [string, Kind][] =>
  endpoints
    .trim()
    .split('\n')
    .flatMap((line) => {
      const [methods = '', path = ''] = line.trim().split(' ');
      return methods.split(',').map((method): [string, Kind] => [`${method} ${path}`, door]);
    });

export const doors: ReadonlyMap<string, Door> = new Map<string, Door>([
  ...of(
    'anybody',
    `GET /ready
    GET /adopt
    POST /iceberg/v1/oauth/tokens
    GET /api/v1/firn/fleet/challenge
    POST /api/v1/firn/fleet/adoption
    POST /api/v1/firn/fleet/enroll
    POST /api/v1/firn/fleet/session`,
  ),
  ...of(
    'gateway',
    `POST /api/v1/firn/fleet/heartbeat
    POST /api/v1/firn/fleet/uploads
    POST /api/v1/firn/fleet/sign`,
  ),
  ...of('key', 'GET /api/v1/firn/admin/openapi.json'),
  ...of('operator', 'GET /metrics'),
  ...of(
    'sends',
    `${senders}
    GET /ping
    RPC /opentelemetry.proto.collector.logs.v1.LogsService/Export
    RPC /opentelemetry.proto.collector.trace.v1.TraceService/Export
    RPC /opentelemetry.proto.collector.metrics.v1.MetricsService/Export`,
  ),
  ...of(
    'operator',
    `GET,POST /api/v1/firn/admin/tenants
    POST /api/v1/firn/admin/tenants/:tenant/resume
    POST /api/v1/firn/admin/tenants/:tenant/suspend
    POST /api/v1/firn/admin/tenants/:tenant/limits
    GET /api/v1/firn/admin/audit`,
  ),
  ...of(
    'manages',
    `GET /api/v1/firn/admin/tenants/:tenant/limits
    GET /api/v1/firn/admin/tenants/:tenant/usage
    GET,POST /api/v1/firn/admin/tenants/:tenant/keys
    DELETE /api/v1/firn/admin/tenants/:tenant/keys/:key
    POST /api/v1/firn/admin/tenants/:tenant/keys/:key/rotate
    GET,POST /api/v1/firn/admin/tenants/:tenant/claims
    DELETE /api/v1/firn/admin/tenants/:tenant/claims/:claim
    GET,POST /api/v1/firn/admin/tenants/:tenant/adoptions
    GET /api/v1/firn/admin/tenants/:tenant/adoptions/:code
    GET /api/v1/firn/admin/tenants/:tenant/site-file
    GET /api/v1/firn/admin/tenants/:tenant/gateways
    GET,DELETE /api/v1/firn/admin/tenants/:tenant/gateways/:gateway
    GET,POST /api/v1/firn/admin/tenants/:tenant/gateways/:gateway/commands
    POST /api/v1/firn/admin/tenants/:tenant/gateways/:gateway/group
    GET,POST /api/v1/firn/admin/tenants/:tenant/rollouts
    POST /api/v1/firn/admin/tenants/:tenant/rollouts/:rollout/halt
    POST /api/v1/firn/admin/tenants/:tenant/rollouts/:rollout/resume`,
  ),
  ...of(
    'changes',
    `PUT,POST,DELETE /api/v1/firn/retention
    PUT,POST,DELETE /api/v1/firn/deletes
    PUT,POST,DELETE /api/v1/firn/tables/:name
    PUT,DELETE /api/v1/firn/tables/:table/tags/:name`,
  ),
  ...of(
    'whole',
    `GET,POST /api/v1/firn/plan
    GET /api/v1/firn/quarantine
    GET /api/v1/firn/retention
    GET /api/v1/firn/deletes
    GET /api/v1/firn/tables
    GET /api/v1/firn/tables/:table/tags
    GET /iceberg/v1/config
    GET /iceberg/v1/:prefix/namespaces
    GET /iceberg/v1/:prefix/namespaces/:namespace
    GET /iceberg/v1/:prefix/namespaces/:namespace/tables
    GET /iceberg/v1/:prefix/namespaces/:namespace/tables/:table
    GET /iceberg/v1/:prefix/namespaces/:namespace/tables/:table/credentials
    POST /iceberg/v1/:prefix/namespaces/:namespace/tables/:table/metrics
    GET /iceberg/v1/:prefix/namespaces/:namespace/views
    GET /iceberg/v1/:prefix/namespaces/:namespace/views/:view`,
  ),
  ...of(
    'reads',
    `GET /api/v1/alerts
    GET /api/v1/rules
    GET /prometheus/api/v1/alerts
    GET /prometheus/api/v1/rules
    GET /api/v1/firn/completeness
    POST /api/v1/firn/sql
    GET,POST /api/v1/format_query
    GET,POST /api/v1/parse_query
    GET,POST /api/v1/query
    GET,POST /api/v1/query_exemplars
    GET,POST /api/v1/query_range
    GET,POST /api/v1/series
    GET,POST /api/v1/labels
    GET /api/v1/label/:name/values
    GET /api/v1/metadata
    POST /api/v1/read
    GET /api/v1/status/buildinfo
    GET /api/v1/status/flags
    GET,POST /loki/api/v1/detected_field/:name/values
    GET,POST /loki/api/v1/detected_fields
    GET,POST /loki/api/v1/detected_labels
    GET,POST /loki/api/v1/drilldown-limits
    GET,POST /loki/api/v1/format_query
    GET,POST /loki/api/v1/index/stats
    GET,POST /loki/api/v1/index/volume
    GET,POST /loki/api/v1/index/volume_range
    GET,POST /loki/api/v1/label
    GET,POST /loki/api/v1/label/:name/values
    GET,POST /loki/api/v1/labels
    GET,POST /loki/api/v1/patterns
    GET,POST /loki/api/v1/query
    GET,POST /loki/api/v1/query_range
    GET /loki/api/v1/rules
    GET /api/prom/rules
    GET,POST /loki/api/v1/series
    GET /loki/api/v1/status/buildinfo`,
  ),
]);

type GatewayDoor = 'anybody' | 'ingest' | 'read' | 'admin';

/** Every endpoint of a gateway, by the role that it needs; `anybody`: none. site-security.test.ts tries each. */
export const gatewayDoors: ReadonlyMap<string, GatewayDoor> = new Map<string, GatewayDoor>([
  ...of('anybody', 'GET /ready\nGET /health\nGET,HEAD /ping\nGET /site-ca.crt'),
  ...of('ingest', senders),
  ...of(
    'read',
    `GET /
    GET /api/v1/firn/status
    GET /api/v1/targets
    GET /api/v1/scrape_pools`,
  ),
  // Both sides answer the same queries.
  ...[...doors].flatMap(([endpoint, door]): [string, 'read'][] =>
    door === 'reads' ? [[endpoint, 'read']] : [],
  ),
  ...of(
    'admin',
    `GET /api/v1/firn/ship/identity
    GET /api/v1/firn/ship/shipments/:epoch/:number/segments/:index
    GET /api/v1/firn/ship/status
    POST /api/v1/firn/ship/bundle
    POST /api/v1/firn/ship/compose
    POST /api/v1/firn/ship/damaged
    POST /api/v1/firn/ship/exported
    POST /api/v1/firn/ship/receipt`,
  ),
]);
