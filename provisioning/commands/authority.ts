import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand } from '../../lake/base/command.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { writeSecretFile } from '../../lake/base/secret-file.ts';
import { makeAuthority, renewIssuing } from '../authority.ts';
import { fileNames, rootKeyName, writeAuthority } from '../authority-files.ts';

const command = {
  name: 'firn authority',
  about: `Makes the device authority of a cloud in a folder, on a machine that may be offline: keep ${rootKeyName} in a safe, and copy the other files to the cloud's authority folder. Where the folder has a root already, new issuing and signing keys are made under it, which gateways believe as they did the old ones. A cloud without an authority makes one itself.`,
  flags: [
    {
      ...{ flag: '--root-key', value: 'FILE' },
      description: `Key of the root that is there (default ${rootKeyName} in the folder)`,
    },
  ],
  positionals: ['FOLDER'],
  settings: [],
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const folder = line.positionals[0] ?? '';
    const root = join(folder, fileNames.rootCertificate);
    const nowMs = Date.now();
    if (existsSync(root)) {
      const path = line.value('--root-key') ?? join(folder, rootKeyName);
      if (!existsSync(path)) throw noKey(path);
      const under = {
        rootCertificate: readFileSync(root, 'utf8'),
        rootKey: readFileSync(path, 'utf8'),
        nowMs,
      };
      writeAuthority(folder, await renewIssuing(under));
      process.stdout.write(
        `new issuing and signing keys are in ${folder}; restart the clouds that use them\n`,
      );
      return 0;
    }
    const { files, rootKey } = await makeAuthority(nowMs);
    writeSecretFile(join(folder, rootKeyName), rootKey);
    writeAuthority(folder, files);
    process.stdout.write(`made a device authority in ${folder}; move ${rootKeyName} to a safe place\n`);
    return 0;
  });
}

const noKey = (path: string): FirnError =>
  new FirnError({
    ...{ code: 'invalid', operation: 'renew authority', subject: path },
    message: `the key of the root is not there: ${path}`,
    hint: 'bring it from where it is kept: --root-key FILE',
  });
