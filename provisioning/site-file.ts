import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { FirnError, messageOf } from '../lake/base/errors.ts';
import { checkedBy } from '../lake/base/settings.ts';
import { gatewayId, siteId, tenantId } from '../lake/model/ids.ts';
import { parseClaim } from './contract.ts';

// The personalisation file: what one device of many is told before its first start. `firn provision image` writes it to
// the boot partition of a copy of an image, where every operating system can read and write it too; the device takes it
// at its next start and leaves it there without its secrets.

/** Its name on the boot partition. */
export const siteFileName = 'firn-site.yaml';
/** Beside it: why the device did not take it. */
export const siteErrorName = 'firn-site-error.txt';

const addressWithPrefix = /^(?:\d{1,3}(?:\.\d{1,3}){3}\/\d{1,2}|[0-9a-fA-F:]+\/\d{1,3})$/;
const hostName = /^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/;
/** Text that becomes one line of another program's configuration. */
const oneLine = z.string().regex(/^[^\n\r\0]+$/, 'one line, not empty');

const siteFileSchema = z.strictObject({
  tenant: z.string().superRefine(checkedBy(tenantId)).optional(),
  site: z.string().superRefine(checkedBy(siteId)).optional(),
  gateway: z.string().superRefine(checkedBy(gatewayId)).optional(),
  /** Makes the device a gateway of a cloud: `firn claims create` prints it. */
  claim: z.string().superRefine(checkedBy(parseClaim)).optional(),
  hostname: z.string().regex(hostName, 'letters, digits and hyphens, at most 63').optional(),
  network: z
    .strictObject({
      address: z.string().regex(addressWithPrefix, 'an address with its prefix, for example 10.0.0.5/24'),
      gateway: oneLine.optional(),
      dns: z.array(oneLine).default([]),
    })
    .optional(),
  wifi: z
    .strictObject({
      ssid: oneLine,
      passphrase: z.string().min(8).max(63),
      country: z
        .string()
        .regex(/^[A-Z]{2}$/, 'two capital letters, as in ISO 3166, for example DE')
        .optional(),
    })
    .optional(),
  timeServers: z.array(oneLine).optional(),
  proxy: z.url({ protocol: /^https?$/, error: 'a URL, for example http://proxy:3128' }).optional(),
  certificateAuthority: z.string().includes('BEGIN CERTIFICATE', { error: 'certificates as PEM' }).optional(),
  mqtt: z.strictObject({ user: oneLine, password: z.string().min(8, 'at least 8 characters') }).optional(),
  /** Who may ask the gateway and send to it, by HTTP, SQL and MQTT; a later file changes those that it names. */
  users: z
    .array(
      z.strictObject({
        name: oneLine,
        password: z.string().min(8, 'at least 8 characters'),
        roles: z.array(z.enum(['ingest', 'read', 'admin'])).min(1),
      }),
    )
    .optional(),
  /** HTTP and SQL without credentials. */
  open: z.boolean().optional(),
  /** Settings of the gateway, as in its configuration file. */
  settings: z.record(z.string(), z.unknown()).optional(),
});

export type SiteFile = z.infer<typeof siteFileSchema>;

/** Throws FirnError `invalid` that names the field. */
export function parseSiteFile(text: string): SiteFile {
  let tree: unknown;
  try {
    tree = parse(text) ?? {};
  } catch (cause) {
    throw refused(siteFileName, messageOf(cause).split('\n')[0] ?? '');
  }
  const result = siteFileSchema.safeParse(tree);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  throw refused(
    [...(issue?.path ?? []), ...(unknown === undefined ? [] : [unknown])].join('.') || siteFileName,
    issue?.message ?? 'not valid',
  );
}

export const printSiteFile = (site: SiteFile): string => stringify(site, { lineWidth: 0 });

/** The same without what others must not read. */
export function withoutSecrets(site: SiteFile): SiteFile {
  const { claim: _claim, wifi, mqtt, users, settings, ...rest } = site;
  return {
    ...rest,
    ...(wifi && { wifi: { ...wifi, passphrase: taken } }),
    ...(mqtt && { mqtt: { ...mqtt, password: taken } }),
    ...(users && { users: users.map((user) => ({ ...user, password: taken })) }),
    ...(settings && { settings: hideSecrets(settings) }),
  };
}

/** Stands where a secret was: a file that holds it was taken already and says nothing new. */
const taken = '(taken)!';

export const isTaken = (site: SiteFile): boolean => JSON.stringify(site).includes(JSON.stringify(taken));

const isSecretName = (name: string): boolean =>
  /secret|password|passphrase|token|verifier|key$|keyid$|claim/i.test(name);

/** A tree of settings in which whatever is named like a secret reads `(taken)!`. */
export function hideSecrets(tree: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const hide = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(hide);
    return typeof value === 'object' && value !== null
      ? hideSecrets(value as Record<string, unknown>)
      : value;
  };
  return Object.fromEntries(
    Object.entries(tree).map(([name, each]) => [
      name,
      isSecretName(name) && typeof each !== 'object' ? taken : hide(each),
    ]),
  );
}

const refused = (subject: string, message: string): FirnError =>
  new FirnError({
    ...{ code: 'invalid', operation: 'read the personalisation file', subject },
    message: `${subject}: ${message}`,
    hint: `mend ${siteFileName} on the boot partition and start the device again; its fields are in firmware-images/README.md`,
  });
