import { z } from 'zod';
import { jsonFlag, runCommand } from '../../lake/base/command.ts';
import { queryOf, tenantFlag, tenantPath } from './admin-command.ts';
import { cloudApiSettings, openCloudApi } from './cloud-api.ts';
import { textTable } from './print-table.ts';

const usageSchema = z.object({
  limits: z.record(z.string(), z.number()),
  buckets: z.array(z.object({ from: z.string() }).catchall(z.number())),
});

/** Columns, in the order in which they are of interest. */
const columns = [
  ...['ingestedRows', 'ingestedBytes', 'receivedRows', 'receivedBytes', 'queries', 'scannedBytes'],
  ...['refusedRequests', 'storedBytes', 'activeSeries'],
];

const command = {
  name: 'firn usage',
  about: 'What a tenant has used, with the key of an operator or one of the tenant with the scope admin.',
  flags: [
    tenantFlag,
    { flag: '--by', value: 'UNIT', description: 'hour or day, of UTC (default day)' },
    { flag: '--from', value: 'TIME', description: 'The first time of interest: 2027-01-31T00:00:00Z' },
    { flag: '--to', value: 'TIME', description: 'The time after the last of interest (default now)' },
    jsonFlag,
  ],
  positionals: [],
  settings: cloudApiSettings,
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const query = queryOf(line, ['by', 'from', 'to']);
    const data = await openCloudApi(line.rest).call('GET', `${tenantPath(line)}/usage?${query}`);
    if (line.isSet('--json')) process.stdout.write(`${JSON.stringify(data)}\n`);
    else process.stdout.write(usageText(data));
    return 0;
  });
}

function usageText(data: unknown): string {
  const { limits, buckets } = usageSchema.parse(data);
  const title = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter}`).toUpperCase();
  const rows = buckets.map(({ from, ...use }) => [from, ...columns.map((name) => `${use[name] ?? 0}`)]);
  const bounds = Object.entries(limits).map(([name, value]) => [name, value === 0 ? 'no limit' : `${value}`]);
  return `${textTable(['FROM', ...columns.map(title)], rows)}\n${textTable(['LIMIT', ''], bounds)}`;
}
