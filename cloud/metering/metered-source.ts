import { FirnError } from '../../lake/base/errors.ts';
import { SqlError } from '../../lake/sql/errors.ts';
import type { SqlSource } from '../../lake/sql/session.ts';
import type { Tables, TableView, UserTables } from '../../lake/tables.ts';
import type { TenantMeter } from './meter.ts';
import { configurationLimitExceeded } from './query-gate.ts';

/** The same tables; what is opened counts as scanned. */
export function meteredTables<Source extends Tables>(
  tables: Source,
  meter: Pick<TenantMeter, 'scanned'>,
): Source {
  return {
    ...tables,
    open: async (...asked) => {
      const view = await tables.open(...asked);
      meter.scanned(view.parts?.files.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0);
      return view;
    },
  };
}

/**
 * The same source for one SQL session, whose statement is a query of the tenant from its first table to its last: a
 * process of its own runs it, so nothing else is seen of it here. Beyond a limit the statement fails with SQLSTATE 53400.
 */
export function meteredSession(
  { tables, languages }: SqlSource,
  meter: Pick<TenantMeter, 'startQuery'>,
): SqlSource {
  let users = 0;
  let end: (() => void) | undefined;
  const enter = (): void => {
    if (users === 0) end = started(meter);
    users++;
  };
  const leave = (): void => {
    users--;
    if (users === 0) end?.();
  };
  const during = async <T>(work: () => Promise<T>): Promise<T> => {
    enter();
    try {
      return await work();
    } finally {
      leave();
    }
  };
  const untilClosed = async (opening: () => Promise<TableView>): Promise<TableView> => {
    enter();
    try {
      const view = await opening();
      return {
        ...view,
        [Symbol.asyncDispose]: async () => {
          leave();
          await view[Symbol.asyncDispose]();
        },
      };
    } catch (error) {
      leave();
      throw error;
    }
  };
  const { userTables } = tables;
  return {
    tables: {
      ...tables,
      open: (...asked) => untilClosed(() => tables.open(...asked)),
      userTables: userTables && {
        list: userTables.list,
        open: (...asked: Parameters<UserTables['open']>) => untilClosed(() => userTables.open(...asked)),
      },
    },
    ...(languages && { languages: { run: (...asked) => during(() => languages.run(...asked)) } }),
  };
}

function started(meter: Pick<TenantMeter, 'startQuery'>): () => void {
  try {
    return meter.startQuery();
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
    throw new SqlError(configurationLimitExceeded, error.message, { hint: error.hint, cause: error });
  }
}
