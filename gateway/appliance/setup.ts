import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { writeSecretFile } from '../../lake/base/secret-file.ts';
import {
  isTaken,
  parseSiteFile,
  printSiteFile,
  type SiteFile,
  siteErrorName,
  siteFileName,
  withoutSecrets,
} from '../../provisioning/site-file.ts';
import { formatUsers, hashPassword, parseUsers } from '../broker/access/password-file.ts';
import { loadGatewayConfig } from '../config.ts';
import type { EnrollmentState } from '../fleet/enrollment-state.ts';
import { identityFolder, isEnrolled } from '../fleet/identity.ts';
import { administerUsers } from '../security/administer-users.ts';
import { makeFirstUser, readFirstUser } from '../security/first-user.ts';
import { openSecurityDatabase } from '../security/security-database.ts';
import { checkUserName } from '../security/user-name.ts';
import { readAnnouncement } from './announcement.ts';
import { writeNetwork } from './network.ts';
import { authorityFile, gatewayConfigFile, type Places, usersFile } from './places.ts';

// What an appliance does at every start before its gateway: takes the personalisation file if a new one is there, makes
// what is missing, and tells the system its network. Cut off anywhere, the next start does it again.

export interface Machine {
  /** Twelve hexadecimal digits that no other machine has; undefined where none are found. */
  readonly hardwareId: string | undefined;
  /** So many random bytes. */
  readonly random: (bytes: number) => Buffer;
  /** Group of the gateway's user, which may read the configuration; undefined: files stay the caller's. */
  readonly group: number | undefined;
}

export interface SetUp {
  readonly tenant: string;
  readonly site: string;
  readonly gateway: string;
  readonly hostname: string;
  /** Why the personalisation file was not taken. */
  readonly problem: string | undefined;
  /** User and password that this device made for itself, while they are in use. */
  readonly firstUser: { readonly name: string; readonly password: string } | undefined;
  /** Whether it has a cloud, and is no gateway of it yet. */
  readonly isWaiting: boolean;
  /** Where it has a cloud: how far it was when its gateway last ran. */
  readonly enrollment: EnrollmentState | undefined;
}

type Tree = Record<string, unknown>;

const firstUserName = 'site';
const actor = 'appliance setup';

export async function setUpAppliance(places: Places, machine: Machine): Promise<SetUp> {
  for (const folder of [places.config, places.gateway, places.updates, places.run])
    mkdirSync(folder, { recursive: true });
  const { site, problem } = readSite(places);
  const kept = readTree(join(places.config, 'site.yaml')) as SiteFile;
  const merged: SiteFile = { ...kept, ...site };
  const config = configOf(readTree(gatewayConfigFile(places)), site, places, machine);
  let refused = problem;
  if (site !== undefined) {
    const wrong = whyWrong(config, site, places);
    if (wrong === undefined) await takeSite(site, merged, config, places);
    else refused = wrong;
  } else if (!existsSync(gatewayConfigFile(places)))
    writeSecretFile(gatewayConfigFile(places), stringify(config));
  await makeUsers(places, config);
  share(places, machine);
  const inUse = refused === undefined ? merged : kept;
  const hostname = inUse.hostname ?? String(readTree(gatewayConfigFile(places)).gateway);
  writeNetwork({ ...inUse, hostname }, places);
  reportProblem(refused, places);
  return { ...identityOf(places), hostname, problem: refused, firstUser: readFirstUser(places.gateway) };
}

function readSite(places: Places): { site?: SiteFile; problem?: string } {
  const path = join(places.boot, siteFileName);
  if (!existsSync(path)) return {};
  try {
    const site = parseSiteFile(readFileSync(path, 'utf8'));
    return isTaken(site) ? {} : { site };
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

const readTree = (path: string): Tree =>
  existsSync(path) ? ((parse(readFileSync(path, 'utf8')) as Tree | null) ?? {}) : {};

/** The gateway's configuration: what was there, with what the file says. */
function configOf(before: Tree, site: SiteFile | undefined, places: Places, machine: Machine): Tree {
  const fallbackId = `gw-${machine.hardwareId ?? machine.random(6).toString('hex')}`;
  const base: Tree = {
    gateway: fallbackId,
    listen: everywhere,
    ...before,
    dataDir: places.gateway,
    mqtt: { host: '0.0.0.0', ...(before.mqtt as Tree | undefined), usersFile: usersFile(places) },
  };
  if (site === undefined) return base;
  const { tenant, site: siteName, gateway, claim, open, settings } = site;
  const named = {
    ...(tenant && { tenant }),
    ...(siteName && { site: siteName }),
    ...(gateway && { gateway }),
  };
  const ways: Tree = {
    ...(site.proxy !== undefined && { proxy: site.proxy }),
    cloud: {
      ...(claim !== undefined && { claim }),
      ...(site.certificateAuthority !== undefined && { caFile: authorityFile(places) }),
    },
  };
  const listen = open === undefined ? base.listen : { ...everywhere, open };
  return [ways, settings ?? {}, { dataDir: places.gateway }].reduce<Tree>(mergeTrees, {
    ...base,
    ...named,
    listen,
  });
}

/** HTTP and SQL for the site's network, with credentials unless it is opened. */
const everywhere: Tree = { host: '0.0.0.0' };

function mergeTrees(below: Tree, above: Tree): Tree {
  const isTree = (value: unknown): value is Tree =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  const merged = { ...below };
  for (const [name, value] of Object.entries(above)) {
    const under = merged[name];
    merged[name] = isTree(under) && isTree(value) ? mergeTrees(under, value) : value;
  }
  return merged;
}

/** What the gateway would say to this configuration, or its broker to the user. */
function whyWrong(config: Tree, { mqtt, users = [] }: SiteFile, places: Places): string | undefined {
  const trial = join(places.run, 'gateway-trial.yaml');
  writeSecretFile(trial, stringify(config));
  try {
    for (const name of [...(mqtt ? [mqtt.user] : []), ...users.map((user) => user.name)]) checkUserName(name);
    loadGatewayConfig(['--config', trial], {});
    return undefined;
  } catch (error) {
    return error instanceof FirnError && error.operation === 'read configuration'
      ? `settings.${error.message}`
      : messageOf(error);
  } finally {
    rmSync(trial);
  }
}

/** The order is that of what would be missed least: the file loses its secrets once all is on the disk. */
async function takeSite(site: SiteFile, merged: SiteFile, config: Tree, places: Places): Promise<void> {
  if (site.mqtt !== undefined) await setMqttUser(places, site.mqtt.user, site.mqtt.password);
  if (site.users !== undefined) await setUsers(places, site.users);
  if (site.certificateAuthority !== undefined)
    writeSecretFile(authorityFile(places), site.certificateAuthority);
  writeSecretFile(gatewayConfigFile(places), stringify(config));
  const { claim: _claim, mqtt: _mqtt, users: _users, settings: _settings, ...lasting } = merged;
  writeSecretFile(join(places.config, 'site.yaml'), printSiteFile(lasting));
  writeSecretFile(join(places.config, 'environment'), environmentOf(merged, places));
  replaceAndBlank(join(places.boot, siteFileName), printSiteFile(withoutSecrets(site)));
}

/** The old bytes are overwritten where they stood, so that a reader of the raw card does not find them. */
function replaceAndBlank(path: string, text: string): void {
  const old = openSync(path, 'r+');
  try {
    const { size } = fstatSync(old);
    writeSecretFile(path, text);
    writeSync(old, Buffer.alloc(size), 0, size, 0);
    fsyncSync(old);
  } finally {
    closeSync(old);
  }
}

/** Node believes these authorities, too, wherever it connects. */
const environmentOf = ({ certificateAuthority }: SiteFile, places: Places): string =>
  certificateAuthority === undefined ? '' : `NODE_EXTRA_CA_CERTS=${authorityFile(places)}\n`;

async function setMqttUser(places: Places, name: string, password: string): Promise<void> {
  const path = usersFile(places);
  const users = new Map(existsSync(path) ? parseUsers(readFileSync(path, 'utf8'), path) : []);
  users.set(name, await hashPassword(password));
  writeSecretFile(path, formatUsers(users));
}

/** Who is named can log in; the user that the device made for itself goes once somebody else may do everything. */
async function setUsers({ gateway }: Places, given: NonNullable<SiteFile['users']>): Promise<void> {
  using users = administerUsers(gateway, actor);
  for (const { name, password, roles } of given) {
    if (users.list().some((user) => user.name === name)) {
      await users.setPassword(name, password);
      users.setRoles(name, roles);
    } else await users.add(name, password, roles);
  }
  const first = readFirstUser(gateway)?.name;
  if (first !== undefined && given.some(({ roles }) => roles.includes('admin'))) users.remove(first);
}

/**
 * The MQTT users' file, and the first local user: of a device that asks for credentials, or has nobody who could send. No
 * device has a password that another has.
 */
async function makeUsers(places: Places, config: Tree): Promise<void> {
  const path = usersFile(places);
  if (!existsSync(path)) writeSecretFile(path, '');
  const isOpen = (config.listen as Tree | undefined)?.open === true;
  if (isOpen && parseUsers(readFileSync(path, 'utf8'), path).size > 0) return;
  using db = openSecurityDatabase(places.gateway, 'durable');
  await makeFirstUser(db, places.gateway, firstUserName, Date.now());
}

/** The gateway, who is not root, reads its configuration; nobody else does. */
function share(places: Places, { group }: Machine): void {
  if (group === undefined) return;
  const shared = [gatewayConfigFile(places), usersFile(places), authorityFile(places)];
  chownSync(places.config, 0, group);
  chmodSync(places.config, 0o750);
  for (const path of shared.filter((each) => existsSync(each))) {
    chownSync(path, 0, group);
    chmodSync(path, 0o640);
  }
}

function identityOf(places: Places): Pick<SetUp, 'tenant' | 'site' | 'gateway' | 'isWaiting' | 'enrollment'> {
  const { cloud, ...own } = loadGatewayConfig(['--config', gatewayConfigFile(places)], {});
  const hasCloud = cloud.url !== '' || cloud.claim !== '';
  const enrollment = hasCloud ? readAnnouncement(places) : undefined;
  const { tenant, site, gateway } = enrollment?.kind === 'enrolled' ? enrollment : own;
  const isWaiting = hasCloud && !isEnrolled(identityFolder(places.gateway));
  return { tenant, site, gateway, isWaiting, enrollment };
}

/** Said where the person who wrote the file will look: beside it. */
function reportProblem(problem: string | undefined, places: Places): void {
  const path = join(places.boot, siteErrorName);
  if (problem === undefined) rmSync(path, { force: true });
  else writeSecretFile(path, `${problem}\n`);
}
