import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Firmware, GatewayReport } from '../../provisioning/contract.ts';

// Rollouts, as data and as functions of it. A rollout brings settings or firmware to the gateways that it selects, a part
// of them after the other. What a gateway should have follows from the rollouts of its tenant: of each kind, the newest
// that reaches it. So one that is halted takes its settings back from everybody, without anything to be done for it;
// firmware that is installed already stays.

export const selectorSchema = z.strictObject({
  sites: z.array(z.string()).min(1).max(1000).optional().describe('Gateways of these sites only'),
  groups: z.array(z.string()).min(1).max(100).optional().describe('Gateways of these groups only'),
  gateways: z.array(z.string()).min(1).max(1000).optional().describe('These gateways only'),
});

export const planSchema = z.strictObject({
  selector: selectorSchema,
  canaries: z.array(z.string()).max(100).describe('Gateways that get it first'),
  stages: z
    .array(z.number().int().min(1).max(100))
    .min(1)
    .max(20)
    .refine((stages) => stages.at(-1) === 100, 'the last stage is 100')
    .refine((stages) => stages.every((each, index) => each > (stages[index - 1] ?? 0)), 'stages grow')
    .describe('Share of the gateways that have it after each stage, in percent'),
  bakeSeconds: z
    .number()
    .int()
    .min(0)
    .max(30 * 86_400)
    .describe('How long each stage is watched before the next'),
  failurePercentMax: z
    .number()
    .min(0)
    .max(100)
    .describe(
      'Share of the gateways of a stage that may refuse it or roll it back; beyond it the rollout is halted',
    ),
});
export type RolloutPlan = z.infer<typeof planSchema>;

export interface Rollout {
  readonly tenant: string;
  /** Also the version of its settings; later ones are newer. */
  readonly number: number;
  /** Empty where it brings firmware. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly firmware: Firmware | undefined;
  readonly plan: RolloutPlan;
  readonly state: 'running' | 'halted' | 'done';
  /** -1: the canaries alone. */
  readonly stage: number;
  readonly stageSinceMs: number;
}

export interface Member {
  readonly id: string;
  readonly site: string;
  readonly group: string;
  readonly seenMs: number | undefined;
  /** What it says of the settings and of the firmware that it has. */
  readonly said: Pick<GatewayReport, 'config' | 'firmware'> | undefined;
}

export type RolloutKind = 'settings' | 'firmware';
const kindOf = ({ firmware }: Rollout): RolloutKind => (firmware === undefined ? 'settings' : 'firmware');

/** The rollout of this kind that a gateway should have; undefined: none. `rollouts` are its tenant's, in any order. */
export function desiredRollout(
  rollouts: readonly Rollout[],
  kind: RolloutKind,
  gateway: Pick<Member, 'id' | 'site' | 'group'>,
): Rollout | undefined {
  return rollouts
    .filter((rollout) => kindOf(rollout) === kind && rollout.state !== 'halted' && reaches(rollout, gateway))
    .toSorted((a, b) => b.number - a.number)[0];
}

/** What a gateway has done about a rollout, if it has told; the firmware it runs tells, too. */
function stateOf(rollout: Rollout, { said }: Member): string | undefined {
  if (rollout.firmware === undefined)
    return said?.config?.version === rollout.number ? said.config.state : undefined;
  // A version that runs may be on trial.
  if (said?.firmware?.told?.rollout === rollout.number) return said.firmware.told.state;
  return said?.firmware?.version === rollout.firmware.version ? 'applied' : undefined;
}

/** A gateway that was not seen for so long is not waited for. */
const awayMs = 10 * 60_000;

/** What becomes of a running rollout now; undefined: nothing yet. */
export function nextOf(
  rollout: Rollout,
  members: readonly Member[],
  nowMs: number,
): { readonly state: Rollout['state']; readonly stage: number; readonly detail: string } | undefined {
  const { plan, stage, stageSinceMs } = rollout;
  // Of one that has not come yet nobody knows whether it was flashed.
  const canTake = ({ said }: Member): boolean =>
    rollout.firmware === undefined || said === undefined || said.firmware !== undefined;
  const reached = members.filter((member) => canTake(member) && reaches(rollout, member));
  const saying = (states: readonly string[]): Member[] =>
    reached.filter((member) => states.includes(stateOf(rollout, member) ?? ''));
  const failed = saying(['refused', 'rolled-back']);
  if (failed.length > 0 && (failed.length * 100) / reached.length > plan.failurePercentMax) {
    const names = failed.slice(0, 5).map(({ id }) => id);
    return {
      state: 'halted',
      stage,
      detail: `${failed.length} of ${reached.length} gateways refused it or rolled it back: ${names.join(', ')}`,
    };
  }
  const here = reached.filter(({ seenMs }) => seenMs !== undefined && nowMs - seenMs < awayMs);
  const applied = saying(['applied']);
  const isSettled = here.every((member) => applied.includes(member) || failed.includes(member));
  // Where nobody is that could have tried it, nothing is known of it.
  const isTried = applied.length > 0 || reached.length === 0;
  if (!isSettled || !isTried || nowMs - stageSinceMs < plan.bakeSeconds * 1000) return undefined;
  const isLast = stage === plan.stages.length - 1;
  return isLast ? { state: 'done', stage, detail: '' } : { state: 'running', stage: stage + 1, detail: '' };
}

function reaches(
  { tenant, number, plan, stage }: Rollout,
  { id, site, group }: Pick<Member, 'id' | 'site' | 'group'>,
): boolean {
  const { sites, groups, gateways } = plan.selector;
  const isSelected =
    (sites?.includes(site) ?? true) && (groups?.includes(group) ?? true) && (gateways?.includes(id) ?? true);
  if (!isSelected) return false;
  return plan.canaries.includes(id) || placeOf(`${tenant}/${number}/${id}`) < (plan.stages[stage] ?? 0);
}

/** 0 up to 100, by chance and for good: another order in each rollout. */
function placeOf(text: string): number {
  return (createHash('sha256').update(text).digest().readUInt32BE(0) / 2 ** 32) * 100;
}
