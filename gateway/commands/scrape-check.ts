import { existsSync, globSync } from 'node:fs';
import { type Command, jsonFlag, runCommand } from '../../lake/base/command.ts';
import { messageOf } from '../../lake/base/errors.ts';
import { labelsJson } from '../../lake/model/labels.ts';
import { loadScrapeConfig, type ScrapeConfig } from '../scrape/config-file.ts';
import { inFolder, readTargetGroups } from '../scrape/file-discovery.ts';
import { type TargetGroup, targetsOf } from '../scrape/targets.ts';

const command: Command = {
  name: 'firn scrape check',
  about:
    'Checks a file like prometheus.yml, with the files that it names, and shows the targets that it makes. Exit code 1\nwhen something is wrong.',
  flags: [
    { flag: '--config', value: 'FILE', required: true, description: 'The file with scrape_configs' },
    jsonFlag,
  ],
  positionals: [],
  settings: [],
};

interface Report {
  readonly jobs: readonly {
    readonly job: string;
    readonly targets: readonly { readonly url: string; readonly labels: string }[];
    readonly dropped: number;
  }[];
  readonly problems: readonly string[];
  readonly ignored: readonly string[];
}

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const report = check(line.value('--config') ?? '');
    process.stdout.write(line.isSet('--json') ? `${JSON.stringify(report)}\n` : textOf(report));
    return report.problems.length === 0 ? 0 : 1;
  });
}

function check(path: string): Report {
  const { configs, folder, ignored } = loadScrapeConfig(path);
  const problems: string[] = [];
  const jobs = configs.map((config) => {
    const discovered = discover(config, folder, problems);
    const found = targetsOf(config, [...config.static_configs, ...discovered]);
    problems.push(...found.problems, ...missingFiles(config, folder));
    const targets = found.targets.map(({ url, labels }) => ({ url, labels: labelsJson(labels) }));
    return { job: config.job_name, targets, dropped: found.dropped.length };
  });
  return { jobs, problems, ignored };
}

function discover(config: ScrapeConfig, folder: string, problems: string[]): TargetGroup[] {
  const patterns = config.file_sd_configs.flatMap(({ files }) => files);
  return patterns.flatMap((pattern) => {
    const paths = globSync(inFolder(folder, pattern)).sort();
    if (paths.length === 0) problems.push(`job ${config.job_name}: there is no file ${pattern}`);
    return paths.flatMap((path) => {
      try {
        return readTargetGroups(path);
      } catch (error) {
        problems.push(messageOf(error));
        return [];
      }
    });
  });
}

function missingFiles(config: ScrapeConfig, folder: string): string[] {
  const { basic_auth: basic, authorization, tls_config: tls } = config;
  const files = {
    'basic_auth.username_file': basic?.username_file,
    'basic_auth.password_file': basic?.password_file,
    'authorization.credentials_file': authorization?.credentials_file,
    bearer_token_file: config.bearer_token_file,
    'tls_config.ca_file': tls?.ca_file,
    'tls_config.cert_file': tls?.cert_file,
    'tls_config.key_file': tls?.key_file,
  };
  return Object.entries(files).flatMap(([field, file]) =>
    file === undefined || existsSync(inFolder(folder, file))
      ? []
      : [`job ${config.job_name}: ${field}: there is no file ${file}`],
  );
}

function textOf({ jobs, problems, ignored }: Report): string {
  const lines = jobs.flatMap(({ job, targets, dropped }) => [
    `${job}: ${targets.length} targets${dropped === 0 ? '' : `, ${dropped} dropped by relabel_configs`}`,
    ...targets.map(({ url, labels }) => `  ${url} ${labels}`),
  ]);
  const wrong = problems.map((problem) => `wrong: ${problem}`);
  return [...lines, ...ignored.map((words) => `note: ${words}`), ...wrong, ''].join('\n');
}
