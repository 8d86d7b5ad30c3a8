import { z } from 'zod';
import { type TenantId, tenantId } from '../../lake/model/ids.ts';

// What a key may do. A key of a tenant reaches that tenant's data and no other's; an operator's key reaches no data, it
// administers tenants.

/** ingest: send data; read: query; admin: manage the tenant's keys. */
export const tenantScopes = ['ingest', 'read', 'admin'] as const;
export type TenantScope = (typeof tenantScopes)[number];
export type Scope = TenantScope | 'operator';

/** Signals that a key can be confined to; rollups and exemplars go with metrics. */
const keySignals = ['metrics', 'logs', 'spans', 'events'] as const;

/** Names and values of a label filter, and sites of a key. */
const restrictionItemsMax = 20;

/** Rows that a key sees: those of which everything that is given is true. */
export const restrictionSchema = z.strictObject({
  sites: z
    .array(z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'it is no site id'))
    .min(1)
    .max(restrictionItemsMax)
    .optional()
    .describe('Rows of these sites only'),
  signals: z.array(z.enum(keySignals)).min(1).optional().describe('Tables of these signals only'),
  labels: z
    .record(
      z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_]{0,127}$/, 'it is no label name'),
      z.string().min(1).max(1024),
    )
    .refine((labels) => Object.keys(labels).length > 0, 'it names no label')
    .refine((labels) => Object.keys(labels).length <= restrictionItemsMax, 'too many labels')
    .optional()
    .describe('Rows whose labels have these values only; tables without labels are empty'),
});
export type Restriction = z.infer<typeof restrictionSchema>;

/** What a request may do, by the key that it came with. */
export interface Access {
  readonly keyId: string;
  /** Undefined for an operator's key. */
  readonly tenant: TenantId | undefined;
  readonly scopes: ReadonlySet<Scope>;
  readonly restriction: Restriction | undefined;
}

/** Access to a tenant's data. */
export interface TenantAccess extends Access {
  readonly tenant: TenantId;
}

export const tenantOf = (text: string | null): TenantId | undefined =>
  text === null ? undefined : tenantId(text);
