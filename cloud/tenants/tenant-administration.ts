import { FirnError } from '../../lake/base/errors.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { type Actor, type ChangeContext, optionalMs } from './changes.ts';

interface TenantInfo {
  readonly id: string;
  readonly createdMs: number;
  readonly suspendedMs: number | undefined;
}

/** Throws FirnError `not-found` or `conflict`. */
export interface TenantAdministration {
  listTenants(): Promise<readonly TenantInfo[]>;
  createTenant(tenant: TenantId, actor: Actor): Promise<void>;
  /** Its keys count no more, or again; its data stays. */
  suspendTenant(tenant: string, suspended: boolean, actor: Actor): Promise<void>;
}

export function tenantAdministration({ db, clock, change }: ChangeContext): TenantAdministration {
  return {
    listTenants: async () =>
      (await db.selectFrom('tenant').selectAll().orderBy('id').execute()).map((row) => ({
        ...{ id: row.id, createdMs: Number(row.created_ms), suspendedMs: optionalMs(row.suspended_ms) },
      })),
    createTenant: (tenant, actor) =>
      change(actor, { action: 'create tenant', tenant, subject: tenant }, async (tx) => {
        const { numInsertedOrUpdatedRows } = await tx
          .insertInto('tenant')
          .values({ id: tenant, created_ms: clock.nowMs(), suspended_ms: null })
          .onConflict((on) => on.doNothing())
          .executeTakeFirst();
        if (Number(numInsertedOrUpdatedRows ?? 0) === 0) throw tenantExists(tenant);
      }),
    suspendTenant: (tenant, suspended, actor) => {
      const action = suspended ? 'suspend tenant' : 'resume tenant';
      return change(actor, { action, tenant, subject: tenant }, async (tx) => {
        const { numUpdatedRows } = await tx
          .updateTable('tenant')
          .set({ suspended_ms: suspended ? clock.nowMs() : null })
          .where('id', '=', tenant)
          .executeTakeFirst();
        if (Number(numUpdatedRows) === 0) throw noTenant(tenant);
      });
    },
  };
}

export const noTenant = (tenant: string): FirnError =>
  new FirnError({
    ...{
      code: 'not-found',
      operation: 'find tenant',
      subject: tenant,
      message: `there is no tenant ${tenant}`,
    },
    hint: 'list the tenants, or create it',
  });

const tenantExists = (tenant: string): FirnError =>
  new FirnError({
    ...{ code: 'conflict', operation: 'create tenant', subject: tenant, message: `tenant ${tenant} exists` },
    hint: 'create a key for it',
  });
