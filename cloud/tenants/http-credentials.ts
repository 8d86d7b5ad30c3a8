import type { Access } from './access.ts';
import { hashSecret } from './api-key.ts';
import type { Directory } from './directory.ts';

/** By what failed logins with these credentials are counted: the id, or the secret's hash; undefined: there are none. */
export function credentialName(header: string | undefined): string | undefined {
  const [scheme = '', credentials = ''] = (header ?? '').trim().split(/ +/, 2);
  if (credentials === '') return undefined;
  if (scheme.toLowerCase() !== 'basic') return hashSecret(credentials).slice(0, 16);
  const text = Buffer.from(credentials, 'base64').toString();
  return text.slice(0, Math.max(0, text.indexOf(':')));
}

/** What an Authorization header lets its sender do: `Basic` with key id and secret, or `Bearer` with the secret; InfluxDB's clients say `Token`. */
export function accessOfHeader(
  header: string | undefined,
  keys: Pick<Directory, 'authenticate' | 'authenticateSecret'>,
): Access | undefined {
  const [scheme = '', credentials = ''] = (header ?? '').trim().split(/ +/, 2);
  switch (scheme.toLowerCase()) {
    case 'basic': {
      const text = Buffer.from(credentials, 'base64').toString();
      const colon = text.indexOf(':');
      return colon < 0 ? undefined : keys.authenticate(text.slice(0, colon), text.slice(colon + 1));
    }
    case 'bearer':
    case 'token':
      return keys.authenticateSecret(credentials);
    default:
      return undefined;
  }
}
