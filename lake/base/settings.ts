import { isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import { logLevels } from './log.ts';

// Settings that the gateway and the cloud have in common, so that they are named and explained alike.

export const MEBIBYTE = 1024 * 1024;

export const port = (fallback: number, description: string) =>
  z.number().int().min(0).max(65535).default(fallback).describe(`${description}; 0 takes a free port`);

/** A whole number of at least 1. */
export const count = (fallback: number, description: string) =>
  z.number().int().positive().default(fallback).describe(description);

/** A whole number, 0 too: what that means is for its description to say. */
export const countOrNone = (fallback: number, description: string) =>
  z.number().int().nonnegative().default(fallback).describe(description);

/** A whole number; 0, the default, is no limit. */
export const limit = (description: string) =>
  z.number().int().nonnegative().default(0).describe(`${description}; 0: no limit`);

export const logLevelSetting = z.enum(logLevels).default('info').describe('Least level that is logged');

export const listenSettings = (openDescription: string) => ({
  host: z.string().min(1).default('127.0.0.1').describe('Address that every listener binds'),
  open: z.boolean().default(false).describe(openDescription),
});

/** Of a process whose settings have to say that others may reach it. */
export const checkedListenSettings = (openDescription: string) =>
  z
    .strictObject(listenSettings(openDescription))
    .superRefine((listen, context) => {
      if (isLoopback(listen.host) || listen.open) return;
      context.addIssue({
        code: 'custom',
        path: ['host'],
        message: `${listen.host} can be reached by others; bind loopback, or set listen.open to true on a network you trust`,
      });
    })
    .prefault({});

export const querySettings = (memoryMebibytes: number, cacheMebibytes: number, resultsMebibytes: number) =>
  z
    .strictObject({
      memoryBytesMax: count(memoryMebibytes * MEBIBYTE, 'Memory for queries, per tenant'),
      threads: count(2, 'Threads for queries, per tenant'),
      spillBytesMax: count(
        4 * memoryMebibytes * MEBIBYTE,
        'Disk for queries whose memory is short, per tenant',
      ),
      cacheBytesMax: count(
        cacheMebibytes * MEBIBYTE,
        'Memory for what PromQL remembers of files: series and samples, of all tenants',
      ),
      resultCacheBytesMax: z
        .number()
        .int()
        .nonnegative()
        .default(resultsMebibytes * MEBIBYTE)
        .describe('Memory for answers of PromQL range queries, of all tenants; 0: none are remembered'),
      timeoutMs: count(120_000, 'Longest query'),
      rowsMax: limit('Rows of one SQL result'),
      samplesMax: count(50_000_000, 'Samples that one PromQL query may load'),
    })
    .prefault({});

/** What one LogQL query may use besides `query.timeoutMs` and `query.samplesMax`. */
export const logqlSettings = (pagesMebibytes: number, threads: number) =>
  z
    .strictObject({
      threads: count(threads, 'Threads that answer LogQL'),
      cacheBytesMax: count(
        pagesMebibytes * MEBIBYTE,
        'Memory for unpacked lines and what else LogQL remembers of files, of all tenants',
      ),
      entriesMax: count(5000, 'Lines of one LogQL answer'),
      seriesMax: count(500_000, 'Series that one LogQL query may have, or streams'),
      bytesMax: count(64 * 1024 * MEBIBYTE, 'Bytes of lines that one LogQL query may read'),
    })
    .prefault({});

/** How often somebody may fail to prove who they are. */
export const loginSettings = z
  .strictObject({
    failuresPerNameMax: z
      .number()
      .int()
      .nonnegative()
      .default(10)
      .describe(
        'Failed logins with one name in a window, beyond which nobody is asked for a proof; 0: no limit',
      ),
    failuresPerAddressMax: z
      .number()
      .int()
      .nonnegative()
      .default(50)
      .describe('Failed logins from one address in a window, the same; 0: no limit'),
    windowSeconds: count(60, 'Length of that window'),
  })
  .prefault({});

export const pgwireSettings = (defaultPort: number, connections: number) => ({
  port: port(defaultPort, 'PostgreSQL protocol'),
  connectionsMax: count(connections, 'SQL clients at once'),
  certFile: z
    .string()
    .default('')
    .describe('Certificate chain for SQL clients, PEM; read again when it changes; empty: no TLS'),
  keyFile: z.string().default('').describe('Private key of certFile, PEM'),
  requireTls: z.boolean().default(false).describe('Refuse SQL clients that do not use TLS'),
});

/** What these settings have to be together, where no other certificate is there. */
export function checkPgwire(
  settings: { readonly certFile: string; readonly keyFile: string; readonly requireTls: boolean },
  context: z.RefinementCtx,
): void {
  checkCertificate(settings, context);
  if (settings.requireTls && settings.certFile === '')
    context.addIssue({ code: 'custom', path: ['requireTls'], message: 'needs certFile and keyFile' });
}

export function checkCertificate(
  { certFile, keyFile }: { readonly certFile: string; readonly keyFile: string },
  context: z.RefinementCtx,
): void {
  if ((certFile === '') === (keyFile === '')) return;
  const message = 'certFile and keyFile are set together';
  context.addIssue({ code: 'custom', path: ['certFile'], message });
}

/** The same with absolute paths. */
export const certificateFiles = <T extends { readonly certFile: string; readonly keyFile: string }>(
  settings: T,
): T => ({
  ...settings,
  certFile: absolutePath(settings.certFile),
  keyFile: absolutePath(settings.keyFile),
});

/** Whether only this machine reaches what listens there. A name that merely begins like such an address is not one. */
export const isLoopback = (host: string): boolean => /^(127(\.\d{1,3}){3}|localhost|::1)$/.test(host);

/** A connection from this address has not left this machine. */
export const isOwn = (address: string): boolean => isLoopback(address.replace(/^::ffff:/, ''));

/** Turns a parser that throws into a check, so that an id's own error text becomes the setting's. */
export const checkedBy =
  <T = string>(parse: (value: T) => unknown) =>
  (value: T, context: z.RefinementCtx) => {
    try {
      parse(value);
    } catch (error) {
      context.addIssue({ code: 'custom', message: error instanceof Error ? error.message : 'not valid' });
    }
  };

/** An absolute path; '' (not set) stays ''. */
export const absolutePath = (path: string): string =>
  path === '' || isAbsolute(path) ? path : resolve(path);
