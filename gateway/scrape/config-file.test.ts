import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { labelsJson } from '../../lake/model/labels.ts';
import { loadScrapeConfig, type ScrapeConfigFile } from './config-file.ts';
import { createFileDiscovery } from './file-discovery.ts';
import { type TargetGroup, type TargetsOfJob, targetsOf } from './targets.ts';

const folder = mkdtempSync(join(tmpdir(), 'firn-scrape-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'prometheus.yml');

function load(yaml: string): ScrapeConfigFile {
  writeFileSync(file, yaml);
  return loadScrapeConfig(file);
}

const job = (rest: string): string => `scrape_configs: [{job_name: a${rest === '' ? '' : `, ${rest}`}}]`;

test('what Prometheus ships is understood', () => {
  const { configs, ignored } = load(`
global:
  scrape_interval: 15s
  evaluation_interval: 15s
  external_labels: {monitor: x}
alerting:
  alertmanagers:
    - static_configs: [{targets: []}]
rule_files:
  # - "first_rules.yml"
scrape_configs:
  - job_name: prometheus
    static_configs:
      - targets: ["localhost:9090"]
        labels: {app: prometheus, rack: 7}
  - job_name: node
    scrape_interval: 1m30s
    scrape_timeout: 5s
    body_size_limit: 10MB
    params: {module: [http_2xx, x], debug: [true]}
    basic_auth: {username: u, password_file: p}
    tls_config: {insecure_skip_verify: true}
    file_sd_configs: [{files: ["targets/*.yml"], refresh_interval: 1m}]
`);
  expect(configs).toMatchObject([
    { job_name: 'prometheus', intervalMs: 15_000, timeoutMs: 10_000, body_size_limit: 0 },
    { intervalMs: 90_000, timeoutMs: 5000, body_size_limit: 10_485_760, params: { debug: ['true'] } },
  ]);
  expect(ignored.map((words) => words.split(' ')[0])).toEqual(['alerting', 'global.external_labels']);
});

test('a file without anything', () => expect(load('').configs).toEqual([]));

test.each([
  [
    job('scrape_intervall: 5s'),
    'scrape_configs[0]: there is no setting "scrape_intervall": did you mean scrape_interval?',
  ],
  [
    job('kubernetes_sd_configs: []'),
    'there is no setting "kubernetes_sd_configs": targets come from static_configs and file_sd_configs here',
  ],
  [job('proxy_url: x'), 'there is no setting "proxy_url": it is not supported here; remove it'],
  [
    job('tls_config: {cafile: x}'),
    'scrape_configs[0].tls_config: there is no setting "cafile": did you mean ca_file?',
  ],
  ['scrape_config: []', 'there is no setting "scrape_config": did you mean scrape_configs?'],
  ['global: {scrape_intervall: 1s}', 'global: there is no setting "scrape_intervall"'],
  ['scrape_configs: [{}]', 'scrape_configs[0].job_name: '],
  [
    job('scrape_interval: 15'),
    'scrape_configs[0].scrape_interval: it has to be a duration such as 15s or 1m',
  ],
  [job('scrape_interval: 15 seconds'), 'scrape_configs[0].scrape_interval: '],
  [job('scrape_interval: 0s'), 'scrape_configs[0].scrape_interval: 0s is no time at all'],
  [
    job('scrape_interval: 5s, scrape_timeout: 6s'),
    'scrape_configs[0].scrape_timeout: it is longer than the scrape interval',
  ],
  ['scrape_configs: [{job_name: a}, {job_name: a}]', 'scrape_configs[1].job_name: "a" is used twice'],
  [job('scheme: ftp'), 'scrape_configs[0].scheme: '],
  [
    job('body_size_limit: 10 apples'),
    'scrape_configs[0].body_size_limit: "10 apples" is no size: write 10MB',
  ],
  [
    job('bearer_token: x, basic_auth: {username: u}'),
    'only one of basic_auth, authorization and bearer_token',
  ],
  [
    job('basic_auth: {password: x, password_file: y}'),
    'basic_auth.password is given here and as basic_auth.password_file',
  ],
  [job('tls_config: {cert_file: x}'), 'a certificate needs its key: set key_file'],
  [
    job('file_sd_configs: [{files: [targets.txt]}]'),
    'scrape_configs[0].file_sd_configs[0].files[0]: its name has to end with .json',
  ],
  [
    job('relabel_configs: [{regex: "("}]'),
    'scrape_configs[0].relabel_configs[0].regex: error parsing regexp: missing closing )',
  ],
  [job('relabel_configs: [{action: remove}]'), 'scrape_configs[0].relabel_configs[0].action: '],
  [
    job('relabel_configs: [{source_labels: [x]}]'),
    'relabel_configs[0].target_label: action replace needs it',
  ],
  [
    job('relabel_configs: [{action: hashmod, target_label: x}]'),
    'relabel_configs[0].modulus: action hashmod needs it',
  ],
  [
    job('metric_relabel_configs: [{action: labeldrop, source_labels: [x]}]'),
    'metric_relabel_configs[0].source_labels: action labeldrop has no use for it',
  ],
  [
    job('metric_relabel_configs: [{action: keepequal, source_labels: [x], target_label: y, regex: z}]'),
    'metric_relabel_configs[0].regex: action keepequal has no use for it',
  ],
  ['scrape_configs: [', 'it is not YAML'],
])('%s', (yaml, message) => expect(() => load(yaml)).toThrow(message));

test('every mistake is named', () => {
  expect(() =>
    load('scrape_configs: [{job_name: "", metrics_path: 5}, {job_name: b, honour_labels: true}]'),
  ).toThrow(
    /scrape_configs\[0\]\.job_name[\s\S]*scrape_configs\[0\]\.metrics_path[\s\S]*did you mean honor_labels/,
  );
});

function targets(yaml: string, groups: TargetGroup[] = []): TargetsOfJob {
  const [config] = load(yaml).configs;
  if (config === undefined) throw new Error('no job');
  return targetsOf(config, [...config.static_configs, ...groups]);
}
const shown = (found: TargetsOfJob) => found.targets.map(({ url, labels }) => [url, labelsJson(labels)]);

test.each([
  [
    'static_configs: [{targets: ["h:1", "h:1", "[::1]:2"], labels: {x: "y", __meta_z: "1", empty: ""}}]',
    [
      ['http://h:1/metrics', '{"instance":"h:1","job":"a","x":"y"}'],
      ['http://[::1]:2/metrics', '{"instance":"[::1]:2","job":"a","x":"y"}'],
    ],
  ],
  [
    'metrics_path: "probe", scheme: https, params: {m: [b, c], k: ["1"]}, static_configs: [{targets: [h]}]',
    [['https://h/probe?k=1&m=b&m=c', '{"instance":"h","job":"a"}']],
  ],
  [
    // The black box: the address becomes a parameter, and another address is asked.
    `params: {m: [b, c]}, static_configs: [{targets: ["http://x/y"]}], relabel_configs: [
      {source_labels: [__address__], target_label: __param_target},
      {source_labels: [__param_target], target_label: instance},
      {target_label: __param_m, replacement: z},
      {target_label: __address__, replacement: "box:9115"},
      {target_label: __metrics_path__, replacement: /probe},
      {target_label: job, replacement: j}]`,
    [['http://box:9115/probe?m=z&m=c&target=http%3A%2F%2Fx%2Fy', '{"instance":"http://x/y","job":"j"}']],
  ],
])('targets of %s', (rest, expected) => expect(shown(targets(job(rest)))).toEqual(expected));

test('intervals by label, targets that are dropped, and those that can not be scraped', () => {
  const found = targets(
    job(`static_configs: [{targets: ["good:1", "bad/:1", "drop:1", "slow:1"]}], relabel_configs: [
      {source_labels: [__address__], regex: "drop.*", action: drop},
      {source_labels: [__address__], regex: "good.*", target_label: __scrape_interval__, replacement: 30s},
      {source_labels: [__address__], regex: "slow.*", target_label: __scrape_timeout__, replacement: 2h}]`),
  );
  expect(found.targets.map(({ url, intervalMs }) => [url, intervalMs])).toEqual([
    ['http://good:1/metrics', 30_000],
  ]);
  expect(found.dropped.map((labels) => Object.fromEntries(labels).__address__)).toEqual(['drop:1']);
  expect(found.problems).toEqual([
    'target "bad/:1" of job a: "bad/:1" is no address: write host:port only',
    'target "slow:1" of job a: its scrape timeout is longer than its interval',
  ]);
});

test('target files are read again when they change; a broken one keeps what it had, one that is gone has nothing', () => {
  const [config] = load(job('file_sd_configs: [{files: ["sd*.yml", "sd.json"]}]')).configs;
  if (config === undefined) throw new Error('no job');
  const discovery = createFileDiscovery(folder);
  const addresses = (): string[] => discovery.read(config).flatMap((group) => [...group.targets]);
  expect(addresses()).toEqual([]);
  writeFileSync(join(folder, 'sd1.yml'), '- targets: [a:1]\n  labels: {rack: 3}\n');
  writeFileSync(join(folder, 'sd.json'), '[{"targets":["b:1"]}]');
  expect(addresses()).toEqual(['a:1', 'b:1']);
  expect(discovery.read(config)[0]?.labels).toEqual({ rack: '3', __meta_filepath: join(folder, 'sd1.yml') });
  writeFileSync(join(folder, 'sd.json'), '[{"targets":["b:1", ');
  expect(addresses()).toEqual(['a:1', 'b:1']);
  expect([...discovery.problems.keys()]).toEqual([join(folder, 'sd.json')]);
  writeFileSync(join(folder, 'sd.json'), '[{"targets":["b:1","c:1"], "label": {}}]');
  expect(addresses()).toEqual(['a:1', 'b:1']);
  expect([...discovery.problems.values()]).toEqual([
    expect.stringContaining('[0]: there is no setting "label": did you mean labels?'),
  ]);
  writeFileSync(join(folder, 'sd.json'), '[{"targets":["b:1","c:1"]}]');
  rmSync(join(folder, 'sd1.yml'));
  expect(addresses()).toEqual(['b:1', 'c:1']);
  expect(discovery.problems.size).toBe(0);
});
