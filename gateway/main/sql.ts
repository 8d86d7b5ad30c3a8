import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from 'hono';
import { answerBySession, type HttpStatement } from '../../lake/api/sql/routes.ts';
import type { AuditLine } from '../../lake/audit/audit-line.ts';
import { withAuditTable } from '../../lake/audit/audit-table.ts';
import type { Clock } from '../../lake/base/clock.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { RemoteSession } from '../../lake/pgwire/relay.ts';
import type { SessionRequest } from '../../lake/pgwire/server.ts';
import type { ScramKey } from '../../lake/pgwire/startup.ts';
import type { Languages } from '../../lake/sql/languages.ts';
import type { SqlSession } from '../../lake/sql/sql-session.ts';
import { createSqlProcess } from '../../lake/sql-process/sql-process.ts';
import type { Tables } from '../../lake/tables.ts';
import type { GatewayConfig } from '../config.ts';
import { tablesInFiles } from '../tables/tables-in-files.ts';
import type { Storage } from './storage.ts';

/** Who answers SQL: a process of its own, or this one. */
interface GatewaySql {
  /** `seesAudit`: the table `audit` is there. */
  openSession(request: SessionRequest<ScramKey>, seesAudit: boolean): Promise<SqlSession | RemoteSession>;
  answer(c: Context, statement: HttpStatement, seesAudit: boolean): Promise<Response>;
}

interface SqlParts extends Pick<Storage, 'ids' | 'engine' | 'tables'> {
  readonly config: GatewayConfig;
  readonly languages: Languages;
  readonly audit: () => Promise<readonly AuditLine[]>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Where the newest rows are put for that process. */
export const sqlTailFolder = (dataDir: string): string => join(dataDir, 'spill', 'sql-tail');

export const openGatewaySql = (parts: SqlParts, stack: AsyncDisposableStack): GatewaySql =>
  parts.config.sql.process === 'own' ? inOwnProcess(parts, stack) : inThisProcess(parts);

function limitsOf({ query: { timeoutMs, rowsMax } }: GatewayConfig) {
  return { statementTimeoutMs: timeoutMs, rowsMax };
}

function inThisProcess(parts: SqlParts): GatewaySql {
  const { config, ids, engine, languages, clock } = parts;
  const open = async (
    user: string,
    startParameters: ReadonlyMap<string, string>,
    seesAudit: boolean,
  ): Promise<SqlSession> => {
    // Loaded by the first who asks: PostgreSQL's parser is large, and most gateways are never asked.
    const { openSqlSession } = await import('../../lake/sql/session.ts');
    return openSqlSession({
      ...{ engine, tables: tablesFor(parts, parts.tables, seesAudit) },
      ...{ languages, clock, user, startParameters },
      ...{ database: ids.tenant, limits: limitsOf(config) },
    });
  };
  return {
    openSession: ({ user, parameters }, seesAudit) => open(user, parameters, seesAudit),
    answer: (c, statement, seesAudit) =>
      answerBySession(() => open('firn', new Map(), seesAudit))(c, statement),
  };
}

const tablesFor = ({ audit }: SqlParts, tables: Tables, seesAudit: boolean): Tables =>
  seesAudit ? withAuditTable(tables, audit) : tables;

function inOwnProcess(parts: SqlParts, stack: AsyncDisposableStack): GatewaySql {
  const { config, ids, engine, tables, languages, logger } = parts;
  const { dataDir, logLevel } = config;
  const { memoryBytesMax, threads, spillBytesMax: bytesMax } = config.query;
  const directory = sqlTailFolder(dataDir);
  const inFiles = tablesInFiles({ tables, engine, directory });
  const sourceOf = (seesAudit: boolean) => ({ tables: tablesFor(parts, inFiles, seesAudit), languages });
  const spill = { directory: join(dataDir, 'spill', 'sql'), bytesMax };
  rmSync(spill.directory, { recursive: true, force: true });
  const sql = stack.use(
    createSqlProcess({
      engine: { directories: [join(dataDir, 'segments'), directory], memoryBytesMax, threads, spill },
      ...{ limits: limitsOf(config), logLevel, logger },
      // What saves memory here (cli/small-memory.ts) saves it there.
      nodeFlags: process.execArgv,
    }),
  );
  const database = ids.tenant;
  return {
    openSession: ({ user, parameters, processId, secret }, seesAudit) =>
      sql.session(sourceOf(seesAudit), {
        ...{ user, database, processId, secret: secret.toString('hex') },
        parameters: [...parameters],
      }),
    answer: (_, statement, seesAudit) =>
      sql.statement(sourceOf(seesAudit), { user: 'firn', database }, statement),
  };
}
