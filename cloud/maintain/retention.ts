import { z } from 'zod';
import { hasCode } from '../../lake/base/errors.ts';
import { parseDocument } from '../../lake/model/document.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { tableNames } from '../../lake/model/table-name.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { maintainPrefix } from './lease.ts';
import { parseConditions } from './row-rules.ts';

// How long a tenant keeps what: one object, a rule each for a table, or for some of its series. Rules are about whole
// UTC days: a day goes when all of it is older than that.

const rule = z.strictObject({
  table: z.enum(tableNames),
  /** '' is all rows. */
  selector: z.string().default(''),
  keepDays: z.number().positive().max(1_000_000),
});
export type RetentionRule = z.infer<typeof rule>;

const rulesMax = 100;
const retentionJson = z.strictObject({ rules: z.array(rule).max(rulesMax) });

const retentionKey = (tenant: TenantId): string => `${maintainPrefix(tenant)}retention.json`;

/** Throws FirnError `invalid` that names the field, or says what is wrong with a selector. */
export function parseRetention(text: string, subject: string): readonly RetentionRule[] {
  const { rules } = parseDocument(retentionJson, text, 'retention', subject);
  for (const { selector } of rules) parseConditions(selector);
  return rules;
}

export async function readRetention(store: ObjectStore, tenant: TenantId): Promise<readonly RetentionRule[]> {
  const key = retentionKey(tenant);
  try {
    return parseRetention(Buffer.from((await store.get(key)).body).toString(), key);
  } catch (error) {
    if (hasCode(error, 'not-found')) return [];
    throw error;
  }
}

export async function writeRetention(
  store: ObjectStore,
  tenant: TenantId,
  rules: readonly RetentionRule[],
): Promise<void> {
  await store.put(retentionKey(tenant), Buffer.from(`${JSON.stringify({ rules }, null, 2)}\n`));
}

/** The last day, since the Unix epoch, that is to go altogether. */
export function lastExpiredDay({ keepDays }: RetentionRule, nowMs: number): number {
  return Math.floor((nowMs - keepDays * 86_400_000) / 86_400_000) - 1;
}
