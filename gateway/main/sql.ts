import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from 'hono';
import { answerBySession, type SqlRouteOptions } from '../../lake/api/sql/routes.ts';
import type { Clock } from '../../lake/base/clock.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { RemoteSession } from '../../lake/pgwire/relay.ts';
import type { SessionRequest } from '../../lake/pgwire/server.ts';
import type { ScramKey } from '../../lake/pgwire/startup.ts';
import type { Languages } from '../../lake/sql/languages.ts';
import type { SqlSession } from '../../lake/sql/sql-session.ts';
import { createSqlProcess } from '../../lake/sql-process/sql-process.ts';
import type { GatewayConfig } from '../config.ts';
import { tablesInFiles } from '../tables/tables-in-files.ts';
import type { Storage } from './storage.ts';

/** Who answers SQL: a process of its own, or this one. */
interface GatewaySql {
  openSession(request: SessionRequest<ScramKey>): Promise<SqlSession | RemoteSession>;
  readonly answer: SqlRouteOptions['answer'];
}

interface SqlParts extends Pick<Storage, 'ids' | 'engine' | 'tables'> {
  readonly config: GatewayConfig;
  readonly languages: Languages;
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

function inThisProcess({ config, ids, engine, tables, languages, clock }: SqlParts): GatewaySql {
  const open = async (user: string, startParameters: ReadonlyMap<string, string>): Promise<SqlSession> => {
    // Loaded by the first who asks: PostgreSQL's parser is large, and most gateways are never asked.
    const { openSqlSession } = await import('../../lake/sql/session.ts');
    return openSqlSession({
      ...{ engine, tables, languages, clock, user, startParameters },
      ...{ database: ids.tenant, limits: limitsOf(config) },
    });
  };
  return {
    openSession: ({ user, parameters }) => open(user, parameters),
    answer: answerBySession(() => open('firn', new Map())),
  };
}

function inOwnProcess(parts: SqlParts, stack: AsyncDisposableStack): GatewaySql {
  const { config, ids, engine, tables, languages, logger } = parts;
  const { dataDir, logLevel } = config;
  const { memoryBytesMax, threads, spillBytesMax: bytesMax } = config.query;
  const directory = sqlTailFolder(dataDir);
  const source = { tables: tablesInFiles({ tables, engine, directory }), languages };
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
    openSession: ({ user, parameters, processId, secret }) =>
      sql.session(source, {
        ...{ user, database, processId, secret: secret.toString('hex') },
        parameters: [...parameters],
      }),
    answer: (_: Context, statement) => sql.statement(source, { user: 'firn', database }, statement),
  };
}
