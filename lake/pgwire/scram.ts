import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto';
import { FirnError } from '../base/errors.ts';

// SCRAM-SHA-256, the server's side (RFC 5802, RFC 7677), without channel binding. The server keeps a verifier, from which
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
const nonceBytes = 18;

/** Makes the verifier of a secret; secrets are ASCII, so SASLprep has nothing to do. */
export function makeScramVerifier(
  secret: string,
  salt = randomBytes(saltBytes),
  iterations = iterationsDefault,
): ScramVerifier {
  const salted = pbkdf2Sync(secret, salt, iterations, 32, 'sha256');
  return {
    salt,
    iterations,
    storedKey: sha256(hmac(salted, 'Client Key')),
    serverKey: hmac(salted, 'Server Key'),
  };
}

/**
 * A verifier for a user that doesn't exist, the same at every try: an exchange with it looks like any other and fails,
 * so that nobody learns which users there are.
 */
export function decoyVerifier(user: string, serverSecret: Buffer): ScramVerifier {
  const salt = hmac(serverSecret, user).subarray(0, saltBytes);
  const nothing = randomBytes(32);
  return { salt, iterations: iterationsDefault, storedKey: nothing, serverKey: nothing };
}

/** One exchange: the client's first message, then its final one. Both throw FirnError `denied` or `invalid`. */
export interface ScramExchange {
  /** Takes `client-first-message`, returns `server-first-message`. */
  first(message: string): string;
  /** Takes `client-final-message`, returns `server-final-message`; throws `denied` when the secret is wrong. */
  final(message: string): string;
}

export function startScram(
  verifier: ScramVerifier,
  makeNonce = () => randomBytes(nonceBytes).toString('base64'),
): ScramExchange {
  let header = '';
  let transcript = '';
  let nonce = '';
  return {
    first: (message) => {
      // gs2-header: no channel binding (n), or the client could but thinks that the server can't (y).
      const match = /^([ny],(?:a=[^,]*)?,)(n=[^,]*,r=([\x21-\x2b\x2d-\x7e]+).*)$/.exec(message);
      if (!match)
        throw refused('invalid', 'the first SCRAM message is malformed or asks for channel binding');
      const [, gs2 = '', bare = '', clientNonce = ''] = match;
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
      if (sentNonce !== nonce || Buffer.from(binding, 'base64').toString() !== header) {
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
