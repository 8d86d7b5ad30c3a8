import { z } from 'zod';
import { loadConfig, printSettings, settingsOf } from '../../lake/base/config.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';

// What `firn sql`, `firn promql` and `firn logql` have in common: whom they ask, with which key, and how they print.

const schema = z.strictObject({
  url: z.string().min(1).default('http://127.0.0.1:8480').describe('HTTP address of a gateway or a cloud'),
  key: z.string().default('').describe('Key of a tenant, id:secret; better given as FIRN_KEY'),
  json: z.boolean().default(false).describe('Print what the server answers, JSON'),
  csv: z.boolean().default(false).describe('Print CSV'),
});

/** Of the languages over time: a range, or an instant. */
const rangeSchema = schema.extend({
  since: z
    .string()
    .default('')
    .describe('A range that begins so long ago, for example 1h; empty: one instant'),
  step: z
    .string()
    .default('')
    .describe('Distance of the points of a range, for example 15s; empty: a sixtieth of it'),
  limit: z.number().int().positive().default(100).describe('Log lines at most'),
});

export type AskSettings = z.infer<typeof rangeSchema>;

const variablePrefix = 'FIRN';

/** Splits the query from the flags: the first argument that is none. Throws FirnError `invalid` without a query. */
export function readAsk(
  name: string,
  argv: readonly string[],
): { readonly query: string; readonly settings: AskSettings } {
  const at = argv.findIndex((argument, index) => !argument.startsWith('--') && !takesValue(argv[index - 1]));
  const query = argv[at];
  if (query === undefined) {
    throw new FirnError({
      ...{ code: 'invalid', operation: `run firn ${name}`, subject: 'the query' },
      message: 'there is no query',
      hint: `firn ${name} 'QUERY'`,
    });
  }
  const flags = argv.toSpliced(at, 1);
  return { query, settings: loadConfig(rangeSchema, { argv: flags, env: process.env, variablePrefix }) };
}

const switches = ['--json', '--csv', '--no-json', '--no-csv'];
const takesValue = (flag: string | undefined): boolean =>
  flag?.startsWith('--') === true && !flag.includes('=') && !switches.includes(flag);

export function askHelp(name: string, about: string): string {
  const shown = settingsOf(name === 'sql' ? schema : rangeSchema, variablePrefix);
  return `usage: firn ${name} 'QUERY' [FLAGS]\n\n${about}\n\n${printSettings(shown)}\n`;
}

/** Calls the server; throws FirnError with what it says when it refuses. */
export async function ask(settings: AskSettings, path: string, init: RequestInit = {}): Promise<Response> {
  const url = new URL(path, settings.url.endsWith('/') ? settings.url : `${settings.url}/`);
  const authorization = settings.key && {
    Authorization: `Basic ${Buffer.from(settings.key).toString('base64')}`,
  };
  const failed = (message: string, hint?: string): FirnError =>
    new FirnError({
      ...{ code: 'unavailable', operation: 'ask', subject: url.origin, message },
      ...(hint !== undefined && { hint }),
    });
  let response: Response;
  try {
    response = await fetch(url, { ...init, headers: { ...authorization, ...init.headers } });
  } catch (error) {
    throw failed(`${url.origin} does not answer: ${messageOf(error)}`, 'say where it is: --url');
  }
  if (response.ok) return response;
  const text = await response.text();
  throw failed(
    messageIn(text) ?? `${response.status}: ${text.slice(0, 500)}`,
    response.status === 401 ? 'give a key: FIRN_KEY' : undefined,
  );
}

/** The message in an error of the SQL or the Prometheus API. */
function messageIn(text: string): string | undefined {
  try {
    const { error } = JSON.parse(text) as { error?: string | { message?: string; hint?: string } };
    if (typeof error === 'string') return error;
    return error?.message && `${error.message}${error.hint ? ` (${error.hint})` : ''}`;
  } catch {
    return undefined;
  }
}
