import type { Hono } from 'hono';
import type { Logger } from '../../lake/base/log.ts';
import type { Authority } from '../../provisioning/authority-files.ts';
import type { AdminApiOptions } from '../tenants/admin-api.ts';
import type { TenantStore } from '../tenants/tenant-store.ts';
import { fleetAdminRoutes } from './admin-routes.ts';
import { openAdoptions } from './adoptions.ts';
import { openClaims } from './claims.ts';
import { openCommands } from './commands.ts';
import { deviceRoutes } from './device-routes.ts';
import { openFleetDatabase } from './fleet-database.ts';
import { openGateways } from './gateways.ts';
import { openOrders } from './orders.ts';
import { type Online, openReports } from './reports.ts';
import { openRollouts } from './rollout-administration.ts';
import { openSessions } from './sessions.ts';
import { openTokens } from './tokens.ts';
import type { Uploads } from './uploads.ts';
import { type AdoptionLimits, openWaitingDevices } from './waiting-devices.ts';

export interface Fleet extends AsyncDisposable {
  /** For gateways; it stands before the gate of keys. */
  readonly devices: ReturnType<typeof deviceRoutes>;
  /** Behind it. */
  readonly admin: Hono;
  /** Gateways that were heard of in the last three heartbeats. */
  online(): Online;
  /** What happens every few seconds, now: reports are written, rollouts moved on. */
  flush(): Promise<void>;
}

/** Opens everything about gateways: claims, gateways, and the HTTP routes of both sides. */
export async function openFleet(
  options: AdminApiOptions &
    AdoptionLimits & {
      readonly store: TenantStore;
      readonly authority: Authority;
      readonly certificateDays: number;
      readonly publicUrl: string;
      readonly heartbeatSeconds: number;
      readonly uploads: Uploads;
      readonly logger: Logger;
    },
): Promise<Fleet> {
  const { store, authority, certificateDays, publicUrl, heartbeatSeconds, logger, uploads } = options;
  const { accessOf, addressOf, onRefused } = options;
  const { context } = store;
  const { clock } = context;
  const db = await openFleetDatabase(context.db);
  const isActive = (tenant: string): boolean => store.tenants().some((each) => each === tenant);
  const enrollment = { context, authority, certificateDays, isActive };
  const sessions = openSessions(enrollment, await openTokens(db));
  const { pin } = authority;
  const claims = openClaims(db, context, pin);
  const waiting = openWaitingDevices(clock, options);
  const adoptions = openAdoptions(db, context, waiting);
  const gateways = openGateways(db, context);
  await using stack = new AsyncDisposableStack();
  const reports = stack.use(openReports({ db, clock, logger }));
  const orders = stack.use(await openOrders({ db, clock, logger, signer: authority.signer }));
  const rollouts = openRollouts(db, context, orders.refresh);
  const commands = openCommands(db, context, orders.refresh);
  const administration = { ...claims, ...adoptions, ...gateways, ...rollouts, ...commands };
  const open = stack.move();
  return {
    devices: deviceRoutes({
      ...{ enrollment, sessions, waiting, reports, uploads, orders, commands, heartbeatSeconds, addressOf },
    }),
    admin: fleetAdminRoutes({ administration, clock, publicUrl, pin, accessOf, addressOf, onRefused }),
    online: () => reports.online(3 * heartbeatSeconds * 1000),
    flush: async () => {
      await reports.flush();
      await orders.refresh();
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
}
