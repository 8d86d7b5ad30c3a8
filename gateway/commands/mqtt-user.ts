import { chmodSync, existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { type CommandLine, jsonFlag } from '../../lake/base/command.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { formatUsers, hashPassword, parseUsers } from '../broker/access/password-file.ts';
import { gatewaySettings, loadGatewayConfig } from '../config.ts';
import { checkUserName } from '../security/user-name.ts';
import { type Action, runActions } from './actions.ts';
import { readPassword } from './read-password.ts';

// `firn mqtt user add|list|remove`. A running gateway reads the file again by itself.

const shared = { settings: gatewaySettings };
const fileHint = 'The file is --mqtt-users-file FILE, or mqtt.usersFile of the configuration.';
const actions: Readonly<Record<string, Action>> = {
  add: {
    command: {
      ...{ ...shared, name: 'firn mqtt user add', flags: [], positionals: ['NAME'] },
      about: `Adds a user, or gives one another password. The password is read from standard input, or asked for.\n${fileHint}`,
    },
    run: add,
  },
  list: {
    command: {
      ...{ ...shared, name: 'firn mqtt user list', flags: [jsonFlag], positionals: [] },
      about: `Prints the names of all users.\n${fileHint}`,
    },
    run: list,
  },
  remove: {
    command: {
      ...{ ...shared, name: 'firn mqtt user remove', flags: [], positionals: ['NAME'] },
      about: `Removes a user. Who is connected by that name is disconnected.\n${fileHint}`,
    },
    run: remove,
  },
};

export const main = (argv: readonly string[]): Promise<number> => runActions(actions, argv);

async function add(line: CommandLine): Promise<number> {
  const [name = ''] = line.positionals;
  checkUserName(name);
  const file = openUsers(line);
  const password = await readPassword(name, 1);
  file.users.set(name, await hashPassword(password));
  file.write();
  process.stderr.write(`user ${name} is in ${file.path}\n`);
  return 0;
}

async function list(line: CommandLine): Promise<number> {
  const names = [...openUsers(line).users.keys()].sort();
  const lines = names.map((name) => `${name}\n`).join('');
  process.stdout.write(line.isSet('--json') ? `${JSON.stringify({ users: names })}\n` : lines);
  return 0;
}

async function remove(line: CommandLine): Promise<number> {
  const [name = ''] = line.positionals;
  const file = openUsers(line);
  if (!file.users.delete(name))
    throw refused(`${file.path} has no user ${JSON.stringify(name)}`, 'firn mqtt user list shows them');
  file.write();
  return 0;
}

function openUsers(line: CommandLine) {
  const path = loadGatewayConfig(line.rest).mqtt.usersFile;
  if (path === '') throw refused('there is no file of users', 'give --mqtt-users-file FILE');
  const exists = existsSync(path);
  const users = new Map(parseUsers(exists ? readFileSync(path, 'utf8') : '', path));
  const write = (): void => {
    const temporary = `${path}.tmp`;
    writeFileSync(temporary, formatUsers(users), { mode: 0o600 });
    if (exists) chmodSync(temporary, statSync(path).mode);
    renameSync(temporary, path);
  };
  return { path, users, write };
}

const refused = (message: string, hint: string): FirnError =>
  new FirnError({ code: 'invalid', operation: 'manage MQTT users', subject: 'usersFile', message, hint });
