import { randomBytes } from 'node:crypto';
import { FirnError } from '../../lake/base/errors.ts';
import type { CommandName, CommandResult } from '../../provisioning/contract.ts';
import { type Actor, type ChangeContext, optionalMs } from '../tenants/changes.ts';
import { type FleetDatabase, fleetTables } from './fleet-database.ts';
import { noGateway } from './gateways.ts';
import type { DeviceAccess } from './sessions.ts';

/** Commands of a gateway that wait for it. */
const waitingMax = 20;
const listedMax = 100;

interface CommandInfo {
  readonly id: string;
  readonly command: string;
  readonly createdMs: number;
  readonly createdBy: string;
  readonly expiresMs: number;
  readonly doneMs: number | undefined;
  readonly ok: boolean | undefined;
  readonly output: string;
}

/** Throws FirnError `not-found` or `limit`. */
export interface Commands {
  /** The newest first. */
  listCommands(tenant: string, gateway: string): Promise<readonly CommandInfo[]>;
  createCommand(
    tenant: string,
    gateway: string,
    command: { readonly name: CommandName; readonly expiresMs: number },
    actor: Actor,
  ): Promise<string>;
  /** What a gateway says of commands that it has carried out; of others' nothing is taken. */
  takeResults(who: DeviceAccess, results: readonly CommandResult[]): Promise<void>;
}

export function openCommands(
  db: FleetDatabase,
  { clock, change }: ChangeContext,
  changed: () => Promise<void>,
): Commands {
  return {
    listCommands: async (tenant, gateway) => {
      const rows = db
        .selectFrom('command')
        .selectAll()
        .where('tenant', '=', tenant)
        .where('gateway', '=', gateway);
      return (await rows.orderBy('created_ms', 'desc').limit(listedMax).execute()).map((row) => ({
        ...{ id: row.id, command: row.command, createdMs: Number(row.created_ms), createdBy: row.created_by },
        ...{ expiresMs: Number(row.expires_ms), doneMs: optionalMs(row.done_ms), output: row.output },
        ok: row.ok === null ? undefined : Number(row.ok) === 1,
      }));
    },
    createCommand: async (tenant, gateway, { name: command, expiresMs }, actor) => {
      const id = `cmd-${randomBytes(6).toString('hex')}`;
      const what = { action: 'command gateway', tenant, subject: gateway, detail: { id, command } };
      await change(actor, what, async (inner) => {
        const tx = fleetTables(inner);
        await checkRoom(tx, tenant, gateway, clock.nowMs());
        await tx
          .insertInto('command')
          .values({
            ...{ id, tenant, gateway, command, created_ms: clock.nowMs(), created_by: actor.name },
            ...{ expires_ms: expiresMs, done_ms: null, ok: null, output: '' },
          })
          .execute();
      });
      await changed();
      return id;
    },
    takeResults: async ({ tenant, gateway }, results) => {
      for (const { id, ok, output } of results)
        await db
          .updateTable('command')
          .set({ done_ms: clock.nowMs(), ok: ok ? 1 : 0, output })
          .where('id', '=', id)
          .where('tenant', '=', tenant)
          .where('gateway', '=', gateway)
          .where('done_ms', 'is', null)
          .execute();
      if (results.length > 0) await changed();
    },
  };
}

async function checkRoom(tx: FleetDatabase, tenant: string, gateway: string, nowMs: number): Promise<void> {
  const found = tx.selectFrom('gateway').select('id').where('tenant', '=', tenant).where('id', '=', gateway);
  if (!(await found.executeTakeFirst())) throw noGateway(gateway);
  const { count } = await tx
    .selectFrom('command')
    .select((each) => each.fn.countAll().as('count'))
    .where('tenant', '=', tenant)
    .where('gateway', '=', gateway)
    .where('done_ms', 'is', null)
    .where('expires_ms', '>', nowMs)
    .executeTakeFirstOrThrow();
  if (Number(count) < waitingMax) return;
  throw new FirnError({
    ...{ code: 'limit', operation: 'command gateway', subject: gateway },
    message: `${waitingMax} commands wait for gateway ${gateway} (waitingMax)`,
    hint: 'wait until it has carried them out, or until they expire',
  });
}
