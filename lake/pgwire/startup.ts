import { FirnError, hasCode } from '../base/errors.ts';
import { type LoginAttempts, noLoginLimits } from '../base/login-attempts.ts';
import type { ByteWriter } from '../sql/cells/byte-writer.ts';
import { SqlError } from '../sql/errors.ts';
import { createFieldReader, type Frame, type StartupMessage } from './codec.ts';
import { writeAuthentication, writeNegotiateProtocolVersion } from './messages.ts';
import { decoyVerifier, isSecretOf, type ScramVerifier, startScram } from './scram.ts';

// What comes before a session: the version, who the client says it is, and the proof.

/** What a client asks for when it connects. */
export interface StartupRequest {
  readonly user: string;
  /** The user's name if the client names no database. */
  readonly database: string;
  /** Run-time parameters (also those of `options=-c name=value`), by name as the client spells it. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** What is kept for a user; `Key` may carry more, for example the tenant, through to `openSession`. */
export interface ScramKey {
  readonly verifier: ScramVerifier;
}

export type Authentication<Key extends ScramKey> =
  | { readonly kind: 'trust' }
  | {
      readonly kind: 'scram';
      /** Undefined for a user that doesn't exist; its client sees the same exchange, and a wrong password. */
      keyOf(user: string): Key | undefined | Promise<Key | undefined>;
      /** Knows who has failed too often. */
      readonly attempts?: LoginAttempts;
      /** Of the users' verifiers, so that one who doesn't exist looks like them. */
      readonly iterations?: number;
      /** Inside TLS the client is asked for the password itself, because it may have no SCRAM. */
      readonly plainInTls?: boolean;
    };

/**
 * Settles version and options of a connection. A newer minor version or an option of the protocol that Firn doesn't
 * know is answered by what it has, and the client decides. Throws SqlError (0A000, 28000).
 */
export function negotiate(
  message: Extract<StartupMessage, { kind: 'startup' }>,
  out: ByteWriter,
): StartupRequest {
  const { major, minor } = message;
  if (major !== 3) {
    throw new SqlError(
      '0A000',
      `unsupported frontend protocol ${major}.${minor}: server supports 3.0 to 3.0`,
    );
  }
  const unknown = [...message.parameters.keys()].filter((name) => name.startsWith('_pq_.'));
  if (minor > 0 || unknown.length > 0) writeNegotiateProtocolVersion(out, unknown);
  const { user, database, options, replication, ...rest } = Object.fromEntries(message.parameters);
  if (!user) throw new SqlError('28000', 'no PostgreSQL user name specified in startup packet');
  if (replication && !/^(false|off|no|0)$/i.test(replication)) {
    throw new SqlError('0A000', 'replication connections are not supported');
  }
  const parameters = new Map(readOptions(options ?? ''));
  for (const [name, value] of Object.entries(rest)) if (!unknown.includes(name)) parameters.set(name, value);
  return { user, database: database || user, parameters };
}

/** `-c name=value`, `-cname=value` and `--name=value`; a backslash keeps the character after it. */
function readOptions(options: string): [string, string][] {
  const words = (options.match(/(?:\\.|[^\s\\])+/gs) ?? []).map((word) => word.replaceAll(/\\(.)/gs, '$1'));
  const settings = words.flatMap((word, index) => {
    if (word.startsWith('--')) return [word.slice(2).replaceAll('-', '_')];
    if (word === '-c') return [words[index + 1] ?? ''];
    return word.startsWith('-c') ? [word.slice(2)] : [];
  });
  return settings.flatMap((setting): [string, string][] => {
    const at = setting.indexOf('=');
    return at < 0 ? [] : [[setting.slice(0, at), setting.slice(at + 1)]];
  });
}

/** How authentication talks to the client. */
export interface AuthenticationIo {
  readonly writer: ByteWriter;
  flush(): Promise<void>;
  /** The next message; rejects when the client is gone. */
  next(): Promise<Frame>;
}

const mechanism = 'SCRAM-SHA-256';
const mechanismPlus = 'SCRAM-SHA-256-PLUS';

interface AuthenticationFacts {
  /** Makes the decoys of users that don't exist. */
  readonly serverSecret: Buffer;
  readonly encrypted: boolean;
  /** tls-server-end-point of the connection; undefined without TLS. */
  readonly channelBinding: Buffer | undefined;
  /** Where the client is. */
  readonly address: string;
}

/**
 * Lets the client prove who it is; returns its key, undefined where everyone is trusted. Throws SqlError 28P01 for a
 * wrong password, 28000 where too many were wrong, 08P01 for messages that are none of SCRAM.
 */
export async function authenticate<Key extends ScramKey>(
  how: Authentication<Key>,
  user: string,
  io: AuthenticationIo,
  { serverSecret, encrypted, channelBinding, address }: AuthenticationFacts,
): Promise<Key | undefined> {
  if (how.kind === 'trust') return undefined;
  const { attempts = noLoginLimits } = how;
  const waitMs = attempts.waitMs(address, user);
  if (waitMs > 0)
    throw new SqlError('28000', `too many failed logins; try again in ${Math.ceil(waitMs / 1000)} s`);
  const failed = (cause?: unknown): SqlError => {
    attempts.failed(address, user);
    return wrongPassword(user, cause);
  };
  const key = await how.keyOf(user);
  const verifier = key?.verifier ?? decoyVerifier(user, serverSecret, how.iterations);
  if (how.plainInTls && encrypted) {
    if (!(await plainPassword(verifier, io)) || !key) throw failed();
    attempts.succeeded(address, user);
    return key;
  }
  try {
    writeAuthentication(io.writer, 'sasl', [...(channelBinding ? [mechanismPlus] : []), mechanism]);
    await io.flush();
    const initial = readInitialResponse(await passwordMessage(io), channelBinding !== undefined);
    const exchange = startScram(verifier, { channelBinding, binds: initial.binds });
    writeAuthentication(io.writer, 'saslContinue', exchange.first(initial.message));
    await io.flush();
    const final = (await passwordMessage(io)).toString('utf8');
    writeAuthentication(io.writer, 'saslFinal', exchange.final(final));
  } catch (error) {
    if (hasCode(error, 'denied')) throw failed(error);
    if (error instanceof FirnError) throw new SqlError('08P01', error.message, { cause: error });
    throw error;
  }
  if (!key) throw failed();
  attempts.succeeded(address, user);
  return key;
}

async function plainPassword(verifier: ScramVerifier, io: AuthenticationIo): Promise<boolean> {
  writeAuthentication(io.writer, 'cleartext');
  await io.flush();
  return isSecretOf(verifier, createFieldReader(await passwordMessage(io)).cstring());
}

async function passwordMessage(io: AuthenticationIo): Promise<Buffer> {
  const { type, body } = await io.next();
  if (type !== 'p') throw new SqlError('08P01', `expected a password message, got message type ${type}`);
  return body;
}

/** SASLInitialResponse: the mechanism, and what the client says first. */
function readInitialResponse(
  body: Buffer,
  plus: boolean,
): { readonly binds: boolean; readonly message: string } {
  const fields = createFieldReader(body);
  const chosen = fields.cstring();
  if (chosen !== mechanism && !(plus && chosen === mechanismPlus)) {
    throw new SqlError('08P01', `SASL mechanism ${chosen} is not offered`);
  }
  const length = fields.int32();
  const message = length === -1 ? '' : fields.bytes(length).toString('utf8');
  return { binds: chosen === mechanismPlus, message };
}

function wrongPassword(user: string, cause?: unknown): SqlError {
  return new SqlError('28P01', `password authentication failed for user "${user}"`, { cause });
}
