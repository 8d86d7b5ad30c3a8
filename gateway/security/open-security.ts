import { mkdirSync } from 'node:fs';
import type { Clock } from '../../lake/base/clock.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { TlsFiles } from '../../lake/base/server-tls.ts';
import { type Audit, openAudit } from './audit.ts';
import { keepSiteCertificate, siteCaPath } from './certificate.ts';
import { deviceSecret } from './device-secret.ts';
import { makeFirstUser } from './first-user.ts';
import { openPasswords, type Prove } from './passwords.ts';
import { mendModes } from './secret-modes.ts';
import { openSecurityDatabase, securityFolder } from './security-database.ts';
import { type GivenUser, openUsers, type Users } from './users.ts';

/** Who is let in, by what certificate the gateway is known, and what was done. */
export interface Security extends AsyncDisposable {
  readonly users: Users;
  readonly prove: Prove;
  readonly audit: Audit;
  /** What listeners show that others can reach; undefined: there are none, and no certificate is set. */
  readonly tls: TlsFiles | undefined;
  /** What clients are to believe, if it is the site's own certificate. */
  readonly caFile: string | undefined;
}

export interface SecurityOptions {
  readonly dataDir: string;
  readonly gateway: string;
  readonly users: readonly GivenUser[];
  readonly tls: TlsFiles & { readonly names: readonly string[] };
  /** Another machine can reach a listener. */
  readonly isReachable: boolean;
  /** Some listener needs users, and none are set otherwise. */
  readonly needsUsers: boolean;
  /** Folders with files that nobody but the gateway is to read. */
  readonly secretFolders: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
}

const firstUserName = 'admin';

/** Makes at the first start what is missing: a user, a certificate, and the secrets of both. */
export async function openSecurity(options: SecurityOptions): Promise<Security> {
  const { dataDir, gateway, tls, isReachable, needsUsers, clock, logger } = options;
  await using stack = new AsyncDisposableStack();
  mkdirSync(securityFolder(dataDir), { recursive: true, mode: 0o700 });
  mendModes([securityFolder(dataDir), ...options.secretFolders], logger);
  const db = stack.use(openSecurityDatabase(dataDir, 'soon'));
  if (needsUsers && options.users.length === 0) {
    const made = await makeFirstUser(db, dataDir, firstUserName, clock.nowMs());
    if (made) logger.info('made the first user; its password is in a file', { ...made });
  }
  const users = stack.use(openUsers(db, options.users));
  const ownsTls = tls.certFile !== '';
  const certificate =
    isReachable && !ownsTls
      ? stack.use(await keepSiteCertificate({ dataDir, gateway, names: tls.names, clock, logger }))
      : undefined;
  const open = stack.move();
  return {
    users,
    prove: openPasswords(users, deviceSecret(dataDir)),
    audit: openAudit(db, clock, logger),
    tls: ownsTls ? tls : certificate,
    caFile: certificate && siteCaPath(dataDir),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}
