import { systemClock } from '../../lake/base/clock.ts';
import { type CommandFlag, type CommandLine, jsonFlag } from '../../lake/base/command.ts';
import { FirnError, hasCode, messageOf } from '../../lake/base/errors.ts';
import { isRollupTable, tableNames } from '../../lake/model/table-name.ts';
import { openObjectStore } from '../../lake/object-store/open.ts';
import { checkTable, type Problem, type TableCheck } from '../catalog/check-table.ts';
import { openPlainTable, plainTableNames } from '../catalog/plain-table.ts';
import { headsOf } from '../catalog/rest/heads.ts';
import { type CatalogTable, type IcebergTable, openTable } from '../catalog/table.ts';
import type { CloudConfig } from '../config.ts';
import { marksOf } from '../ingest/marks.ts';
import { openTenantStore } from '../tenants/tenant-store.ts';

/** A table and what was found in it. */
export interface CheckedTable {
  /** `<tenant>.<table>` */
  readonly name: string;
  readonly table: CatalogTable;
  readonly check: TableCheck;
}

export const tableFlags: readonly CommandFlag[] = [
  { flag: '--tenant', value: 'NAME', description: 'Only this tenant' },
  { flag: '--table', value: 'NAME', description: 'Only this table' },
  jsonFlag,
];
export const checkFlags: readonly CommandFlag[] = [
  { flag: '--data', description: 'Read the end of each data file, too' },
];

/** Checks the tables that the flags ask for; `use` is called for each, while the store is open. */
export async function checkTables(
  config: CloudConfig,
  line: CommandLine,
  use: (checked: CheckedTable) => Promise<void> = async () => undefined,
): Promise<CheckedTable[]> {
  const { store, locationOf } = await openObjectStore(config.store);
  const headOf = headsOf(config.catalog, systemClock);
  try {
    const checked: CheckedTable[] = [];
    const chosen = await tenantsOf(config, line.value('--tenant'));
    for (const tenant of chosen) {
      const place = { store, tenant, locationOf, clock: systemClock, headOf };
      const plain = await Array.fromAsync(plainTableNames(store, tenant));
      const wanted = (name: string): boolean => [undefined, name].includes(line.value('--table'));
      const add = async (table: CatalogTable, check: TableCheck | undefined): Promise<void> => {
        if (!check) return;
        const each = { name: `${tenant}.${table.name}`, table, check };
        checked.push(each);
        await use(each);
      };
      const options = { data: line.isSet('--data') };
      for (const signal of tableNames.filter(wanted)) {
        const table = openTable({ ...place, signal });
        const check = await checkTable(table, options);
        await add(table, check && (await withMarks(table, check)));
      }
      for (const name of plain.filter(wanted)) {
        const table = openPlainTable({ ...place, name });
        await add(table, await checkTable(table, options));
      }
    }
    if (checked.length === 0) checkKnown(line.value('--table'));
    return checked;
  } finally {
    store.close();
  }
}

async function tenantsOf({ dataDir, tenantsDatabase }: CloudConfig, wanted: string | undefined) {
  await using keys = await openTenantStore({ directory: dataDir, database: tenantsDatabase });
  const tenants = keys.tenants();
  const chosen = tenants.filter((tenant) => wanted === undefined || tenant === wanted);
  if (chosen.length > 0) return chosen;
  throw new FirnError({
    code: 'invalid',
    operation: 'check tables',
    subject: dataDir,
    message: `there is no tenant ${wanted === undefined ? '' : `${wanted} `}in ${dataDir}`,
    hint: 'give the data folder of your cloud with --data-dir DIR (or --config FILE)',
  });
}

function checkKnown(wanted: string | undefined): void {
  if (wanted === undefined || (tableNames as readonly string[]).includes(wanted)) return;
  throw new FirnError({
    code: 'invalid',
    operation: 'check tables',
    subject: '--table',
    message: `there is no table ${wanted}; there are ${tableNames.join(', ')}, and tables that a tenant loaded`,
  });
}

/** High-water marks are the ingest's; it can't go on without them. */
async function withMarks(table: IcebergTable, check: TableCheck): Promise<TableCheck> {
  if (isRollupTable(table.schema.table)) return check;
  try {
    await marksOf(table, await table.load());
    return check;
  } catch (error) {
    if (!hasCode(error, 'corrupt')) return check;
    const known = check.problems.some(({ object }) => messageOf(error).includes(object));
    const hint = error.hint ?? 'restore them from a backup';
    const problem: Problem = {
      object: error.subject,
      what: messageOf(error),
      repair: { kind: 'none', hint },
    };
    return known ? check : { ...check, problems: [...check.problems, problem] };
  }
}
