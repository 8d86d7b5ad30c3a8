import { createHash, createHmac, pbkdf2, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { FirnError } from '../base/errors.ts';

// SCRAM-SHA-256, the server's side (RFC 5802, RFC 7677), with channel binding to the server's
// certificate where there is TLS. The server keeps a verifier, from which
// the secret can't be had.

/** What a server keeps of a secret. */
export interface ScramVerifier {
  readonly salt: Buffer;
  readonly iterations: number;
  /** H(ClientKey) and ServerKey of RFC 5802, 32 bytes each. */
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

const iterationsDefault = 4096;
const saltBytes = 16;
const saltedBytes = 32;
const nonceBytes = 18;

/** Makes the verifier of a secret; secrets are ASCII, so SASLprep has nothing to do. */
export const makeScramVerifier = (
  secret: string,
  salt: Buffer = randomBytes(saltBytes),
  iterations = iterationsDefault,
): ScramVerifier => verifierOf(pbkdf2Sync(secret, salt, iterations, saltedBytes, 'sha256'), salt, iterations);

const derive = promisify(pbkdf2);

/**
 * The verifier of a password that a person chose: with more iterations, and not on this thread. Of SASLprep (RFC 4013) the
 * normalization is made, as clients make it.
 */
export async function makePasswordVerifier(
  password: string,
  iterations: number,
  salt: Buffer = randomBytes(saltBytes),
): Promise<ScramVerifier> {
  const salted = await derive(password.normalize('NFKC'), salt, iterations, saltedBytes, 'sha256');
  return verifierOf(salted, salt, iterations);
}

const verifierOf = (salted: Buffer, salt: Buffer, iterations: number): ScramVerifier => ({
  salt,
  iterations,
  storedKey: storedKeyOf(salted),
  serverKey: hmac(salted, 'Server Key'),
});

/** As PostgreSQL prints it: `SCRAM-SHA-256$iterations:salt$storedKey:serverKey`. */
export function printVerifier({ salt, iterations, storedKey, serverKey }: ScramVerifier): string {
  const [printedSalt, stored, server] = [salt, storedKey, serverKey].map((bytes) => bytes.toString('base64'));
  return `SCRAM-SHA-256$${iterations}:${printedSalt}$${stored}:${server}`;
}

const iterationsMax = 10_000_000;

/** Throws FirnError `invalid`, which does not repeat the text. */
export function parseVerifier(text: string): ScramVerifier {
  const base64 = '([A-Za-z0-9+/]+={0,2})';
  const match = new RegExp(`^SCRAM-SHA-256\\$(\\d{1,8}):${base64}\\$${base64}:${base64}$`).exec(text);
  const [salt, storedKey, serverKey] = (match?.slice(2) ?? []).map((each) => Buffer.from(each, 'base64'));
  const iterations = Number(match?.[1]);
  const isWhole = storedKey?.length === saltedBytes && serverKey?.length === saltedBytes;
  if (salt && isWhole && iterations > 0 && iterations <= iterationsMax)
    return { salt, iterations, storedKey, serverKey };
  throw refused('invalid', 'a verifier is SCRAM-SHA-256$iterations:salt$storedKey:serverKey');
}

/** Whether it is the verifier of this secret; found on another thread. */
export async function isSecretOf(
  { salt, iterations, storedKey }: ScramVerifier,
  secret: string,
): Promise<boolean> {
  const salted = await derive(secret, salt, iterations, saltedBytes, 'sha256');
  return timingSafeEqual(storedKeyOf(salted), storedKey);
}

const storedKeyOf = (salted: Buffer): Buffer => sha256(hmac(salted, 'Client Key'));

/**
 * A verifier for a user that doesn't exist, the same at every try: an exchange with it looks like any other and fails,
 * so that nobody learns which users there are.
 */
export function decoyVerifier(
  user: string,
  serverSecret: Buffer,
  iterations = iterationsDefault,
): ScramVerifier {
  const salt = hmac(serverSecret, user).subarray(0, saltBytes);
  const nothing = randomBytes(32);
  return { salt, iterations, storedKey: nothing, serverKey: nothing };
}

/** One exchange: the client's first message, then its final one. Both throw FirnError `denied` or `invalid`. */
export interface ScramExchange {
  /** Takes `client-first-message`, returns `server-first-message`. */
  first(message: string): string;
  /** Takes `client-final-message`, returns `server-final-message`; throws `denied` when the secret is wrong. */
  final(message: string): string;
}

interface ScramOptions {
  /** tls-server-end-point (RFC 5929), which the server offers to bind to; undefined without TLS. */
  readonly channelBinding?: Buffer | undefined;
  /** Whether the client has chosen the mechanism that binds to it. */
  readonly binds?: boolean;
  readonly makeNonce?: () => string;
}

export function startScram(verifier: ScramVerifier, options: ScramOptions = {}): ScramExchange {
  const { channelBinding, binds = false } = options;
  const makeNonce = options.makeNonce ?? (() => randomBytes(nonceBytes).toString('base64'));
  let header = '';
  let transcript = '';
  let nonce = '';
  return {
    first: (message) => {
      // gs2-header: bound (p), no channel binding (n), or the client could but thinks that the server can't (y).
      const match =
        /^((n|y|p=tls-server-end-point),(?:a=[^,]*)?,)(n=[^,]*,r=([\x21-\x2b\x2d-\x7e]+).*)$/.exec(message);
      if (!match) throw refused('invalid', 'the first SCRAM message is malformed');
      const [, gs2 = '', flag = '', bare = '', clientNonce = ''] = match;
      if (flag.startsWith('p') !== binds) {
        throw refused('invalid', 'the first SCRAM message does not fit the mechanism');
      }
      // The server did offer it: somebody between has taken the offer away.
      if (flag === 'y' && channelBinding) throw refused('invalid', 'channel binding was stripped');
      header = gs2;
      nonce = clientNonce + makeNonce();
      const answer = `r=${nonce},s=${verifier.salt.toString('base64')},i=${verifier.iterations}`;
      transcript = `${bare},${answer}`;
      return answer;
    },
    final: (message) => {
      const match = /^(c=([^,]*),r=([^,]*)(?:,.*)?),p=([A-Za-z0-9+/=]+)$/.exec(message);
      if (!match) throw refused('invalid', 'the final SCRAM message is malformed');
      const [, withoutProof = '', binding = '', sentNonce = '', proof = ''] = match;
      const expected = Buffer.concat([Buffer.from(header), (binds && channelBinding) || Buffer.alloc(0)]);
      if (sentNonce !== nonce || !Buffer.from(binding, 'base64').equals(expected)) {
        throw refused('invalid', 'the final SCRAM message does not belong to the first');
      }
      const authMessage = `${transcript},${withoutProof}`;
      const signature = hmac(verifier.storedKey, authMessage);
      const clientKey = xor(Buffer.from(proof, 'base64'), signature);
      if (!timingSafeEqual(sha256(clientKey), verifier.storedKey))
        throw refused('denied', 'the secret is wrong');
      return `v=${hmac(verifier.serverKey, authMessage).toString('base64')}`;
    },
  };
}

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();

function xor(a: Buffer, b: Buffer): Buffer {
  return Buffer.from(b.map((byte, index) => byte ^ (a[index] ?? 0)));
}

function refused(code: 'invalid' | 'denied', message: string): FirnError {
  return new FirnError({ code, operation: 'authenticate by SCRAM-SHA-256', subject: 'client', message });
}
