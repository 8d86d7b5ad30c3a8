import { z } from 'zod';
import { loadConfig, settingsOf, withSettings } from '../lake/base/config.ts';
import { FirnError } from '../lake/base/errors.ts';
import { crashAt } from '../lake/base/fault-points.ts';
import {
  absolutePath,
  certificateFiles,
  checkCertificate,
  checkedBy,
  count,
  countOrNone,
  isLoopback,
  limit,
  listenSettings,
  loginSettings,
  logLevelSetting,
  logqlSettings,
  MEBIBYTE,
  pgwireSettings,
  port,
  querySettings,
} from '../lake/base/settings.ts';
import { newGatewayId, siteId, tenantId } from '../lake/model/ids.ts';
import { storeSettings } from '../lake/object-store/settings.ts';
import { labelLimits } from '../lake/receive/label-limits.ts';
import { lineBytesMax } from '../lake/receive/logs/line-limit.ts';
import { mqttLimits } from '../lake/receive/mqtt/mapper.ts';
import { compileRules } from '../lake/receive/mqtt/rules/compile.ts';
import { remoteWriteLimits } from '../lake/receive/remote-write/limits.ts';
import { sparkplugLimits } from '../lake/receive/sparkplug/host.ts';
import { formatOf } from '../lake/receive/syslog/time.ts';
import { parseClaim, parsePin } from '../provisioning/contract.ts';
import { bridgesSetting } from './bridge/settings.ts';
import { brokerSettings, wrongBrokerSettings } from './broker/settings.ts';
import { tlsSettings, usersSetting } from './security/settings.ts';
import { parseWindow } from './ship/lanes.ts';
import { alarmTest } from './wal/alarm-streams.ts';

// The gateway's one config schema. Every field is a flag, a FIRN_GATEWAY_ variable and a field of the config file.

const variablePrefix = 'FIRN_GATEWAY';

/** What a gateway is called that nobody has named; not asked for when it enrolls, since each would. */
export const idByDefault = 'gateway-1';
/** The tenant of a gateway to which nobody has named one. */
export const tenantByDefault = 'demo';

const mqtt = z.strictObject({
  ...brokerSettings,
  bridges: bridgesSetting,
  futureMsMax: count(
    3_600_000,
    "A device's time that is so much later than the receipt is kept as device_timestamp, not believed",
  ),
  templates: z
    .array(
      z.strictObject({
        topic: z.string().min(1),
        metric: z.string().min(1).optional(),
        labels: z.record(z.string(), z.string()).optional(),
      }),
    )
    .default([])
    .describe('Topic templates, for example [{"topic":"{site}/{line}/{sensor}"}]'),
  sparkplug: z
    .strictObject({
      enabled: z.boolean().default(true).describe('Read spBv1.0/# as a Sparkplug B host application does'),
      hostId: z
        .string()
        .regex(/^[^/+#]*$/, 'a host id has no /, + or #')
        .default('')
        .describe('Id of this host: its STATE is published for edge nodes that wait for it; empty: no STATE'),
      rebirthIntervalMs: count(
        sparkplugLimits.rebirthIntervalMs,
        'Shortest time between two requests to one edge node for its births',
      ),
    })
    .prefault({}),
  rulesFile: z
    .string()
    .default('')
    .describe('YAML or JSON file of mapping rules; firn mqtt dry-run shows what they would make'),
  rules: z
    .array(z.unknown())
    .superRefine(checkedBy((rules: readonly unknown[]) => compileRules(rules, mqttLimits)))
    .default([])
    .describe('Mapping rules, asked before those of rulesFile, for example [{"preset":"tasmota"}]'),
});

const otlp = z.strictObject({
  listen: z
    .boolean()
    .default(true)
    .describe("Listen on OTLP's own ports too; HTTP takes it on http.port in any case"),
  httpPort: port(4318, 'OTLP over HTTP'),
  grpcPort: port(4317, 'OTLP over gRPC'),
  connectionsMax: count(256, 'gRPC connections at once'),
});

const syslog = z.strictObject({
  listen: z.boolean().default(false).describe('Listen for syslog, over UDP and TCP'),
  port: port(1514, 'Syslog over UDP and over TCP'),
  timeZone: z
    .string()
    .superRefine(checkedBy(formatOf))
    .default('UTC')
    .describe('Zone of times that say none, for example Europe/Berlin'),
  messageBytesMax: count(64 * 1024, 'Size of one syslog message; of a longer one the start is kept'),
  connectionsMax: count(256, 'Syslog senders over TCP at once'),
  udpQueueBytesMax: count(8 * MEBIBYTE, 'Syslog over UDP that waits for the disk; more is lost, and counted'),
});

const scrape = z.strictObject({
  configFile: z
    .string()
    .default('')
    .describe('File like prometheus.yml whose scrape_configs are scraped; firn scrape check looks at it'),
  bodyBytesMax: count(32 * MEBIBYTE, 'Size of one exposition, decompressed; body_size_limit may be less'),
  concurrentMax: count(32, 'Scrapes at once; others wait for their turn, at most until their timeout'),
  refreshMs: count(5000, 'How often that file and target files are looked at for changes'),
});

const wal = z.strictObject({
  commitIntervalMs: z
    .number()
    .min(0)
    .max(10_000)
    .default(2)
    .describe('Longest wait for more rows before an fsync; higher wears an SD card less'),
  queueBytesMax: count(
    64 * MEBIBYTE,
    'Received bytes waiting for the disk; beyond it senders are told to come back',
  ),
});

const seal = z.strictObject({
  intervalMs: count(2000, 'Age of the oldest row at which the WAL tail becomes segments'),
  rowsMax: count(125_000, 'Rows of one seal'),
  bytesMax: count(16 * MEBIBYTE, 'Bytes of the log that one seal takes'),
  writer: z
    .enum(['duckdb', 'parquetjs'])
    .default('parquetjs')
    .describe('Parquet writer; duckdb takes several times the CPU and memory'),
  mergeRowsMax: count(250_000, 'Rows of one file that others are merged into'),
  mergeMemoryBytesMax: count(48 * MEBIBYTE, 'Memory for merging files, beyond it merging spills to the disk'),
  localRetentionHours: z
    .number()
    .positive()
    .default(168)
    .describe('How long segments stay for local queries after their seal, once the cloud has them'),
});

const ship = z.strictObject({
  retryMinMs: count(1000, 'First wait after a failed upload'),
  retryMaxMs: count(
    60_000,
    'Longest wait after failed uploads; 2 s while the store can not be reached at all',
  ),
  newestMs: count(60_000, 'What was sealed so lately is shipped before older data'),
  bytesPerSecondMax: limit('Bytes a second on the way to the store'),
  bytesPerDayMax: limit('Bytes a day (UTC) on the way to the store; alarms go beyond it'),
  windows: z
    .array(z.string().superRefine(checkedBy(parseWindow)))
    .default([])
    .describe(
      'Cron expressions (UTC): only in minutes that match one is more than alarms shipped; none: always',
    ),
  metered: z
    .boolean()
    .default(false)
    .describe('Ship seldom and in large files, for links that are paid by the byte or the request'),
  meteredIntervalMs: count(900_000, 'How often a metered gateway ships; alarms go at once'),
  receiptIntervalMs: count(30_000, "How often the cloud's receipt is looked at while something waits for it"),
  bundleBytesMax: count(2048 * MEBIBYTE, 'Size of one bundle that is exported to a stick'),
});

const classes = z.strictObject({
  alarms: z
    .array(z.string().superRefine(checkedBy((selector) => alarmTest([selector]))))
    .default(['{__name__=~"ALERTS|alarms?|alarms?_.*|.*_alarms?"}', '{topic=~"(.*/)?[Aa]larms?(/.*)?"}'])
    .describe('Selectors of the streams that are alarms: shipped first, and dropped last'),
});

const share = (fallback: number, description: string) =>
  z.number().min(0).max(1).default(fallback).describe(`Share of the budget in use at which ${description}`);

const bytesOr = (description: string) => countOrNone(0, description);

const disk = z.strictObject({
  budgetBytes: bytesOr('What the gateway may hold on disk; 0: all that is free, less the reserve'),
  reserveBytes: bytesOr(
    'Kept free on the file system: nothing is accepted that would touch it; 0: 5 % of it, at most 256 MiB',
  ),
  dropCachedAt: share(0.7, 'local copies of what the cloud has are removed, the oldest first'),
  rollUpAt: share(0.8, 'the oldest metrics that are not shipped become one-minute rollups'),
  dropAt: share(0.9, 'the oldest data of the least class is dropped: logs, metrics, alarms'),
  checkIntervalMs: count(10_000, 'How often the disk is measured'),
  cardTotalBytesWritten: bytesOr(
    'Bytes that the card can take in its life, for the forecast of it; 0: 1000 times its size',
  ),
});

const clock = z.strictObject({
  trust: z
    .enum(['auto', 'always'])
    .default('auto')
    .describe('Whether the wall clock is believed: by the evidence for it, or always'),
  holdMs: z
    .number()
    .int()
    .nonnegative()
    .default(600_000)
    .describe('How long after its start a gateway that does not know the time waits for it before it seals'),
});

const limits = z.strictObject({
  activeSeriesMax: countOrNone(
    200_000,
    'Series and log streams with rows in the last 30 to 60 minutes; new ones beyond it are refused; 0: no limit',
  ),
  newSeriesPerMinuteMax: countOrNone(
    100_000,
    'New series and log streams a minute; more are refused; 0: no limit',
  ),
  labelsPerSeriesMax: count(labelLimits.labelsPerSeriesMax, 'Labels of one series or log stream'),
  labelNameBytesMax: count(labelLimits.labelNameBytesMax, 'Size of a label name'),
  labelValueBytesMax: count(labelLimits.labelValueBytesMax, 'Size of a label value'),
  seriesPerRequestMax: count(remoteWriteLimits.seriesPerRequestMax, 'Series in one request'),
  lineBytesMax: count(lineBytesMax, 'Size of one log line of Loki push, OTLP and line protocol'),
});

const settings = z.strictObject({
  tenant: z
    .string()
    .superRefine(checkedBy(tenantId))
    .default(tenantByDefault)
    .describe('Tenant that all data belongs to'),
  site: z
    .string()
    .superRefine(checkedBy(siteId))
    .default('demo-site')
    .describe('Site where the gateway stands'),
  gateway: z
    .string()
    .superRefine(checkedBy(newGatewayId))
    .default(idByDefault)
    .describe('Id of this gateway, unique in the tenant'),
  dataDir: z.string().min(1).default('data/gateway').describe('Folder for the WAL and local segments'),
  logLevel: logLevelSetting,
  identityLabels: z
    .boolean()
    .default(true)
    .describe('Add the labels site and gateway to everything received'),
  listen: z
    .strictObject(
      listenSettings('Let everybody in who can reach an address: no credentials, on a network you trust'),
    )
    .prefault({}),
  users: usersSetting,
  tls: tlsSettings,
  mqtt: mqtt.prefault({}),
  http: z
    .strictObject({
      port: port(8480, 'HTTP: remote write, Loki push and OTLP in, PromQL and SQL out'),
      bodyBytesMax: count(32 * MEBIBYTE, 'Size of one request body, as sent and decompressed'),
    })
    .prefault({}),
  loki: z
    .strictObject({
      discoverServiceName: z
        .boolean()
        .default(true)
        .describe('Give streams of Loki push that have no service_name one, as Loki does'),
      discoverLogLevels: z
        .boolean()
        .default(true)
        .describe('Give lines of Loki push their detected_level, as Loki does'),
    })
    .prefault({}),
  login: loginSettings,
  pgwire: z.strictObject(pgwireSettings(5434, 32)).superRefine(checkCertificate).prefault({}),
  otlp: otlp.prefault({}),
  limits: limits.prefault({}),
  scrape: scrape.prefault({}),
  syslog: syslog.prefault({}),
  wal: wal.prefault({}),
  seal: seal.prefault({}),
  ship: ship.prefault({}),
  classes: classes.prefault({}),
  disk: disk.prefault({}),
  clock: clock.prefault({}),
  store: storeSettings(['none', 'directory', 's3', 'cloud']),
  cloud: z
    .strictObject({
      url: z
        .union([z.literal(''), z.url({ protocol: /^https?$/ })])
        .default('')
        .describe(
          'Cloud to enroll with and to report to, where the claim does not say it; without a claim the device shows a code to be adopted by',
        ),
      pin: z
        .string()
        .superRefine(checkedBy((pin) => pin === '' || parsePin(pin)))
        .default('')
        .describe(
          "What the cloud's authority has to be for a device without a claim, 16 letters (firn gateways site-file); needed over plain HTTP",
        ),
      claim: z
        .string()
        .superRefine(checkedBy((claim) => claim === '' || parseClaim(claim)))
        .default('')
        .describe('Claim to enroll with at the first start; tenant, site and id then come from the cloud'),
      caFile: z
        .string()
        .default('')
        .describe("Authorities that the cloud's own certificate is believed of, PEM; empty: the usual ones"),
      trialSeconds: count(
        300,
        'Settings that the cloud sends are taken back when the gateway does not store, or reach the cloud, for so long',
      ),
    })
    .prefault({}),
  identity: z
    .strictObject({
      keyStore: z
        .enum(['file', 'tpm2'])
        .default('file')
        .describe(
          'Where the key of this device is made: a file of the data folder, or a TPM 2.0 (by tpm2-tools), which alone can use it then',
        ),
    })
    .prefault({}),
  proxy: z
    .union([z.literal(''), z.url({ protocol: /^https?$/ })])
    .default('')
    .describe('HTTP proxy on the way to the cloud and to an S3 store, for example http://10.0.0.1:3128'),
  sql: z
    .strictObject({
      process: z
        .enum(['own', 'shared'])
        .default('own')
        .describe(
          "Whether SQL is answered by a process of its own, which may die alone, or by the gateway's",
        ),
    })
    .prefault({}),
  query: querySettings(256, 128, 32),
  logql: logqlSettings(24, 1),
  test: z
    .strictObject({
      crashAt: z
        .string()
        .superRefine(checkedBy(crashAt))
        .default('')
        .describe('For tests: kills the process at a named step, for example seal.written:3'),
    })
    .prefault({}),
  health: z.strictObject({ intervalMs: count(15_000, 'How often the gateway measures itself') }).prefault({}),
});

const schema = settings.superRefine(({ mqtt: broker, pgwire, listen, tls }, context) => {
  const hasTls = (host: string, certFile: string): boolean =>
    certFile !== '' || tls.certFile !== '' || !isLoopback(host);
  const wrong = wrongBrokerSettings(broker, hasTls(broker.host || listen.host, broker.tls.certFile));
  if (wrong) context.addIssue({ code: 'custom', path: ['mqtt', ...wrong[0].split('.')], message: wrong[1] });
  if (pgwire.requireTls && !hasTls(listen.host, pgwire.certFile))
    context.addIssue({
      code: 'custom',
      path: ['pgwire', 'requireTls'],
      message: 'needs certFile and keyFile',
    });
});

export type GatewayConfig = z.infer<typeof schema>;

export const gatewaySettings = settingsOf(schema, variablePrefix);

/** Reads and validates the gateway's configuration; dataDir and store.path come back absolute. */
export function loadGatewayConfig(
  argv: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): GatewayConfig {
  return absolutePaths(loadConfig(schema, { argv, env, variablePrefix }));
}

/** What a cloud may not decide: who the gateway is, whom it believes, what can be reached from outside, and where data is. */
const ownFields = [
  ...(['tenant', 'site', 'gateway', 'dataDir', 'identityLabels', 'identity', 'cloud', 'proxy'] as const),
  ...(['store', 'listen', 'users', 'tls', 'test'] as const),
] as const;

/** The configuration with settings of the cloud before it. Throws FirnError `invalid` that names the setting. */
export function withCloudSettings(
  config: GatewayConfig,
  settings: Readonly<Record<string, unknown>>,
): GatewayConfig {
  const own = ownFields.find((name) => Object.hasOwn(settings, name));
  if (own === undefined) return absolutePaths(withSettings(schema, config, settings));
  throw new FirnError({
    ...{ code: 'invalid', operation: 'take settings', subject: own },
    message: `${own}: it is decided on site, not by the cloud`,
  });
}

function absolutePaths(config: GatewayConfig): GatewayConfig {
  return {
    ...config,
    dataDir: absolutePath(config.dataDir),
    pgwire: certificateFiles(config.pgwire),
    tls: certificateFiles(config.tls),
    scrape: { ...config.scrape, configFile: absolutePath(config.scrape.configFile) },
    store: { ...config.store, path: absolutePath(config.store.path) },
    cloud: { ...config.cloud, caFile: absolutePath(config.cloud.caFile) },
    mqtt: {
      ...config.mqtt,
      usersFile: absolutePath(config.mqtt.usersFile),
      aclFile: absolutePath(config.mqtt.aclFile),
      rulesFile: absolutePath(config.mqtt.rulesFile),
      bridges: config.mqtt.bridges.map((bridge) => ({
        ...bridge,
        passwordFile: absolutePath(bridge.passwordFile),
        caFile: absolutePath(bridge.caFile),
        certFile: absolutePath(bridge.certFile),
        keyFile: absolutePath(bridge.keyFile),
      })),
      tls: {
        ...config.mqtt.tls,
        certFile: absolutePath(config.mqtt.tls.certFile),
        keyFile: absolutePath(config.mqtt.tls.keyFile),
        caFile: absolutePath(config.mqtt.tls.caFile),
      },
    },
  };
}
