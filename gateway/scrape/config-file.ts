import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { byteSize, duration, relabelRule, text } from './config-values.ts';

// prometheus.yml, as far as it is about scraping: `global` and `scrape_configs`, in Prometheus' own words.

const count = z.number().int().nonnegative().default(0);

const tlsConfig = z.strictObject({
  ca: z.string().optional(),
  ca_file: z.string().optional(),
  cert: z.string().optional(),
  cert_file: z.string().optional(),
  key: z.string().optional(),
  key_file: z.string().optional(),
  server_name: z.string().optional(),
  insecure_skip_verify: z.boolean().default(false),
  min_version: z.enum(['TLS10', 'TLS11', 'TLS12', 'TLS13']).optional(),
  max_version: z.enum(['TLS10', 'TLS11', 'TLS12', 'TLS13']).optional(),
});

const labelSet = z.record(z.string().min(1), text);

export const targetGroup = z.strictObject({
  targets: z.array(z.string().min(1)),
  labels: labelSet.default({}),
});

const fileDiscovery = z.strictObject({
  files: z.array(z.string().regex(/\.(json|ya?ml)$/, 'its name has to end with .json, .yml or .yaml')).min(1),
  refresh_interval: duration.default(300_000),
});

const limits = {
  body_size_limit: byteSize.optional(),
  sample_limit: count.optional(),
  target_limit: count.optional(),
  label_limit: count.optional(),
  label_name_length_limit: count.optional(),
  label_value_length_limit: count.optional(),
};

const scrapeConfig = z
  .strictObject({
    job_name: z.string().min(1),
    scrape_interval: duration.optional(),
    scrape_timeout: duration.optional(),
    scrape_protocols: z
      .array(
        z.enum([
          'OpenMetricsText1.0.0',
          'OpenMetricsText0.0.1',
          'PrometheusText0.0.4',
          'PrometheusText1.0.0',
        ]),
      )
      .min(1)
      .optional(),
    fallback_scrape_protocol: z.enum(['OpenMetricsText1.0.0', 'PrometheusText0.0.4']).optional(),
    metrics_path: z.string().default('/metrics'),
    scheme: z.enum(['http', 'https']).default('http'),
    params: z.record(z.string(), z.array(text)).default({}),
    honor_labels: z.boolean().default(false),
    honor_timestamps: z.boolean().default(true),
    track_timestamps_staleness: z.boolean().default(false),
    enable_compression: z.boolean().default(true),
    follow_redirects: z.boolean().default(true),
    enable_http2: z.boolean().optional(), // HTTP 1.1 it is, which every exporter speaks
    basic_auth: z
      .strictObject({
        username: text.optional(),
        username_file: z.string().optional(),
        password: text.optional(),
        password_file: z.string().optional(),
      })
      .optional(),
    authorization: z
      .strictObject({
        type: z.string().min(1).default('Bearer'),
        credentials: text.optional(),
        credentials_file: z.string().optional(),
      })
      .optional(),
    bearer_token: text.optional(),
    bearer_token_file: z.string().optional(),
    tls_config: tlsConfig.optional(),
    static_configs: z.array(targetGroup).default([]),
    file_sd_configs: z.array(fileDiscovery).default([]),
    relabel_configs: z.array(relabelRule).default([]),
    metric_relabel_configs: z.array(relabelRule).default([]),
    ...limits,
  })
  .superRefine((config, context) => {
    const refuse = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message });
    const { basic_auth: basic, authorization, bearer_token, bearer_token_file, tls_config: tls } = config;
    const ways = [basic, authorization, bearer_token ?? bearer_token_file].filter((way) => way !== undefined);
    if (ways.length > 1)
      refuse('authorization', 'only one of basic_auth, authorization and bearer_token can be used');
    const twice = (at: string, one: unknown, other: unknown): void => {
      if (one !== undefined && other !== undefined)
        refuse(at, `${at} is given here and as ${at}_file: keep one`);
    };
    twice('basic_auth.username', basic?.username, basic?.username_file);
    twice('basic_auth.password', basic?.password, basic?.password_file);
    twice('authorization.credentials', authorization?.credentials, authorization?.credentials_file);
    twice('bearer_token', bearer_token, bearer_token_file);
    twice('tls_config.ca', tls?.ca, tls?.ca_file);
    twice('tls_config.cert', tls?.cert, tls?.cert_file);
    twice('tls_config.key', tls?.key, tls?.key_file);
    if ((tls?.cert ?? tls?.cert_file) !== undefined && (tls?.key ?? tls?.key_file) === undefined)
      refuse('tls_config', 'a certificate needs its key: set key_file');
    if (/^basic$/i.test(authorization?.type ?? '')) refuse('authorization', 'for type Basic use basic_auth');
  });

const globalSection = z.strictObject({
  scrape_interval: duration.default(60_000),
  scrape_timeout: duration.optional(),
  external_labels: labelSet.optional(),
  evaluation_interval: duration.optional(),
  query_log_file: z.string().optional(),
  ...limits,
});

/** Sections of prometheus.yml that are not about scraping: they are there in every copy, and do nothing here. */
const otherSections = [
  'rule_files',
  'alerting',
  'remote_write',
  'remote_read',
  'storage',
  'tracing',
  'otlp',
  'runtime',
];

const configFile = z
  .strictObject({
    global: globalSection.nullish().transform((section) => section ?? globalSection.parse({})),
    scrape_configs: z
      .array(scrapeConfig)
      .nullish()
      .transform((list) => list ?? []),
    ...Object.fromEntries(otherSections.map((name) => [name, z.unknown().optional()])),
  })
  .transform(({ global, scrape_configs }, context) => {
    const names = new Set<string>();
    return scrape_configs.map((config, index) => {
      const refuse = (field: string, message: string): void =>
        context.addIssue({ code: 'custom', path: ['scrape_configs', index, field], message });
      if (names.has(config.job_name)) refuse('job_name', `${JSON.stringify(config.job_name)} is used twice`);
      names.add(config.job_name);
      const intervalMs = config.scrape_interval ?? global.scrape_interval;
      const timeoutMs = config.scrape_timeout ?? Math.min(global.scrape_timeout ?? 10_000, intervalMs);
      if (timeoutMs > intervalMs)
        refuse('scrape_timeout', 'it is longer than the scrape interval: make it shorter');
      return {
        ...config,
        intervalMs,
        timeoutMs,
        body_size_limit: config.body_size_limit ?? global.body_size_limit ?? 0,
        sample_limit: config.sample_limit ?? global.sample_limit ?? 0,
        target_limit: config.target_limit ?? global.target_limit ?? 0,
        label_limit: config.label_limit ?? global.label_limit ?? 0,
        label_name_length_limit: config.label_name_length_limit ?? global.label_name_length_limit ?? 0,
        label_value_length_limit: config.label_value_length_limit ?? global.label_value_length_limit ?? 0,
      };
    });
  });

export type ScrapeConfig = z.output<typeof configFile>[number];

export interface ScrapeConfigFile {
  readonly configs: readonly ScrapeConfig[];
  /** Paths in the file are relative to its folder. */
  readonly folder: string;
  /** What is in the file and does nothing here, in words. */
  readonly ignored: readonly string[];
}

/** Reads a file like prometheus.yml. Throws FirnError `invalid` with a line for each thing that is wrong. */
export function loadScrapeConfig(path: string): ScrapeConfigFile {
  let content: string;
  try {
    content = readFileSync(path, 'utf8');
  } catch (error) {
    throw refused(path, [messageOf(error)], 'name the file with scrape.configFile');
  }
  return loadScrapeConfigText(content, path);
}

/** The same of the content of the file at `path`. */
export function loadScrapeConfigText(content: string, path: string): ScrapeConfigFile {
  const document = parseDocument(content);
  const [broken] = document.errors;
  if (broken) throw refused(path, [`it is not YAML: ${broken.message.split('\n')[0]}`]);
  const tree: unknown = document.toJS() ?? {};
  const result = configFile.safeParse(tree);
  if (!result.success) throw refused(path, result.error.issues.flatMap(describeIssue));
  return { configs: result.data, folder: dirname(path), ignored: ignoredIn(tree) };
}

function ignoredIn(tree: unknown): string[] {
  if (typeof tree !== 'object' || tree === null) return [];
  const isFull = (value: unknown): boolean =>
    typeof value === 'object' && value !== null && Object.values(value).some((part) => part !== null);
  const sections = Object.entries(tree).filter(
    ([name, value]) => otherSections.includes(name) && isFull(value),
  );
  const { global } = tree as { global?: { external_labels?: unknown } };
  return [
    ...sections.map(([name]) => `${name} is not about scraping and does nothing here`),
    ...(global?.external_labels === undefined
      ? []
      : ['global.external_labels does nothing here: the gateway adds its own labels site and gateway']),
  ];
}

/** What a person should change; `scrape_configs[0].static_configs` and the like say where. */
export function describeIssue(issue: z.core.$ZodIssue): string[] {
  const where = printPath(issue.path);
  const at = where === '' ? '' : `${where}: `;
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => `${at}there is no setting ${JSON.stringify(key)}${hintFor(key)}`);
  return [`${at}${issue.message}`];
}

const printPath = (path: readonly PropertyKey[]): string =>
  path.reduce<string>((all, part) => {
    if (typeof part === 'number') return `${all}[${part}]`;
    return all === '' ? String(part) : `${all}.${String(part)}`;
  }, '');

const known = [
  ...Object.keys(scrapeConfig.shape),
  ...Object.keys(tlsConfig.shape),
  ...Object.keys(globalSection.shape),
  ...['scrape_configs', 'targets', 'labels', 'files', 'refresh_interval', 'source_labels', 'target_label'],
  ...['regex', 'replacement', 'separator', 'modulus', 'action'],
];

function hintFor(key: string): string {
  if (/_sd_configs$/.test(key)) return ': targets come from static_configs and file_sd_configs here';
  if (/^(proxy_|no_proxy|oauth2|http_headers|sigv4)/.test(key))
    return ': it is not supported here; remove it';
  if (/histogram|nhcb|name_(validation|escaping)_scheme|keep_dropped_targets|scrape_config_files/.test(key))
    return ': it is not supported here; remove it';
  const near = known.find((name) => distance(name, key) <= 2);
  return near === undefined ? ': remove it' : `: did you mean ${near}?`;
}

/** How many characters are put in, taken out or changed (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, change));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function refused(path: string, problems: readonly string[], hint?: string): FirnError {
  return new FirnError({
    code: 'invalid',
    operation: 'read scrape configuration',
    subject: path,
    message: `${path}: ${problems.join('\n  ')}`,
    ...(hint === undefined ? {} : { hint }),
  });
}
