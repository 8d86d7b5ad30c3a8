import { FirnError } from '../../lake/base/errors.ts';
import type { LoginAttempts } from '../../lake/base/login-attempts.ts';
import type { Access } from './access.ts';
import type { Directory } from './directory.ts';
import { accessOfHeader, credentialName } from './http-credentials.ts';

/** Who asks by HTTP. Both throw FirnError `limit`, which says when to come again, where too many tries have failed. */
export interface Logins {
  /** What an Authorization header lets its sender do. */
  ofHeader(header: string | undefined, address: string): Access | undefined;
  /** What id and secret of a key let their sender do. */
  of(keyId: string, secret: string, address: string): Access | undefined;
}

export function openLogins(
  keys: Pick<Directory, 'authenticate' | 'authenticateSecret'>,
  attempts: LoginAttempts,
): Logins {
  const counted = (address: string, name: string, login: () => Access | undefined): Access | undefined => {
    const retryAfterMs = attempts.waitMs(address, name);
    if (retryAfterMs > 0) throw tooMany(retryAfterMs);
    const access = login();
    if (access === undefined) attempts.failed(address, name);
    else attempts.succeeded(address, name);
    return access;
  };
  return {
    ofHeader: (header, address) => {
      const name = credentialName(header);
      return name === undefined ? undefined : counted(address, name, () => accessOfHeader(header, keys));
    },
    of: (keyId, secret, address) => counted(address, keyId, () => keys.authenticate(keyId, secret)),
  };
}

const tooMany = (retryAfterMs: number): FirnError =>
  new FirnError({
    ...{ code: 'limit', operation: 'log in', subject: 'login', retryAfterMs },
    message: `too many failed logins; try again in ${Math.ceil(retryAfterMs / 1000)} s`,
  });
