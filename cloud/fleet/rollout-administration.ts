import { FirnError } from '../../lake/base/errors.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { type Firmware, firmware } from '../../provisioning/contract.ts';
import type { Actor, ChangeContext } from '../tenants/changes.ts';
import { noTenant } from '../tenants/tenant-administration.ts';
import { type FleetDatabase, fleetTables, type RolloutRow } from './fleet-database.ts';
import { planSchema, type Rollout, type RolloutPlan } from './rollouts.ts';

interface RolloutInfo extends Rollout {
  readonly createdMs: number;
  readonly description: string;
  readonly detail: string;
}

/** Throws FirnError `not-found` or `conflict`. */
export interface Rollouts {
  /** The newest first. */
  listRollouts(tenant: string): Promise<readonly RolloutInfo[]>;
  createRollout(
    tenant: TenantId,
    spec: {
      readonly settings: Record<string, unknown>;
      readonly firmware: Firmware | undefined;
      readonly plan: RolloutPlan;
      readonly description: string;
    },
    actor: Actor,
  ): Promise<number>;
  /** Takes its settings back from every gateway, or brings its firmware to no more; or goes on with it. */
  haltRollout(tenant: string, number: number, halted: boolean, actor: Actor): Promise<void>;
}

/** Rollouts that an answer lists. */
const listedMax = 200;

export function openRollouts(
  db: FleetDatabase,
  { clock, change }: ChangeContext,
  changed: () => Promise<void>,
): Rollouts {
  const ordered = async <T>(work: Promise<T>): Promise<T> => {
    const result = await work;
    await changed();
    return result;
  };
  return {
    listRollouts: async (tenant) => {
      const rows = db.selectFrom('rollout').selectAll().where('tenant', '=', tenant);
      const newest = await rows.orderBy('number', 'desc').limit(listedMax).execute();
      return newest.map((row) => ({
        ...rolloutOf(row),
        ...{ createdMs: Number(row.created_ms), description: row.description, detail: row.detail },
      }));
    },
    createRollout: (tenant, { description, ...spec }, actor) => {
      const what = { action: 'create rollout', tenant, subject: description, detail: spec };
      const { settings, firmware, plan } = spec;
      return ordered(
        change(actor, what, async (inner) => {
          const tx = fleetTables(inner);
          const found = await tx
            .selectFrom('tenant')
            .select('id')
            .where('id', '=', tenant)
            .executeTakeFirst();
          if (!found) throw noTenant(tenant);
          const { newest } = await tx
            .selectFrom('rollout')
            .select((each) => each.fn.max('number').as('newest'))
            .where('tenant', '=', tenant)
            .executeTakeFirstOrThrow();
          const number = Number(newest ?? 0) + 1;
          const nowMs = clock.nowMs();
          await tx
            .insertInto('rollout')
            .values({
              ...{
                tenant,
                number,
                description,
                settings: JSON.stringify(settings),
                firmware: firmware ? JSON.stringify(firmware) : null,
                plan: JSON.stringify(plan),
              },
              ...{ state: 'running', stage: plan.canaries.length > 0 ? -1 : 0, stage_since_ms: nowMs },
              ...{ created_ms: nowMs, detail: '' },
            })
            .execute();
          return number;
        }),
      );
    },
    haltRollout: (tenant, number, halted, actor) => {
      const what = { action: halted ? 'halt rollout' : 'resume rollout', tenant, subject: String(number) };
      return ordered(
        change(actor, what, async (inner) => {
          const { numUpdatedRows } = await fleetTables(inner)
            .updateTable('rollout')
            .set({ state: halted ? 'halted' : 'running', stage_since_ms: clock.nowMs(), detail: '' })
            .where('tenant', '=', tenant)
            .where('number', '=', number)
            .where('state', halted ? '!=' : '=', 'halted')
            .executeTakeFirst();
          if (Number(numUpdatedRows) === 0) throw noRollout(number, halted);
        }),
      );
    },
  };
}

export const rolloutOf = (row: RolloutRow): Rollout => ({
  ...{ tenant: row.tenant, number: Number(row.number), state: row.state as Rollout['state'] },
  settings: JSON.parse(row.settings) as Record<string, unknown>,
  firmware: row.firmware === null ? undefined : firmware.parse(JSON.parse(row.firmware)),
  plan: planSchema.parse(JSON.parse(row.plan)),
  ...{ stage: Number(row.stage), stageSinceMs: Number(row.stage_since_ms) },
});

const noRollout = (number: number, halted: boolean): FirnError =>
  new FirnError({
    ...{ code: 'not-found', operation: 'change rollout', subject: String(number) },
    message: `there is no rollout ${number} that could be ${halted ? 'halted' : 'resumed'}`,
    hint: 'list the rollouts of the tenant',
  });
