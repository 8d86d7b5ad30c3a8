import { existsSync, readFileSync } from 'node:fs';
import { type Command, type CommandLine, runCommand } from '../../lake/base/command.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { personaliseImage } from '../image.ts';
import { parseSiteFile, printSiteFile, type SiteFile } from '../site-file.ts';

const command: Command = {
  name: 'firn provision image',
  about:
    'Writes what one device is told before its first start into a copy of an image. The fields of the file are in\n' +
    'firmware-images/README.md; the flags win over it.',
  flags: [
    { flag: '--out', value: 'FILE', required: true, description: 'The copy' },
    { flag: '--site-file', value: 'YAML', description: 'The fields' },
    { flag: '--tenant', value: 'ID', description: 'Tenant' },
    { flag: '--site', value: 'ID', description: 'Site' },
    { flag: '--gateway', value: 'ID', description: 'Id of the device (default: from its network card)' },
  ],
  positionals: ['IMAGE'],
  settings: [],
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, provision);
}

async function provision(line: CommandLine): Promise<number> {
  const [image = ''] = line.positionals;
  const path = line.value('--site-file');
  for (const file of [image, ...(path === undefined ? [] : [path])])
    if (!existsSync(file)) throw notThere(file);
  const named = Object.fromEntries(
    ['tenant', 'site', 'gateway'].flatMap((name) => {
      const value = line.value(`--${name}`);
      return value === undefined ? [] : [[name, value]];
    }),
  ) as SiteFile;
  const site = { ...(path === undefined ? {} : parseSiteFile(readFileSync(path, 'utf8'))), ...named };
  const out = line.value('--out') ?? '';
  await personaliseImage(image, parseSiteFile(printSiteFile(site)), out);
  process.stdout.write(`${out}\n`);
  return 0;
}

const notThere = (path: string): FirnError =>
  new FirnError({
    code: 'not-found',
    operation: 'personalise an image',
    subject: path,
    message: `there is no file ${path}`,
  });
