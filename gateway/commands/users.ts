import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { type CommandLine, jsonFlag } from '../../lake/base/command.ts';
import { gatewaySettings, loadGatewayConfig } from '../config.ts';
import { administerUsers } from '../security/administer-users.ts';
import { makePassword } from '../security/first-user.ts';
import { hashPassword } from '../security/passwords.ts';
import { checkUserName } from '../security/user-name.ts';
import { parseRoles } from '../security/users.ts';
import { type Action, runActions } from './actions.ts';
import { applianceConfigFlags } from './appliance-config.ts';
import { noGateway } from './open-source.ts';
import { readPassword } from './read-password.ts';

// `firn users …`: who may ask a gateway and send to it. A gateway that runs sees a change with the next login.

const passwordCharactersMin = 8;
const shared = { settings: gatewaySettings };
const where =
  'The gateway is --config FILE or --data-dir DIR; on an appliance the one that runs there. Every change is in its audit log.';
const generateFlag = { flag: '--generate', description: 'Make a password, and print it' };
const passwordHint = 'The password is read from standard input, or asked for.';

const actions: Readonly<Record<string, Action>> = {
  add: {
    command: {
      ...{ ...shared, name: 'firn users add', positionals: ['NAME'] },
      about: `Adds a local user, for HTTP, SQL and MQTT. ${passwordHint}\n${where}`,
      flags: [
        {
          ...{ flag: '--roles', value: 'ROLES', required: true },
          description: 'What it may do: ingest (send), read (ask), admin (all of it); several with commas',
        },
        generateFlag,
      ],
    },
    run: async (line) => {
      const [name = ''] = line.positionals;
      checkUserName(name);
      const roles = parseRoles(line.value('--roles') ?? '');
      using users = administration(line);
      const password = await passwordFor(name, line);
      await users.add(name, password, roles);
      return said(`user ${name} is added`);
    },
  },
  list: {
    command: {
      ...{ ...shared, name: 'firn users list', positionals: [], flags: [jsonFlag] },
      about: `Prints local users and their roles, without those of the configuration.\n${where}`,
    },
    run: async (line) => {
      using users = administration(line);
      const found = users.list();
      const lines = found.map(({ name, roles }) => `${name}  ${roles.join(',')}\n`).join('');
      process.stdout.write(line.isSet('--json') ? `${JSON.stringify({ users: found })}\n` : lines);
      return 0;
    },
  },
  passwd: {
    command: {
      ...{ ...shared, name: 'firn users passwd', positionals: ['NAME'], flags: [generateFlag] },
      about: `Gives a local user another password. ${passwordHint} What it has open by SQL and MQTT is closed.\n${where}`,
    },
    run: async (line) => {
      const [name = ''] = line.positionals;
      using users = administration(line);
      await users.setPassword(name, await passwordFor(name, line));
      return said(`user ${name} has another password`);
    },
  },
  roles: {
    command: {
      ...{ ...shared, name: 'firn users roles', positionals: ['NAME', 'ROLES'], flags: [] },
      about: `Gives a local user other roles: ingest, read, admin; several with commas.\n${where}`,
    },
    run: async (line) => {
      const [name = '', roles = ''] = line.positionals;
      using users = administration(line);
      users.setRoles(name, parseRoles(roles));
      return said(`user ${name} has the roles ${roles}`);
    },
  },
  remove: {
    command: {
      ...{ ...shared, name: 'firn users remove', positionals: ['NAME'], flags: [] },
      about: `Removes a local user. What it has open by SQL and MQTT is closed.\n${where}`,
    },
    run: async (line) => {
      const [name = ''] = line.positionals;
      using users = administration(line);
      users.remove(name);
      return said(`user ${name} is removed`);
    },
  },
  verifier: {
    command: {
      ...{ settings: [], name: 'firn users verifier', positionals: [], flags: [] },
      about: `Prints what stands for a password in the setting users; the password can't be had from it. ${passwordHint}`,
    },
    run: async () => {
      const password = await readPassword('the user', passwordCharactersMin);
      process.stdout.write(`${await hashPassword(password)}\n`);
      return 0;
    },
  },
};

export const main = (argv: readonly string[]): Promise<number> => runActions(actions, argv);

function administration({ rest }: CommandLine) {
  const { dataDir } = loadGatewayConfig(applianceConfigFlags(rest));
  if (!existsSync(dataDir)) throw noGateway(dataDir);
  return administerUsers(dataDir, `command of ${userInfo().username}`);
}

async function passwordFor(name: string, line: CommandLine): Promise<string> {
  if (!line.isSet('--generate')) return readPassword(name, passwordCharactersMin);
  const password = makePassword();
  process.stdout.write(`${password}\n`);
  return password;
}

function said(text: string): number {
  process.stderr.write(`${text}\n`);
  return 0;
}
