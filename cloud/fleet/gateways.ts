import { FirnError } from '../../lake/base/errors.ts';
import { type GatewayReport, gatewayReport } from '../../provisioning/contract.ts';
import { type Actor, type ChangeContext, optionalMs } from '../tenants/changes.ts';
import { type FleetDatabase, fleetTables, type GatewayRow, gatewaysWithReports } from './fleet-database.ts';

export interface GatewayInfo {
  readonly tenant: string;
  readonly id: string;
  readonly site: string;
  /** For rollouts; '': none. */
  readonly group: string;
  readonly createdMs: number;
  readonly certificateUntilMs: number;
  readonly revokedMs: number | undefined;
  /** What it has said last, and when and from where. */
  readonly said: Said | undefined;
}

interface Said {
  readonly atMs: number;
  readonly address: string;
  readonly report: GatewayReport;
}

/** Gateways as who administers them sees them. Throws FirnError `not-found`. */
export interface Gateways {
  listGateways(tenant: string): Promise<readonly GatewayInfo[]>;
  gatewayOf(tenant: string, id: string): Promise<GatewayInfo>;
  groupGateway(tenant: string, id: string, group: string, actor: Actor): Promise<void>;
  /** From its next request on it is refused. A claim for its id lets it, or another device, in again. */
  revokeGateway(tenant: string, id: string, actor: Actor): Promise<void>;
}

export function openGateways(db: FleetDatabase, { clock, change }: ChangeContext): Gateways {
  const all = (tenant: string) => gatewaysWithReports(db, tenant);
  return {
    listGateways: async (tenant) => (await all(tenant).orderBy('gateway.id').execute()).map(info),
    gatewayOf: async (tenant, id) => {
      const row = await all(tenant).where('gateway.id', '=', id).executeTakeFirst();
      if (row === undefined) throw noGateway(id);
      return info(row);
    },
    groupGateway: (tenant, id, group, actor) =>
      change(actor, { action: 'group gateway', tenant, subject: id, detail: { group } }, async (tx) => {
        const { numUpdatedRows } = await fleetTables(tx)
          .updateTable('gateway')
          .set({ group_name: group })
          .where('tenant', '=', tenant)
          .where('id', '=', id)
          .executeTakeFirst();
        if (Number(numUpdatedRows) === 0) throw noGateway(id);
      }),
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

type Row = GatewayRow & {
  readonly seen_ms: number | null;
  readonly address: string | null;
  readonly report: string | null;
};

function info({ seen_ms, address, report, ...row }: Row): GatewayInfo {
  const said = (text: string): Said => ({
    ...{ atMs: Number(seen_ms), address: address ?? '' },
    report: gatewayReport.parse(JSON.parse(text)),
  });
  return {
    ...{
      tenant: row.tenant,
      id: row.id,
      site: row.site,
      group: row.group_name,
      createdMs: Number(row.created_ms),
    },
    ...{ certificateUntilMs: Number(row.certificate_until_ms), revokedMs: optionalMs(row.revoked_ms) },
    said: report === null ? undefined : said(report),
  };
}

export const noGateway = (id: string): FirnError =>
  new FirnError({
    ...{ code: 'not-found', operation: 'find gateway', subject: id },
    message: `there is no gateway ${id}`,
    hint: 'list the gateways of the tenant',
  });
