import type { Clock } from '../../lake/base/clock.ts';
import { type JwsSigner, signJws } from '../../lake/base/jws.ts';
import type { Logger } from '../../lake/base/log.ts';
import { repeat } from '../../lake/base/repeat.ts';
import {
  commandType,
  configType,
  type Firmware,
  firmwareType,
  type GatewayReport,
} from '../../provisioning/contract.ts';
import { type FleetDatabase, gatewaysWithReports } from './fleet-database.ts';
import { rolloutOf } from './rollout-administration.ts';
import { desiredRollout, type Member, nextOf, type Rollout, type RolloutKind } from './rollouts.ts';
import type { DeviceAccess } from './sessions.ts';

// What gateways are to do: the settings of the rollout that reaches them, and commands. All of it is read every two
// seconds, so that a heartbeat costs no question to the database; the same look moves the running rollouts on.

const lookMs = 2_000;

export interface Orders extends AsyncDisposable {
  /** Signed documents for a gateway that says this. */
  ordersFor(
    who: DeviceAccess,
    report: GatewayReport,
  ): Promise<{ readonly config?: string; readonly firmware?: string; readonly commands: string[] }>;
  /** Looks now. */
  refresh(): Promise<void>;
}

interface Pending {
  readonly id: string;
  readonly command: string;
}

export async function openOrders(options: {
  readonly db: FleetDatabase;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signer: JwsSigner;
}): Promise<Orders> {
  const { db, clock, logger, signer } = options;
  let rollouts = new Map<string, readonly Rollout[]>();
  let pending = new Map<string, readonly Pending[]>();
  const refresh = async (): Promise<void> => {
    const read = async (): Promise<Rollout[]> =>
      (await db.selectFrom('rollout').selectAll().where('state', '!=', 'halted').execute()).map(rolloutOf);
    const before = await read();
    let moved = false;
    for (const rollout of before)
      if (rollout.state === 'running') moved = (await moveOn(db, rollout, clock.nowMs(), logger)) || moved;
    const all = moved ? await read() : before;
    rollouts = Map.groupBy(all, ({ tenant }) => tenant);
    pending = await pendingCommands(db, clock.nowMs());
  };
  await refresh();
  const failing = 'rollouts and commands are as last seen';
  const looking = repeat({ clock, logger, everyMs: lookMs, failing }, refresh);
  return {
    ordersFor: async (who, { config, firmware }) => {
      const { tenant, gateway, site, group } = who;
      const desired = (kind: RolloutKind): Rollout | undefined =>
        desiredRollout(rollouts.get(tenant) ?? [], kind, { id: gateway, site, group });
      // One time for all of them, since a gateway takes nothing that is older than what it has taken.
      const addressed = { tenant, gateway, issuedMs: clock.nowMs() };
      const signed = (typ: string, payload: object): Promise<string> =>
        signJws({ typ }, { ...addressed, ...payload }, signer);
      const asked = pending.get(`${tenant}/${gateway}`) ?? [];
      const commands = await Promise.all(
        asked.map(({ id, command }) => signed(commandType, { id, command })),
      );
      // Version 0 is the gateway's own configuration. What it has tried in vain it is not told again.
      const { number: version = 0, settings = {} } = desired('settings') ?? {};
      const wanted = desired('firmware');
      return {
        commands,
        ...(version !== (config?.version ?? 0) && {
          config: await signed(configType, { version, settings }),
        }),
        ...(isNewFirmware(wanted, firmware) && {
          firmware: await signed(firmwareType, { rollout: wanted.number, ...wanted.firmware }),
        }),
      };
    },
    refresh,
    [Symbol.asyncDispose]: () => looking[Symbol.asyncDispose](),
  };
}

/** By `tenant/gateway`. */
async function pendingCommands(db: FleetDatabase, nowMs: number): Promise<Map<string, Pending[]>> {
  const open = await db
    .selectFrom('command')
    .select(['tenant', 'gateway', 'id', 'command'])
    .where('done_ms', 'is', null)
    .where('expires_ms', '>', nowMs)
    .orderBy('created_ms')
    .execute();
  return Map.groupBy(open, ({ tenant, gateway }) => `${tenant}/${gateway}`);
}

/** Whether a gateway that says this is to be told of the rollout: a flashed one, that has not heard of a newer one. */
function isNewFirmware(
  wanted: Rollout | undefined,
  said: GatewayReport['firmware'],
): wanted is Rollout & { readonly firmware: Firmware } {
  if (wanted?.firmware === undefined || said === undefined) return false;
  return wanted.number > (said.told?.rollout ?? 0) && wanted.firmware.version !== said.version;
}

/** Of several clouds one moves a rollout on: where it still stands as it was seen. */
async function moveOn(db: FleetDatabase, rollout: Rollout, nowMs: number, logger: Logger): Promise<boolean> {
  const { tenant, number, stage } = rollout;
  const next = nextOf(rollout, await membersOf(db, tenant), nowMs);
  if (next === undefined) return false;
  await db
    .updateTable('rollout')
    .set({ ...next, stage_since_ms: nowMs })
    .where('tenant', '=', tenant)
    .where('number', '=', number)
    .where('state', '=', 'running')
    .where('stage', '=', stage)
    .execute();
  const { state, detail } = next;
  const fields = { tenant, rollout: number, stage: next.stage, ...(detail && { detail }) };
  if (state === 'halted') logger.warn('a rollout is halted', fields);
  else logger.info(state === 'done' ? 'a rollout is done' : 'a rollout goes on', fields);
  return true;
}

async function membersOf(db: FleetDatabase, tenant: string): Promise<Member[]> {
  const rows = await gatewaysWithReports(db, tenant).where('gateway.revoked_ms', 'is', null).execute();
  return rows.map(({ id, site, group_name: group, seen_ms, report }) => ({
    ...{ id, site, group, seenMs: seen_ms === null ? undefined : Number(seen_ms) },
    said: report === null ? undefined : (JSON.parse(report) as GatewayReport),
  }));
}
