import type { Access } from './access.ts';
import type { Directory } from './directory.ts';

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
