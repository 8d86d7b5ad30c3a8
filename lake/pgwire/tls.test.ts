import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Authority, createAuthority, hasOpenssl } from '../../test/harness/certificates.ts';
import { findProgram } from '../../test/harness/programs.ts';
import { createLogger } from '../base/log.ts';
import { pgTls } from './encryption.ts';
import { createFakeSession } from './fake-session.ts';
import { createRawWriter } from './raw-client.ts';
import { makeScramVerifier } from './scram.ts';
import { type PgServer, startPgServer } from './server.ts';

const sslRequest = Buffer.from('0000000804d2162f', 'hex');
const psql = findProgram('psql');

let authority: Authority;
let server: PgServer;
let files: { readonly certFile: string; readonly keyFile: string };

beforeAll(async () => {
  if (!hasOpenssl) return;
  authority = createAuthority();
  files = authority.sign('server', 'localhost', 'IP:127.0.0.1,DNS:localhost');
  const logger = createLogger('silent');
  const key = { verifier: makeScramVerifier('pencil') };
  server = await startPgServer({
    ...{ host: '127.0.0.1', port: 0, logger, ...pgTls({ ...files, requireTls: true }, logger) },
    authenticate: { kind: 'scram', keyOf: (user) => (user === 'ann' ? key : undefined) },
    openSession: async () => createFakeSession(),
  });
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  authority?.[Symbol.dispose]();
});

const client = (ssl: object | false): Client =>
  new Client({ host: '127.0.0.1', port: server.port, user: 'ann', password: 'pencil', ssl });
const ca = (): string => readFileSync(authority.caFile, 'utf8');

test.skipIf(!hasOpenssl)(
  'a client that asks for TLS gets it, verified; one that does not is refused',
  async () => {
    const secure = client({ ca: ca() });
    await secure.connect();
    expect((await secure.query('select 3')).rows).toHaveLength(3);
    await secure.end();
    const plain = client(false);
    await expect(plain.connect()).rejects.toMatchObject({ code: '28000' });
  },
);

test.skipIf(!hasOpenssl || !psql)('psql binds SCRAM to the certificate', async () => {
  const run = (binding: string): Promise<{ readonly stdout: string }> =>
    promisify(execFile)(psql ?? '', ['-XAtc', 'select 1'], {
      env: {
        ...{ PATH: process.env.PATH, PGHOST: 'localhost', PGPORT: String(server.port), PGUSER: 'ann' },
        ...{ PGPASSWORD: 'pencil', PGSSLMODE: 'verify-full', PGSSLROOTCERT: authority.caFile },
        PGCHANNELBINDING: binding,
      },
    });
  for (const binding of ['require', 'disable']) expect((await run(binding)).stdout).toBe('0|w0\n');
});

test.skipIf(!hasOpenssl)(
  'inside TLS a client may be asked for the password itself, and only there',
  async () => {
    const logger = createLogger('silent');
    const key = { verifier: makeScramVerifier('pencil') };
    await using plain = await startPgServer({
      ...{ host: '127.0.0.1', port: 0, logger, ...pgTls({ ...files, requireTls: false }, logger) },
      authenticate: { kind: 'scram', keyOf: (user) => (user === 'ann' ? key : undefined), plainInTls: true },
      openSession: async () => createFakeSession(),
    });
    const asked = async (user: string, password: string, ssl: object | false): Promise<string[]> => {
      const messages: string[] = [];
      const session = new Client({ host: '127.0.0.1', port: plain.port, user, password, ssl });
      const { connection } = session as unknown as { connection: NodeJS.EventEmitter };
      for (const name of ['authenticationCleartextPassword', 'authenticationSASL'])
        connection.on(name, () => messages.push(name));
      await session.connect().then(
        () => session.end(),
        (error: { code?: string }) => messages.push(String(error.code)),
      );
      return messages;
    };
    const tls = { ca: ca() };
    expect(await asked('ann', 'pencil', tls)).toEqual(['authenticationCleartextPassword']);
    expect(await asked('ann', 'wrong', tls)).toEqual(['authenticationCleartextPassword', '28P01']);
    expect(await asked('bob', 'pencil', tls)).toEqual(['authenticationCleartextPassword', '28P01']);
    expect(await asked('ann', 'pencil', false)).toEqual(['authenticationSASL']);
  },
);

test.skipIf(!hasOpenssl)('TLS may begin at once, if it says what for', async () => {
  const direct = connectTls({
    host: '127.0.0.1',
    port: server.port,
    ca: ca(),
    ALPNProtocols: ['postgresql'],
  });
  await once(direct, 'secureConnect');
  const write = createRawWriter();
  write.startup({ user: 'ann' });
  direct.write(write.take());
  const [answer] = (await once(direct, 'data')) as [Buffer];
  expect(answer.toString('latin1')).toContain('SCRAM-SHA-256-PLUS');
  direct.destroy();
  const nameless = connectTls({ host: '127.0.0.1', port: server.port, ca: ca() });
  let answered = false;
  nameless.on('data', () => {
    answered = true;
  });
  nameless.on('error', () => undefined);
  write.startup({ user: 'ann' });
  nameless.write(write.take());
  await once(nameless, 'close');
  expect(answered).toBe(false);
});

test.skipIf(!hasOpenssl)(
  'what was sent in the clear after the request is not taken for encrypted',
  async () => {
    const socket = connect({ host: '127.0.0.1', port: server.port });
    const write = createRawWriter();
    write.startup({ user: 'ann' });
    socket.write(Buffer.concat([sslRequest, write.take()]));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString('utf8')).toContain('received unencrypted data after SSL request');
    await once(socket, 'close');
  },
);

test.skipIf(!hasOpenssl)('a certificate that changes is the next connection’s', async () => {
  const other = authority.sign('other', 'renewed', 'IP:127.0.0.1');
  copyFileSync(other.keyFile, files.keyFile);
  copyFileSync(other.certFile, files.certFile);
  const secure = connectTls({
    host: '127.0.0.1',
    port: server.port,
    ca: ca(),
    ALPNProtocols: ['postgresql'],
  });
  await once(secure, 'secureConnect');
  expect(secure.getPeerCertificate().subject.CN).toBe('renewed');
  secure.destroy();
});
