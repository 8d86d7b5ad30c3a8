import { existsSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { type Clock, systemClock } from '../../lake/base/clock.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { createLogger, type Logger } from '../../lake/base/log.ts';
import { type AuditLog, openAuditLog } from './audit-log.ts';
import { type ChangeContext, openChanges } from './changes.ts';
import { openTenantDatabase, type TenantDatabase } from './database.ts';
import { type Directory, openDirectory } from './directory.ts';
import { type KeyAdministration, keyAdministration } from './key-administration.ts';
import { verifierSchema } from './stored-verifier.ts';
import { type TenantAdministration, tenantAdministration } from './tenant-administration.ts';

// Tenants and their API keys. Secrets are not stored: a hash for HTTP and a SCRAM verifier for the PostgreSQL protocol.

export interface TenantStore extends Directory, TenantAdministration, KeyAdministration, AuditLog {
  /** For what else is kept beside tenants and keys, with the same audit log. */
  readonly context: ChangeContext;
}

/**
 * Opens the store: `database` is a PostgreSQL URL, or empty for the file `tenants.db` in the folder. Takes over a
 * `tenants.json` of earlier versions once. A store that can't be read is an error, never an empty list.
 */
export async function openTenantStore(options: {
  readonly directory: string;
  readonly database?: string;
  readonly clock?: Clock;
  readonly logger?: Logger;
}): Promise<TenantStore> {
  const { directory, clock = systemClock, logger = createLogger('silent') } = options;
  const where = options.database || join(directory, 'tenants.db');
  await using stack = new AsyncDisposableStack();
  try {
    const db = await openTenantDatabase(where);
    stack.defer(() => db.destroy());
    await takeOver(db, join(directory, 'tenants.json'), clock);
    const known = stack.use(await openDirectory({ db, clock, logger }));
    const context = { db, clock, change: openChanges(db, clock, known.refresh) };
    const administered = {
      ...tenantAdministration(context),
      ...keyAdministration(context),
      ...openAuditLog(context),
    };
    const open = stack.move();
    return { ...known, ...administered, context, [Symbol.asyncDispose]: () => open.disposeAsync() };
  } catch (cause) {
    if (cause instanceof FirnError) throw cause;
    const what = options.database ? 'the database of tenants (--tenants-database)' : where;
    throw new FirnError({
      ...{ code: 'unavailable', operation: 'open tenants', subject: what, cause },
      message: `${what} can't be read: ${messageOf(cause).split('\n')[0]}`,
      hint: options.database
        ? 'see that it runs, and that the user may create tables'
        : 'restore it from a backup; the data of its tenants is not touched',
    });
  }
}

const keySchema = z.strictObject({ id: z.string(), secretSha256: z.string(), scram: verifierSchema });
const fileSchema = z.strictObject({
  format: z.literal(1),
  tenants: z.array(z.strictObject({ id: z.string(), keys: z.array(keySchema) })),
});

/** Keys of earlier versions could read, and manage nothing. */
async function takeOver(db: TenantDatabase, path: string, clock: Clock): Promise<void> {
  if (!existsSync(path)) return;
  const { tenants } = readFile(path);
  const created_ms = clock.nowMs();
  const keys = tenants.flatMap(({ id: tenant, keys }) =>
    keys.map(({ id, secretSha256, scram }) => ({
      ...{ id, tenant, description: 'taken over from tenants.json', secret_sha256: secretSha256 },
      ...{ scram: JSON.stringify(scram), scopes: '["read","ingest"]', restriction: null, created_ms },
      ...{ expires_ms: null, revoked_ms: null, last_used_ms: null },
    })),
  );
  await db.transaction().execute(async (tx) => {
    for (const { id } of tenants)
      await tx
        .insertInto('tenant')
        .values({ id, created_ms, suspended_ms: null })
        .onConflict((on) => on.doNothing())
        .execute();
    for (const key of keys)
      await tx
        .insertInto('api_key')
        .values(key)
        .onConflict((on) => on.doNothing())
        .execute();
    await tx
      .updateTable('change')
      .set((each) => ({ count: each('count', '+', 1) }))
      .execute();
  });
  renameSync(path, `${path}.taken-over`);
}

function readFile(path: string): z.infer<typeof fileSchema> {
  try {
    return fileSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    throw new FirnError({
      ...{ code: 'corrupt', operation: 'read tenants', subject: path, cause },
      message: `${path} can't be read: ${messageOf(cause).split('\n')[0]}`,
      hint: 'restore it from a backup; the data of its tenants is not touched',
    });
  }
}
