import type { IncomingMessage } from 'node:http';
import type { LoginAttempts } from '../../lake/base/login-attempts.ts';
import { isOwn } from '../../lake/base/settings.ts';
import type { Audit } from './audit.ts';
import type { Known, Prove } from './passwords.ts';
import { mayAct, type Role } from './roles.ts';

// What stands before everything that is HTTP: who asks, and whether they may.

/** What a request says of who sends it. */
export interface Asked {
  readonly authorization: string | undefined;
  readonly address: string;
  readonly encrypted: boolean;
}

export interface Refusal {
  readonly status: 401 | 403 | 429;
  /** `tls`: the same may be let in over TLS. */
  readonly why: 'unauthorized' | 'forbidden' | 'too_many_requests' | 'tls';
  readonly message: string;
  readonly retryAfterSeconds?: number;
}

/** `user` is undefined where nobody is asked who they are. */
type Admission = { readonly user: Known | undefined } | { readonly refusal: Refusal };

/** Lets in who has the role, as `admin` has every one. */
export type Gate = (asked: Asked, role: Role, what: string) => Promise<Admission>;

/** Where no credentials are needed. */
export const openGate: Gate = async () => ({ user: undefined });

interface GateOptions {
  readonly prove: Prove;
  readonly attempts: LoginAttempts;
  readonly audit: Pick<Audit, 'noteRefusal'>;
  /** Refuse other machines without TLS. */
  readonly requireTls: boolean;
}

export function closedGate({ prove, attempts, audit, requireTls }: GateOptions): Gate {
  return async ({ authorization, address, encrypted }, role, what) => {
    if (requireTls && !encrypted && !isOwn(address)) return { refusal: tlsNeeded };
    const given = credentialsOf(authorization);
    if (given === undefined) return { refusal: unauthorized };
    const { name, password } = given;
    const before = attempts.waitMs(address, name);
    if (before > 0) return { refusal: tooMany(before) };
    const user = await prove(name, password);
    if (user === undefined) {
      attempts.failed(address, name);
      return { refusal: unauthorized };
    }
    attempts.succeeded(address, name);
    if (mayAct(user.roles, role)) return { user };
    audit.noteRefusal({ actor: name, address, action: `ask without the role ${role}`, subject: what });
    return { refusal: forbidden(name, role) };
  };
}

/** What `request` says, and the way it came. */
export const askedBy = ({ headers, socket }: IncomingMessage): Asked => ({
  authorization: headers.authorization,
  address: socket.remoteAddress ?? '',
  encrypted: 'encrypted' in socket && socket.encrypted === true,
});

/** `Basic`; or `Token` and `Bearer` with `name:password`, for clients that have nothing else. */
function credentialsOf(header = ''): { readonly name: string; readonly password: Buffer } | undefined {
  const [, scheme = '', credentials = ''] = /^ *(\S+) +(.+?) *$/.exec(header) ?? [];
  const kind = scheme.toLowerCase();
  if (kind !== 'basic' && kind !== 'token' && kind !== 'bearer') return undefined;
  // Headers come as one character for each byte.
  const bytes = Buffer.from(credentials, kind === 'basic' ? 'base64' : 'latin1');
  const colon = bytes.indexOf(':');
  if (colon < 0) return undefined;
  return { name: bytes.subarray(0, colon).toString(), password: bytes.subarray(colon + 1) };
}

const unauthorized: Refusal = {
  ...{ status: 401, why: 'unauthorized' },
  message:
    'give the name and password of a local user (basic authentication); firn users add makes one, the first is in security/first-password of the data folder',
};

const tlsNeeded: Refusal = {
  ...{ status: 403, why: 'tls' },
  message:
    'credentials are taken over TLS only: use https:// with the certificate that GET /site-ca.crt gives, or set tls.require to false on a network you trust',
};

const tooMany = (waitMs: number): Refusal => {
  const seconds = Math.ceil(waitMs / 1000);
  const message = `too many failed logins; try again in ${seconds} s`;
  return { status: 429, why: 'too_many_requests', message, retryAfterSeconds: seconds };
};

const forbidden = (name: string, role: Role): Refusal => ({
  ...{ status: 403, why: 'forbidden' },
  message: `${name} has not the role ${role}, which this needs; firn users add ${name} --roles ${role} gives it`,
});
