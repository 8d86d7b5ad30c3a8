import { expect, test } from 'vitest';
import { createLogger } from '../base/log.ts';
import { createByteWriter } from '../sql/cells/byte-writer.ts';
import { createFrameReader, type Frame, type FrontendMessage } from './codec.ts';
import { createFakeSession, type FakeRow, type FakeSession } from './fake-session.ts';
import { createRawWriter, printMessages } from './raw-client.ts';
import { createPgSession, type PgSession, type SessionLimits } from './session.ts';

// Conversations as scripts: what is sent, and each message of the answer.

interface Talk {
  readonly sql: FakeSession;
  readonly session: PgSession;
  readonly logged: string[];
  /** Sends messages; returns what was flushed, in order. */
  say(...messages: readonly FrontendMessage[]): Promise<string[]>;
}

function talk(
  options: {
    readonly unstarted?: true;
    readonly rows?: Readonly<Record<string, FakeRow>>;
    readonly limits?: Partial<SessionLimits>;
  } = {},
): Talk {
  const sql = createFakeSession(options.rows);
  const writer = createByteWriter();
  const logged: string[] = [];
  let sent = Buffer.alloc(0);
  const output = {
    writer,
    flush: async (): Promise<void> => {
      sent = Buffer.concat([sent, writer.take()]);
    },
  };
  const logger = createLogger('error', (line) => logged.push(line));
  let reader = createFrameReader(1 << 20);
  let peeked: Frame | undefined;
  const next = (): Frame | undefined => {
    const frame = peeked ?? reader.next('session');
    peeked = undefined;
    return frame;
  };
  const peek = async (): Promise<Frame | undefined> => {
    peeked ??= reader.next('session');
    return peeked;
  };
  const input = { next: async () => next(), peek };
  const session = createPgSession({
    ...{ sql, input, output, logger },
    ...(options.limits && { limits: options.limits }),
  });
  let started = options.unstarted;
  const say = async (...messages: readonly FrontendMessage[]): Promise<string[]> => {
    if (!started) {
      started = true;
      await session.start(() => undefined);
      sent = Buffer.alloc(0);
    }
    const raw = createRawWriter();
    for (const message of messages) raw.message(message);
    reader = createFrameReader(1 << 20);
    reader.push(raw.take());
    for (let frame = next(); frame; frame = next()) await session.handle(frame);
    const lines = printMessages(sent);
    sent = Buffer.alloc(0);
    return lines;
  };
  return { sql, session, logged, say };
}

const query = (text: string): FrontendMessage => ({ kind: 'query', text });
const parse = (text: string, name = '', ...parameterOids: number[]): FrontendMessage => ({
  kind: 'parse',
  name,
  text,
  parameterOids,
});
interface BindOptions {
  readonly portal?: string;
  readonly statement?: string;
  readonly values?: readonly (string | Buffer | null)[];
  readonly parameterFormats?: readonly number[];
  readonly resultFormats?: readonly number[];
}
const bind = (options: BindOptions = {}): FrontendMessage => ({
  kind: 'bind',
  portal: options.portal ?? '',
  statement: options.statement ?? '',
  parameterFormats: options.parameterFormats ?? [],
  parameters: (options.values ?? []).map((value) => (typeof value === 'string' ? Buffer.from(value) : value)),
  resultFormats: options.resultFormats ?? [],
});
const execute = (rowsMax = 0, portal = ''): FrontendMessage => ({ kind: 'execute', portal, rowsMax });
const describe = (object: 'statement' | 'portal', name = ''): FrontendMessage => ({
  kind: 'describe',
  object,
  name,
});
const close = (object: 'statement' | 'portal', name = ''): FrontendMessage => ({
  kind: 'close',
  object,
  name,
});
const sync: FrontendMessage = { kind: 'sync' };
const flush: FrontendMessage = { kind: 'flush' };

const columns = 'T n:20|word:25';
const rows = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, n) => `D ${from + n}|w${from + n}`);
const aborted = 'E 25P02 current transaction is aborted, commands ignored until end of transaction block';

test('start: parameters, the key, ready', async () => {
  const { session, say } = talk({ unstarted: true });
  let keyed = false;
  await session.start(() => {
    keyed = true;
  });
  expect(await say()).toEqual([
    'S server_version=16.4',
    'S client_encoding=UTF8',
    'S DateStyle=ISO, MDY',
    'S TimeZone=UTC',
    'S standard_conforming_strings=on',
    'S application_name=',
    'Z I',
  ]);
  expect(keyed).toBe(true);
});

test.each<[string, string, string[]]>([
  ['rows', 'select 3', [columns, ...rows(0, 3), 'C SELECT 3', 'Z I']],
  ['no rows', 'select 0', [columns, 'C SELECT 0', 'Z I']],
  ['nothing', '', ['I', 'Z I']],
  ['only a comment', ' -- x', ['I', 'Z I']],
  [
    'several',
    'select 1;insert;select 0',
    [columns, 'D 0|w0', 'C SELECT 1', 'C INSERT', columns, 'C SELECT 0', 'Z I'],
  ],
  ['an error ends them', 'insert;fail;select 1', ['C INSERT', 'E 22012 division by zero H=Do not.', 'Z I']],
  [
    'nothing runs when one is malformed',
    'insert;syntax',
    ['E 42601 syntax error at or near "syntax" P=1', 'Z I'],
  ],
  ['a block', 'begin;select 0', ['C BEGIN', columns, 'C SELECT 0', 'Z T']],
  ['a block that ends', 'begin;commit', ['C BEGIN', 'C COMMIT', 'Z I']],
  ['a block that fails', 'begin;fail', ['C BEGIN', 'E 22012 division by zero H=Do not.', 'Z E']],
  [
    'begin twice',
    'begin;begin',
    ['C BEGIN', 'N WARNING 25001 there is already a transaction in progress', 'C BEGIN', 'Z T'],
  ],
  ['commit of nothing', 'commit', ['N WARNING 25P01 there is no transaction in progress', 'C COMMIT', 'Z I']],
  [
    'rollback to nothing',
    'rollback to s',
    ['E 25P01 ROLLBACK TO SAVEPOINT can only be used in transaction blocks', 'Z I'],
  ],
])('simple query: %s', async (_, text, answer) => {
  expect(await talk().say(query(text))).toEqual(answer);
});

test.each<[string, FrontendMessage[], string[]]>([
  ['one statement', [query('insert')], ['insert']],
  ['a text', [query('insert;update')], ['transaction begin', 'insert', 'update', 'transaction commit']],
  [
    'a text that fails',
    [query('insert;fail;update'), query('insert')],
    ['transaction begin', 'insert', 'fail', 'transaction rollback', 'insert'],
  ],
  [
    'a block in a text takes in what was before it, and what follows it is another',
    [query('insert;begin;update;commit;delete')],
    [
      ...['transaction begin', 'insert', 'begin', 'update', 'commit', 'transaction commit'],
      ...['transaction begin', 'delete', 'transaction commit'],
    ],
  ],
  ['a command and Sync', [parse('insert'), bind(), execute(), sync], ['insert']],
  [
    'several up to Sync',
    [parse('insert'), bind(), execute(), parse('update'), bind(), execute(), sync],
    ['transaction begin', 'insert', 'update', 'transaction commit'],
  ],
  [
    'several up to Sync of which one is malformed',
    [parse('insert'), bind(), execute(), flush, parse('syntax'), sync],
    ['transaction begin', 'insert', 'transaction rollback'],
  ],
])('transactions without a block: %s', async (_, messages, events) => {
  const { say, sql } = talk();
  await say(...messages);
  expect(sql.events.filter((event) => !event.startsWith('closed'))).toEqual(events);
});

test('a savepoint needs a block that was begun', async () => {
  expect(await talk().say(query('insert;savepoint a'))).toEqual([
    'C INSERT',
    'E 25P01 SAVEPOINT can only be used in transaction blocks',
    'Z I',
  ]);
});

test('a failed transaction accepts only its end', async () => {
  const { say } = talk();
  await say(query('begin;fail'));
  expect(await say(query('select 1'))).toEqual([aborted, 'Z E']);
  expect(await say(parse('select 1'), sync)).toEqual([aborted, 'Z E']);
  expect(await say(query('commit'))).toEqual(['C ROLLBACK', 'Z I']);
  await say(query('begin;savepoint s;savepoint t;fail'));
  expect(await say(query('rollback to u'))).toEqual(['E 3B001 savepoint "u" does not exist', 'Z E']);
  expect(await say(query('rollback to s'))).toEqual(['C ROLLBACK', 'Z T']);
  expect(await say(query('release t'))).toEqual(['E 3B001 savepoint "t" does not exist', 'Z E']);
  await say(query('fail'));
  expect(await say(parse('rollback'), bind(), execute(), sync)).toEqual(['1', '2', 'C ROLLBACK', 'Z I']);
});

test('a changed parameter is told before the session is ready', async () => {
  const { say } = talk();
  expect(await say(query('set application_name psql'))).toEqual(['C SET', 'S application_name=psql', 'Z I']);
  expect(await say(query('set application_name psql'))).toEqual(['C SET', 'Z I']);
});

test('an error that is no SqlError is internal, and logged', async () => {
  const { say, logged } = talk();
  expect(await say(query('bug'))).toEqual(['E XX000 not a function', 'Z I']);
  expect(logged).toHaveLength(1);
});

test('extended query: described before it runs, then run', async () => {
  const { say, sql } = talk();
  expect(await say(parse('echo $1 $2', 's', 23), describe('statement', 's'), sync)).toEqual([
    '1',
    't 23 25',
    'T $1:25|$2:25',
    'Z I',
  ]);
  expect(sql.events).toEqual(['declared INTEGER']);
  const values = [Buffer.from('0000002a', 'hex'), 'b'];
  expect(
    await say(
      bind({ statement: 's', values, parameterFormats: [1, 0] }),
      describe('portal'),
      execute(),
      sync,
    ),
  ).toEqual(['2', 'T $1:25|$2:25', 'D 42|b', 'C SELECT 1', 'Z I']);
  expect(await say(bind({ statement: 's', values: ['1', null] }), execute(), sync)).toEqual([
    '2',
    'D 1|NULL',
    'C SELECT 1',
    'Z I',
  ]);
});

test('results in binary format, for all columns or each', async () => {
  const { say } = talk({
    rows: {
      types: {
        columns: [
          { name: 'a', type: 'INTEGER' },
          { name: 'b', type: 'VARCHAR' },
        ],
        values: [0x61626364, 'x'],
      },
    },
  });
  const answer = (resultFormats: number[]): Promise<string[]> =>
    say(parse('types'), bind({ resultFormats }), describe('portal'), execute(), sync);
  expect((await answer([1])).slice(2, 4)).toEqual(['T a:23:binary|b:25:binary', 'D abcd|x']);
  expect((await answer([0, 1])).slice(2, 4)).toEqual(['T a:23|b:25:binary', 'D 1633837924|x']);
  expect((await answer([1, 1, 1])).slice(2)).toEqual([
    'E 08P01 bind message has 3 result formats but query has 2 columns',
    'Z I',
  ]);
  expect((await answer([2]))[2]).toBe('E 22023 unsupported format code: 2');
});

test('a row limit suspends the portal; it goes on where it stopped and runs once', async () => {
  const { say, sql } = talk();
  await say(query('begin'));
  expect(await say(parse('select 5'), bind({ portal: 'p' }), execute(2, 'p'), sync)).toEqual([
    '1',
    '2',
    ...rows(0, 2),
    's',
    'Z T',
  ]);
  // Other statements run in between.
  expect(await say(query('select 1'))).toEqual([columns, 'D 0|w0', 'C SELECT 1', 'Z T']);
  expect(await say(execute(3, 'p'), sync)).toEqual([...rows(2, 5), 's', 'Z T']);
  expect(await say(execute(3, 'p'), sync)).toEqual(['C SELECT 0', 'Z T']);
  expect(await say(execute(0, 'p'), sync)).toEqual(['C SELECT 0', 'Z T']);
  expect(sql.events.filter((event) => event === 'select 5')).toHaveLength(1);
  expect(await say(query('commit'), execute(0, 'p'), sync)).toEqual([
    'C COMMIT',
    'Z I',
    'E 34000 portal "p" does not exist',
    'Z I',
  ]);
});

test.each<[string, FrontendMessage[]]>([
  ['Sync outside of a block', [sync]],
  ['Close', [close('portal', 'p'), flush]],
  ['an error', [execute(0, 'none'), sync]],
])('%s closes a suspended portal and its result', async (_, messages) => {
  const { say, sql } = talk();
  await say(parse('select 5'), bind({ portal: 'p' }), execute(1, 'p'), flush);
  expect(sql.events).not.toContain('closed select 5');
  await say(...messages);
  expect(sql.events).toContain('closed select 5');
});

test('after an error everything up to Sync is discarded', async () => {
  const { say, sql } = talk();
  const answer = await say(
    parse('fail'),
    bind(),
    execute(),
    parse('insert'),
    query('insert'),
    flush,
    sync,
    query('insert'),
  );
  expect(answer).toEqual(['1', '2', 'E 22012 division by zero H=Do not.', 'Z I', 'C INSERT', 'Z I']);
  expect(sql.events).toEqual([
    'transaction begin',
    'fail',
    'transaction rollback',
    'insert',
    'closed insert',
  ]);
});

test.each<[string, FrontendMessage[], string]>([
  [
    'two commands',
    [parse('insert;insert')],
    '42601 cannot insert multiple commands into a prepared statement',
  ],
  ['no such statement', [bind({ statement: 'x' })], '26000 prepared statement "x" does not exist'],
  ['no unnamed statement', [describe('statement')], '26000 unnamed prepared statement does not exist'],
  ['no such portal', [describe('portal', 'x')], '34000 portal "x" does not exist'],
  [
    'a name that is taken',
    [parse('insert', 'x'), parse('insert', 'x')],
    '42P05 prepared statement "x" already exists',
  ],
  [
    'a portal that is open',
    [parse('insert'), bind({ portal: 'x' }), bind({ portal: 'x' })],
    '42P03 cursor "x" already exists',
  ],
  [
    'too few parameters',
    [parse('echo $1 $2'), bind({ values: ['a'] })],
    '08P01 bind message supplies 1 parameters, but prepared statement "" requires 2',
  ],
  [
    'formats that do not match',
    [parse('echo $1'), bind({ values: ['a'], parameterFormats: [0, 0] })],
    '08P01 bind message has 2 parameter formats but 1 parameters',
  ],
  [
    'a malformed binary parameter',
    [parse('echo $1', '', 23), bind({ values: ['a'], parameterFormats: [1] })],
    '22P03 incorrect binary data format in bind parameter 1',
  ],
  [
    'a binary parameter of an unknown type',
    [parse('echo $1', '', 600), bind({ values: ['a'], parameterFormats: [1] })],
    '0A000 parameter 1: type 600 in binary format is not supported H=Send it in text format.',
  ],
  [
    'a command run again',
    [parse('insert'), bind(), execute(), execute()],
    '55000 a portal that has run cannot be run again',
  ],
  [
    'a function call',
    [{ kind: 'function-call' }],
    '0A000 calling a function by its object id is not supported',
  ],
])('extended query: %s', async (_, messages, error) => {
  const answer = await talk().say(...messages, ...(messages[0]?.kind === 'function-call' ? [] : [sync]));
  expect(answer.slice(-2)).toEqual([`E ${error}`, 'Z I']);
});

test('an empty query, a command without rows, closing what there is not', async () => {
  const { say } = talk();
  expect(await say(parse(''), bind(), describe('portal'), execute(), sync)).toEqual([
    '1',
    '2',
    'n',
    'I',
    'Z I',
  ]);
  expect(
    await say(parse('insert'), describe('statement'), bind(), execute(), close('statement', 'x'), sync),
  ).toEqual(['1', 't', 'n', '2', 'C INSERT', '3', 'Z I']);
  expect(await say({ kind: 'copy' }, query('insert'))).toEqual(['C INSERT', 'Z I']);
});

test('a cursor of the SQL session is described as a portal', async () => {
  const { say } = talk();
  expect(await say(describe('portal', 'cursor'), sync)).toEqual([columns, 'Z I']);
  expect(await say(describe('portal', 'other'), sync)).toEqual([
    'E 34000 portal "other" does not exist',
    'Z I',
  ]);
});

test('DEALLOCATE forgets prepared statements', async () => {
  const { say } = talk();
  await say(parse('insert', 'a'), parse('insert', 'b'), sync);
  expect(await say(query('deallocate a'), query('deallocate a'))).toEqual([
    'C DEALLOCATE',
    'Z I',
    'E 26000 prepared statement "a" does not exist',
    'Z I',
  ]);
  expect((await say(parse('insert', 'a'), sync))[0]).toBe('1');
  await say(query('deallocate all'));
  expect((await say(bind({ statement: 'b' }), sync))[0]).toMatch(/^E 26000/);
});

test('limits: prepared statements and portals', async () => {
  const { say } = talk({ limits: { preparedStatementsMax: 1, portalsMax: 1 } });
  expect((await say(parse('insert', 'a'), parse('insert', 'b'), sync))[1]).toMatch(
    /^E 53400 a session may have 1 prep/,
  );
  await say(query('begin'));
  const answer = await say(
    bind({ statement: 'a', portal: 'p' }),
    bind({ statement: 'a', portal: 'q' }),
    sync,
  );
  expect(answer).toEqual(['2', expect.stringMatching(/^E 53400 a session may have 1 portals/), 'Z E']);
});

test('cancel stops what runs, and nothing else', async () => {
  const { say, session } = talk();
  session.cancel();
  const running = say(query('wait;insert'));
  await new Promise((resolve) => setTimeout(resolve, 10));
  session.cancel();
  expect(await running).toEqual(['E 57014 canceling statement due to user request', 'Z I']);
  session.cancel();
  expect(await say(query('insert'))).toEqual(['C INSERT', 'Z I']);
});

test('a suspended portal can be cancelled when it is resumed, not while it rests', async () => {
  const { say, session } = talk();
  await say(query('begin'), parse('select 100000'), bind({ portal: 'p' }), execute(1, 'p'), sync);
  session.cancel();
  expect(await say(execute(1, 'p'), sync)).toEqual(['D 1|w1', 's', 'Z T']);
  const running = say(execute(0, 'p'), sync);
  await new Promise((resolve) => setTimeout(resolve, 20));
  session.cancel();
  expect((await running).slice(-2)).toEqual(['E 57014 canceling statement due to user request', 'Z E']);
});

test('disposing closes results and the SQL session', async () => {
  const { say, session, sql } = talk();
  await say(parse('select 5'), bind(), execute(1), flush);
  await session[Symbol.asyncDispose]();
  expect(sql.events).toEqual(['transaction begin', 'select 5', 'closed select 5', 'disposed']);
});
