import { join } from 'node:path';
import { z } from 'zod';
import { clientAddressBehind } from '../lake/base/client-address.ts';
import { loadConfig, settingsOf } from '../lake/base/config.ts';
import {
  absolutePath,
  certificateFiles,
  checkCertificate,
  checkedBy,
  checkedListenSettings,
  checkPgwire,
  count,
  countOrNone,
  loginSettings,
  logLevelSetting,
  logqlSettings,
  MEBIBYTE,
  pgwireSettings,
  port,
  querySettings,
} from '../lake/base/settings.ts';
import { siteId, tenantId } from '../lake/model/ids.ts';
import { storeSettings } from '../lake/object-store/settings.ts';
import { limitSettings } from './metering/limits.ts';
import { auditKeepDaysMin } from './tenants/audit-retention.ts';

// The cloud's one config schema. Every field is a flag, a FIRN_CLOUD_ variable and a field of the config file.

const variablePrefix = 'FIRN_CLOUD';

const schema = z.strictObject({
  dataDir: z.string().min(1).default('data/cloud').describe('Folder for tenants, keys and the file cache'),
  tenants: z
    .array(z.string().superRefine(checkedBy(tenantId)))
    .default(['demo'])
    .describe('Tenants that are made, with one key each, when they do not exist'),
  tenantsDatabase: z
    .string()
    .regex(/^(postgres(ql)?:.*)?$/, 'it is a URL like postgres://user:password@host/database')
    .default('')
    .describe('PostgreSQL with tenants and keys, for several clouds; empty: a file in the folder'),
  bootstrap: z
    .strictObject({
      keyId: z
        .string()
        .regex(/^([a-z0-9-]{1,63})?$/)
        .default('')
        .describe('Id of the first key of the first tenant, instead of a random one'),
      keySecret: z
        .string()
        .refine((secret) => secret === '' || secret.length >= 20, 'a secret has at least 20 characters')
        .default('')
        .describe('Secret of that key'),
    })
    .prefault({}),
  logLevel: logLevelSetting,
  listen: checkedListenSettings(
    'Bind other addresses than loopback; keys then need tls.certFile and pgwire.certFile, or TLS in front',
  ),
  tls: z
    .strictObject({
      certFile: z
        .string()
        .default('')
        .describe(
          'Certificate chain of HTTP and of OTLP over gRPC, PEM; read again when it changes; empty: no TLS',
        ),
      keyFile: z.string().default('').describe('Private key of certFile, PEM'),
      require: z
        .boolean()
        .default(true)
        .describe(
          'Close connections from other machines that do not begin with TLS, where there is a certificate',
        ),
    })
    .superRefine(checkCertificate)
    .prefault({}),
  http: z
    .strictObject({
      port: port(8490, 'HTTP: PromQL and SQL'),
      bodyBytesMax: count(4 * MEBIBYTE, 'Size of one request body'),
      trustedProxies: z
        .array(z.string().superRefine(checkedBy((each: string) => clientAddressBehind([each]))))
        .default([])
        .describe('Addresses and networks of proxies whose X-Forwarded-For says who asks'),
    })
    .prefault({}),
  pgwire: z
    .strictObject({
      ...pgwireSettings(5433, 100),
      plainPassword: z
        .boolean()
        .default(false)
        .describe('Inside TLS ask for the password itself instead of SCRAM, for clients that have no SCRAM'),
    })
    .superRefine(checkPgwire)
    .prefault({}),
  store: storeSettings(['directory', 's3']),
  ingest: z
    .strictObject({ pollIntervalMs: count(1000, 'How often the inbox is looked at for new shipments') })
    .prefault({}),
  maintain: z
    .strictObject({
      intervalMs: count(15_000, 'How often small files of the lake are looked for, to be merged'),
      memoryBytesMax: count(512 * MEBIBYTE, 'Memory for merging'),
      pastCompressionLevel: z
        .number()
        .int()
        .min(1)
        .max(22)
        .default(17)
        .describe('How hard zstd compresses merged files of days that are over, 1 to 22'),
      snapshotAgeSeconds: count(3600, 'A snapshot that is younger can be travelled to'),
      orphanGraceSeconds: count(3600, 'How long files that no snapshot names stay; no query may take longer'),
    })
    .prefault({}),
  rollups: z
    .enum(['off', '1h', '1m'])
    .default('1h')
    .describe(
      'What is kept of metrics in rollups, which long queries read: 1h hours, 1m minutes and hours, off nothing new',
    ),
  completeness: z
    .strictObject({
      toleranceMs: count(60_000, 'Data younger than this is not expected to be complete'),
      retiredAfterDays: count(30, 'A gateway not heard of for so many days is not waited for'),
    })
    .prefault({}),
  cache: z
    .strictObject({ bytesMax: count(10 * 1024 * MEBIBYTE, 'Local copies of lake files (S3 only)') })
    .prefault({}),
  catalog: z
    .strictObject({
      kind: z
        .enum(['object-store', 'rest'])
        .default('object-store')
        .describe(
          'Who says which state of a table is the newest: the object store alone, or an Iceberg REST catalog',
        ),
      uri: z.string().default('').describe('URL of that catalog (Polaris, Lakekeeper, Nessie)'),
      warehouse: z.string().default('').describe('Its warehouse'),
      token: z.string().default('').describe('Bearer token for it'),
      clientId: z.string().default('').describe('OAuth2 client, to get tokens with instead'),
      clientSecret: z.string().default('').describe("That client's secret"),
      scope: z.string().default('catalog').describe('Scope of those tokens (Polaris: PRINCIPAL_ROLE:ALL)'),
      oauthUri: z
        .string()
        .default('')
        .describe("Where they are given; empty: the catalog's /v1/oauth/tokens"),
    })
    .refine(({ kind, uri }) => kind !== 'rest' || uri !== '', {
      path: ['uri'],
      message: 'a catalog of kind rest needs it',
    })
    .prefault({}),
  iceberg: z
    .strictObject({
      vendRoleArn: z
        .string()
        .default('')
        .describe(
          'Role whose sessions readers of the Iceberg REST catalog get, cut down to a table (S3 only)',
        ),
      stsEndpoint: z.string().default('').describe("URL of the STS service; empty: the store's, or AWS"),
      vendSeconds: count(3600, 'How long such a session lasts'),
    })
    .prefault({}),
  fleet: z
    .strictObject({
      publicUrl: z
        .union([z.literal(''), z.url({ protocol: /^https?$/ })])
        .default('')
        .describe('Where gateways reach the cloud, for printed claims: https://lake.example.com'),
      authorityDir: z
        .string()
        .default('')
        .describe('Folder of the device authority, the same for all clouds; empty: authority in dataDir'),
      adoptionsPerSecondMax: countOrNone(
        100,
        'Requests of devices without a claim that are answered; 0: no limit',
      ),
      adoptionsPerSecondPerAddressMax: countOrNone(20, 'The same from one address; 0: no limit'),
      heartbeatSeconds: count(30, 'How often a gateway says how it does'),
      uploadRoleArn: z
        .string()
        .default('')
        .describe(
          'Role whose sessions gateways ship with, cut down to what is their own (S3 only); empty: each of their requests is signed',
        ),
      uploadSeconds: count(
        3600,
        'How long such a session lasts; a gateway gets the next one after half of it',
      ),
      presignedSeconds: count(300, 'How long a signed request counts, where there is no role'),
      certificateDays: count(90, 'How long the certificate of a gateway counts; it is renewed after a third'),
    })
    .prefault({}),
  direct: z
    .strictObject({
      enabled: z
        .boolean()
        .default(true)
        .describe('Take remote write, Loki push, OTLP and InfluxDB lines, with keys of the scope ingest'),
      site: z
        .string()
        .superRefine(checkedBy(siteId))
        .default('cloud')
        .describe('Site of what is sent so, where neither the key nor X-Firn-Site says one'),
      grpcPort: port(8491, 'OTLP over gRPC'),
      grpcConnectionsMax: count(1000, 'OTLP senders over gRPC at once'),
      bodyBytesMax: count(32 * MEBIBYTE, 'Size of one request body, as sent and decompressed'),
      openMax: count(32, 'Sites of all tenants that are received for at once'),
      sitesPerTenantMax: count(20, 'Sites of one tenant that were ever received for'),
      idleSeconds: count(300, 'A site for which nothing came for so long is not held open'),
      diskBytesMax: count(
        1024 * MEBIBYTE,
        'Disk for what is received for a site and not shipped; beyond it senders wait',
      ),
    })
    .prefault({}),
  audit: z
    .strictObject({
      keepDays: z
        .number()
        .int()
        .refine(
          (days) => days === 0 || days >= auditKeepDaysMin,
          `lines stay for at least ${auditKeepDaysMin} days`,
        )
        .default(400)
        .describe('Days that lines of the audit log stay, at least 30; 0: for good'),
    })
    .prefault({}),
  metrics: z
    .strictObject({
      token: z
        .string()
        .refine((token) => token === '' || token.length >= 20, 'a token has at least 20 characters')
        .default('')
        .describe('Bearer token that reads /metrics and nothing else; empty: an operator’s key does'),
    })
    .prefault({}),
  login: loginSettings,
  limits: limitSettings,
  query: querySettings(1024, 512, 128),
  logql: logqlSettings(256, 2),
});

export type CloudConfig = z.infer<typeof schema>;

export const cloudSettings = settingsOf(schema, variablePrefix);

/** Reads and validates the cloud's configuration; dataDir and store.path come back absolute. */
export function loadCloudConfig(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): CloudConfig {
  const config = loadConfig(schema, { argv, env, variablePrefix });
  return {
    ...config,
    dataDir: absolutePath(config.dataDir),
    tls: certificateFiles(config.tls),
    pgwire: certificateFiles(config.pgwire),
    store: { ...config.store, path: absolutePath(config.store.path) },
    fleet: {
      ...config.fleet,
      authorityDir: absolutePath(config.fleet.authorityDir || join(config.dataDir, 'authority')),
    },
  };
}
