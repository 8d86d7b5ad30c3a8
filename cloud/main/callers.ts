import { getConnInfo } from '@hono/node-server/conninfo';
import type { Context } from 'hono';
import { type ClientAddress, clientAddressBehind } from '../../lake/base/client-address.ts';
import { systemClock } from '../../lake/base/clock.ts';
import type { Logger } from '../../lake/base/log.ts';
import { createLoginAttempts, type LoginAttempts } from '../../lake/base/login-attempts.ts';
import type { CloudConfig } from '../config.ts';
import { type Logins, openLogins } from '../tenants/logins.ts';
import { type NoteRefusal, noteRefusals } from '../tenants/note-refusals.ts';
import type { TenantStore } from '../tenants/tenant-store.ts';

/** Who asks: from where, and with which key. */
export interface Callers {
  readonly addressOf: (c: Context) => string;
  /** Of what is no HTTP request of the application. */
  readonly clientOf: ClientAddress;
  readonly logins: Logins;
  readonly attempts: LoginAttempts;
  readonly onRefused: NoteRefusal;
}

export function openCallers({ http, login }: CloudConfig, tenants: TenantStore, logger: Logger): Callers {
  const clientOf = clientAddressBehind(http.trustedProxies);
  const onRefused = noteRefusals(tenants, systemClock, logger);
  const attempts = createLoginAttempts(login, systemClock, (address, name) => {
    logger.warn('too many failed logins; more are refused for a while', { address, name });
    onRefused({ name, address }, tenants.tenantOf(name), 'log in, failed too often');
  });
  return {
    addressOf: (c) => clientOf(getConnInfo(c).remote.address ?? '', c.req.header('x-forwarded-for')),
    ...{ clientOf, onRefused, attempts, logins: openLogins(tenants, attempts) },
  };
}
