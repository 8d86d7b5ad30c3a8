import { afterAll, beforeAll } from 'vitest';
import { type Part, startPart, temporaryFolder } from './firn.ts';

/** A gateway that all tests of a file use, with a folder of its own. Valid in tests, not while they are collected. */
export interface SharedGateway {
  /** Of its HTTP interface. */
  readonly url: string;
  /** The port of this name in what the gateway said when it was ready. */
  port(name: string): number;
}

export function shareGateway(...argv: readonly string[]): SharedGateway {
  let folder: ReturnType<typeof temporaryFolder> | undefined;
  let gateway: Part | undefined;
  beforeAll(async () => {
    folder = temporaryFolder();
    gateway = await startPart('gateway', ['--data-dir', folder.path, '--log-level', 'warn', ...argv]);
  });
  afterAll(async () => {
    await gateway?.[Symbol.asyncDispose]();
    folder?.[Symbol.dispose]();
  });
  const port = (name: string): number => gateway?.port(name) ?? 0;
  return {
    port,
    get url() {
      return `http://127.0.0.1:${port('gatewayHttp')}`;
    },
  };
}
