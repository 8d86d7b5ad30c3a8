import { createHash, type X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { FirnError } from '../lake/base/errors.ts';
import { base32, printLetters, readLetters } from './base32.ts';

// What gateway and cloud say to each other about who the gateway is. Everything is asked by the gateway, over HTTP.
//
//   enroll     claim, certificate request      ->  certificates, tenant, site, id: once in a gateway's life
//   adoption   certificate request             ->  when to come again; the same once somebody has said whose the device is
//   challenge                                  ->  a text to be signed, good for a minute
//   session    that text, signed by the device ->  a token for everything else; a new certificate, if one is asked for
//   heartbeat  how the gateway does            ->  when to come again; settings and commands, signed by the cloud
//   uploads    nothing                         ->  where to ship to, and credentials for a while; or none, and then
//   sign       one request to that store       ->  its signature, good for some minutes

export const fleetPath = '/api/v1/firn/fleet';
export const fleetPaths = {
  enroll: `${fleetPath}/enroll`,
  adoption: `${fleetPath}/adoption`,
  challenge: `${fleetPath}/challenge`,
  session: `${fleetPath}/session`,
  heartbeat: `${fleetPath}/heartbeat`,
  uploads: `${fleetPath}/uploads`,
  sign: `${fleetPath}/sign`,
} as const;

/** Types of signed documents (`typ`), so that none is taken for another. */
export const sessionType = 'firn-session+jwt';
export const configType = 'firn-config+jwt';
export const commandType = 'firn-command+jwt';
export const firmwareType = 'firn-firmware+jwt';
export const receiptType = 'firn-receipt+jwt';

/** Who a certificate is for, as its alternative name (URI). */
export const gatewayUri = (tenant: string, site: string, gateway: string): string =>
  `urn:firn:gateway:${tenant}:${site}:${gateway}`;

/** Who a certificate is for; undefined when it is not a gateway's. */
export function parseGatewayUri({ subjectAltName = '' }: X509Certificate) {
  const [, tenant, site, gateway] = gatewayName.exec(subjectAltName) ?? [];
  if (tenant === undefined || site === undefined || gateway === undefined) return undefined;
  return { tenant, site, gateway };
}

const gatewayName = /^URI:urn:firn:gateway:([a-z0-9-]+):([a-z0-9-]+):([a-z0-9-]+)$/;

/** What the cloud signs with. */
export const cloudUri = 'urn:firn:cloud';
export const isFor = (certificate: X509Certificate, uri: string): boolean =>
  certificate.subjectAltName === `URI:${uri}`;

const pem = z.string().max(8192);
/** DER, in base64. */
const certificateRequest = z.base64().max(4096);

export const enrollRequest = z.strictObject({
  claim: z.string().max(200).describe('The claim, as it is printed'),
  certificateRequest,
  gateway: z.string().max(63).optional().describe('Id that the gateway would like to have'),
});

export const enrollAnswer = z.object({
  tenant: z.string(),
  site: z.string(),
  gateway: z.string(),
  /** The gateway's own, the issuing one, the root. */
  certificates: z.array(pem).length(3),
});
export type EnrollAnswer = z.infer<typeof enrollAnswer>;

/** Asked again and again by a device that has no claim, until its code is adopted. */
export const adoptionRequest = z.strictObject({
  certificateRequest,
  gateway: enrollRequest.shape.gateway,
  tenant: z.string().max(63).optional().describe('The only tenant that may adopt it'),
});

export const adoptionAnswer = z.union([
  z.object({ enrolled: enrollAnswer }),
  z.object({ againInSeconds: z.number().min(1).max(3600) }),
]);
export type AdoptionAnswer = z.infer<typeof adoptionAnswer>;

export const challengeAnswer = z.object({ challenge: z.string().max(1000) });

/** What the device signs; its header has `typ` and `x5c`. */
export const sessionPayload = z.object({
  challenge: z.string().max(1000),
  /** Asks for another certificate, perhaps of another key. */
  certificateRequest: certificateRequest.optional(),
});
export const sessionRequest = z.strictObject({ signed: z.string().max(32 * 1024) });

export const sessionAnswer = z.object({
  token: z.string().max(2000),
  expiresInSeconds: z.number().positive(),
  /** The certificate is to be renewed: by the cloud's clock, since a gateway's may be wrong. */
  renew: z.boolean(),
  /** Receipts of this cloud are signed, and others do not count; absent in clouds that sign none. */
  signsReceipts: z.boolean().default(false),
  /** What was asked for. */
  certificates: z.array(pem).length(3).optional(),
});
export type SessionAnswer = z.infer<typeof sessionAnswer>;

/** What became of the last that a gateway was told. */
const obeyed = {
  state: z.enum(['applied', 'trying', 'refused', 'rolled-back']),
  detail: z.string().max(1000).optional(),
};

/** How a gateway does. */
export const gatewayReport = z.object({
  version: z.string().max(50),
  uptimeSeconds: z.number().nonnegative(),
  /** Whether it knows the time. */
  clock: z.enum(['trusted', 'corrected', 'untrusted']),
  /** When it last shipped something, and up to when the cloud has confirmed it: by the cloud's clock. */
  shippedUs: z.number().int().optional(),
  committedUs: z.number().int().optional(),
  /** Health and counts, named as its own metrics are, without `firn_gateway_`. */
  config: z
    .object({
      version: z.number().int().nonnegative(),
      ...obeyed,
    })
    .optional()
    .describe('The settings that it was told last, and what became of them; absent: its own'),
  firmware: z
    .object({
      version: z.string().max(50),
      told: z.object({ rollout: z.number().int().positive(), ...obeyed }).optional(),
    })
    .optional()
    .describe(
      'Version of the image that runs, and what became of the update that it was told last; absent: it was not flashed',
    ),
  readings: z
    .record(z.string().max(100), z.number())
    .refine((readings) => Object.keys(readings).length <= 300, 'more than 300 readings'),
});
export type GatewayReport = z.infer<typeof gatewayReport>;

export const commandNames = ['restart', 'logs', 'rotate-key', 'diagnostic'] as const;
export type CommandName = (typeof commandNames)[number];
/** Characters of what a command has put out. */
export const outputMax = 24_000;
const commandResult = z.strictObject({
  id: z.string().max(100),
  ok: z.boolean(),
  output: z.string().max(outputMax),
});
export type CommandResult = z.infer<typeof commandResult>;

export const heartbeatRequest = z.strictObject({
  report: gatewayReport,
  /** Of commands that were carried out since the last answer. */
  results: z.array(commandResult).max(20).default([]),
});
const signedDocument = z.string().max(512 * 1024);
export const heartbeatAnswer = z.object({
  againInSeconds: z.number().min(1).max(86_400),
  /** Other settings than those that it has said. */
  config: signedDocument.optional(),
  /** Another version of the image than it was told before. */
  firmware: signedDocument.optional(),
  commands: z.array(signedDocument).max(20).default([]),
});
export type HeartbeatAnswer = z.infer<typeof heartbeatAnswer>;

/** For this gateway alone, and newer than any that it has taken before. */
const addressed = { tenant: z.string(), gateway: z.string(), issuedMs: z.number() };
/** Version 0: none; the gateway's own configuration. */
export const configDocument = z.object({
  ...addressed,
  version: z.number().int().nonnegative(),
  settings: z.record(z.string(), z.unknown()),
});
/** A signed bundle to be installed. `url` may have `{architecture}` in it, for `amd64` or `arm64`. */
export const firmware = z.strictObject({
  version: z
    .string()
    .regex(/^\d+\.\d+\.\d+[0-9A-Za-z.-]*$/, 'is a version like 1.2.3')
    .max(50),
  url: z
    .url({ protocol: /^https?$/ })
    .max(2000)
    .describe('Of the bundle; {architecture} in it stands for amd64 or arm64'),
});
export type Firmware = z.infer<typeof firmware>;
export const firmwareDocument = z.object({
  ...addressed,
  rollout: z.number().int().positive(),
  ...firmware.shape,
});
export const commandDocument = z.object({
  ...addressed,
  id: z.string().max(100),
  command: z.string().max(100),
});

export const uploadsRequest = z.strictObject({});
const place = {
  ...{ endpoint: z.string(), region: z.string(), bucket: z.string(), prefix: z.string() },
  pathStyle: z.boolean(),
};
/** A bucket, and either credentials that write below the gateway's own inbox in it, or that each request is to be signed. */
export const uploadPlace = z.union([
  z.object({
    ...place,
    ...{ accessKeyId: z.string(), secretAccessKey: z.string(), sessionToken: z.string() },
    expiresInSeconds: z.number().positive(),
  }),
  z.object({ ...place, presigned: z.literal(true) }),
]);
export type UploadPlace = z.infer<typeof uploadPlace>;

/** A request to the store, by the key of its object there. All of it is bound by the signature. */
export const signRequest = z.strictObject({
  method: z.enum(['GET', 'HEAD', 'PUT', 'POST', 'DELETE']),
  key: z.string().max(1024),
  query: z.record(z.string().max(50), z.string().max(1024)),
  headers: z.record(z.string().max(50), z.string().max(1024)),
});
/** Its query, with the signature. */
export const signAnswer = z.object({ query: z.record(z.string(), z.string()) });

// A claim, as it is printed: a code that the cloud knows, and after it what the cloud's root has to be, so that the first
// answer that a gateway ever gets can be checked.

/** 100 and 80 bits. */
export const claimCodeLetters = 20;
const pinLetters = 16;

export interface Claim {
  readonly code: string;
  readonly pin: string;
  /** Where the cloud answers, if the claim says it. */
  readonly url: string | undefined;
}

/** `XXXX-XXXX-…`, or with the cloud's address before it as a QR code has it: `https://lake.example.com/#XXXX-…`. */
export function printClaim({ code, pin, url }: Claim): string {
  const text = printLetters(`${code}${pin}`);
  return url === undefined ? text : `${url.replace(/\/+$/, '')}/#${text}`;
}

/** Throws FirnError `invalid`, without the claim in it. */
export function parseClaim(text: string): Claim {
  const trimmed = text.trim();
  const hash = trimmed.indexOf('#');
  const url = hash < 0 ? undefined : trimmed.slice(0, hash).replace(/\/+$/, '');
  const letters = readLetters(trimmed.slice(hash + 1));
  if (letters?.length !== claimCodeLetters + pinLetters || !isHttp(url))
    throw new FirnError({
      ...{ code: 'invalid', operation: 'read claim', subject: 'claim' },
      message: 'the claim is not valid: it has 36 letters and digits in groups of four',
      hint: 'copy it as `firn claims create` printed it, or scan its QR code',
    });
  return { code: letters.slice(0, claimCodeLetters), pin: letters.slice(claimCodeLetters), url };
}

/** What the cloud's root has to be, as `firn gateways site-file` prints it. Throws FirnError `invalid`. */
export function parsePin(text: string): string {
  const letters = readLetters(text.trim());
  if (letters?.length === pinLetters) return letters;
  throw new FirnError({
    ...{ code: 'invalid', operation: 'read pin', subject: 'pin' },
    message: 'the pin of a cloud has 16 letters and digits in groups of four',
    hint: '`firn gateways site-file` prints it',
  });
}

const isHttp = (url: string | undefined): boolean => url === undefined || /^https?:\/\/[^/]/.test(url);

/** What a claim says of the root: the beginning of the hash of its key. */
export function pinOf(root: X509Certificate): string {
  return base32(createHash('sha256').update(spkiOf(root)).digest()).slice(0, pinLetters);
}

/** A key by its hash: the gateway is who has it. */
export const keyHashOf = (certificate: X509Certificate): string => keyHashOfSpki(spkiOf(certificate));

/** Of a public key, SPKI in DER; hexadecimal. */
export const keyHashOfSpki = (spki: Uint8Array): string => createHash('sha256').update(spki).digest('hex');

const spkiOf = ({ publicKey }: X509Certificate): Buffer => publicKey.export({ type: 'spki', format: 'der' });
