import { chmodSync, existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { type Command, type CommandLine, jsonFlag, runCommand } from '../../lake/base/command.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { formatUsers, hashPassword, parseUsers } from '../broker/access/password-file.ts';
import { gatewaySettings, loadGatewayConfig } from '../config.ts';
import { checkUserName } from '../security/user-name.ts';

// `firn mqtt user add|list|remove`. A running gateway reads the file again by itself.

const shared = { settings: gatewaySettings };
const fileHint = 'The file is --mqtt-users-file FILE, or mqtt.usersFile of the configuration.';
const actions: Readonly<Record<string, { command: Command; run: (line: CommandLine) => Promise<number> }>> = {
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

export async function main(argv: readonly string[]): Promise<number> {
  const [name = '', ...rest] = argv;
  const action = actions[name];
  if (action) return runCommand(action.command, rest, action.run);
  const lines = Object.values(actions).map(
    ({ command }) => `  ${[command.name, ...command.positionals].join(' ')}\n`,
  );
  const help = `usage:\n${lines.join('')}\nfirn mqtt user add --help shows more.\n`;
  const asked = argv.length === 0 || name === '--help' || name === '-h';
  (asked ? process.stdout : process.stderr).write(help);
  return asked ? 0 : 1;
}

async function add(line: CommandLine): Promise<number> {
  const [name = ''] = line.positionals;
  checkUserName(name);
  const file = openUsers(line);
  const password = await readPassword(name);
  if (password === '') throw refused('the password is empty', 'write it to standard input, in one line');
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

async function readPassword(name: string): Promise<string> {
  if (!process.stdin.isTTY) return (await text(process.stdin)).split(/\r?\n/, 1)[0] ?? '';
  process.stderr.write(`password of ${name}: `);
  process.stdin.setRawMode(true);
  let password = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    for (const character of String(chunk)) {
      if (character === '\u0003') process.exit(130);
      if (character === '\r' || character === '\n') {
        process.stdin.setRawMode(false);
        process.stderr.write('\n');
        return password;
      }
      password = character === '\u007f' ? password.slice(0, -1) : password + character;
    }
  }
  return password;
}

const refused = (message: string, hint: string): FirnError =>
  new FirnError({ code: 'invalid', operation: 'manage MQTT users', subject: 'usersFile', message, hint });
