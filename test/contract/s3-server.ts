import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../harness/process.ts';
import { sharedFolder } from '../harness/programs.ts';

// A real S3 server (Ceph) for tests, where the workplace has the script that starts one. The script may install packages,
// so it runs only when FIRN_TEST_S3=1.

export interface S3Server extends AsyncDisposable {
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Runs Ceph's own `radosgw-admin`, for roles and the like. */
  admin(...args: string[]): Promise<void>;
}

const startMsMax = 120_000;
const scripts = join(sharedFolder ?? '', 's3');

/** Why there is no server, if so. */
export const s3Missing: string | undefined =
  process.env.FIRN_TEST_S3 !== '1'
    ? 'FIRN_TEST_S3 is not 1'
    : existsSync(join(scripts, 'start-s3'))
      ? undefined
      : 'there is no shared/s3/start-s3';

/** Starts an empty server on loopback. Dispose ends it and removes its data. */
export async function startS3(): Promise<S3Server> {
  const folder = mkdtempSync(join(tmpdir(), 'firn-ceph-'));
  const run = (script: string, ...args: string[]) =>
    promisify(execFile)(join(scripts, script), [join(folder, 'data'), ...args], { timeout: startMsMax });
  const stop = async () => {
    await run('stop-s3');
    rmSync(folder, { recursive: true });
  };
  try {
    const { stdout } = await run('start-s3', String(await freePort()));
    const said = /endpoint=(\S+) access_key=(\S+) secret_key=(\S+)/.exec(stdout);
    if (said === null) throw new Error(`start-s3 said: ${stdout}`);
    const [, endpoint = '', accessKey = '', secretKey = ''] = said;
    const admin = async (...args: string[]): Promise<void> => {
      const config = join(folder, 'data', 'ceph.conf');
      await promisify(execFile)('radosgw-admin', ['-c', config, ...args], { timeout: startMsMax });
    };
    return { endpoint, accessKey, secretKey, admin, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A role that the server's user may assume and that may do everything; its ARN. */
export async function makeRole({ admin }: S3Server, name: string): Promise<string> {
  const policy = (statement: object): string =>
    JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', ...statement }] });
  const trust = { Principal: { AWS: ['arn:aws:iam:::user/admin'] }, Action: ['sts:AssumeRole'] };
  const all = { Action: ['s3:*'], Resource: ['*'] };
  const role = `--role-name=${name}`;
  await admin('role', 'create', role, `--assume-role-policy-doc=${policy(trust)}`);
  await admin('role-policy', 'put', role, '--policy-name=all', `--policy-doc=${policy(all)}`);
  return `arn:aws:iam:::role/${name}`;
}
