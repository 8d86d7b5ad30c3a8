import { FirnError } from '../../lake/base/errors.ts';
import { type Actor, type ChangeContext, optionalMs } from '../tenants/changes.ts';
import { type FleetDatabase, fleetTables, type GatewayRow } from './fleet-database.ts';

export interface GatewayInfo {
  readonly tenant: string;
  readonly id: string;
  readonly site: string;
  readonly createdMs: number;
  readonly certificateUntilMs: number;
  readonly revokedMs: number | undefined;
}

/** Gateways as who administers them sees them. Throws FirnError `not-found`. */
export interface Gateways {
  listGateways(tenant: string): Promise<readonly GatewayInfo[]>;
  gatewayOf(tenant: string, id: string): Promise<GatewayInfo>;
  /** From its next request on it is refused. A claim for its id lets it, or another device, in again. */
  revokeGateway(tenant: string, id: string, actor: Actor): Promise<void>;
}

export function openGateways(db: FleetDatabase, { clock, change }: ChangeContext): Gateways {
  const all = (tenant: string) => db.selectFrom('gateway').selectAll().where('tenant', '=', tenant);
  return {
    listGateways: async (tenant) => (await all(tenant).orderBy('id').execute()).map(info),
    gatewayOf: async (tenant, id) => {
      const row = await all(tenant).where('id', '=', id).executeTakeFirst();
      if (row === undefined) throw noGateway(id);
      return info(row);
    },
    revokeGateway: (tenant, id, actor) =>
      change(actor, { action: 'revoke gateway', tenant, subject: id }, async (tx) => {
        const { numUpdatedRows } = await fleetTables(tx)
          .updateTable('gateway')
          .set({ revoked_ms: clock.nowMs() })
          .where('tenant', '=', tenant)
          .where('id', '=', id)
          .where('revoked_ms', 'is', null)
          .executeTakeFirst();
        if (Number(numUpdatedRows) === 0) throw noGateway(id);
      }),
  };
}

const info = (row: GatewayRow): GatewayInfo => ({
  ...{ tenant: row.tenant, id: row.id, site: row.site, createdMs: Number(row.created_ms) },
  ...{ certificateUntilMs: Number(row.certificate_until_ms), revokedMs: optionalMs(row.revoked_ms) },
});

const noGateway = (id: string): FirnError =>
  new FirnError({
    ...{ code: 'not-found', operation: 'find gateway', subject: id },
    message: `there is no gateway ${id}`,
    hint: 'list the gateways of the tenant',
  });
