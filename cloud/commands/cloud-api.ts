import { z } from 'zod';
import { loadConfig, settingsOf } from '../../lake/base/config.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';

// Commands that ask a running cloud by its HTTP API.

const variablePrefix = 'FIRN';
const schema = z.strictObject({
  url: z.url().default('http://127.0.0.1:8490').describe('Where the cloud answers'),
  key: z
    .string()
    .default('')
    .describe(
      'Id and secret of a key, ID:SECRET; a file in DATA_DIR/keys sets it: `. data/cloud/keys/_operator.key`',
    ),
});

export const cloudApiSettings = settingsOf(schema, variablePrefix);

export interface CloudApi {
  readonly url: string;
  /** `data` of the answer. Throws FirnError with what the cloud says. */
  call(method: 'GET' | 'POST' | 'DELETE', path: string, body?: object | Csv): Promise<unknown>;
}

/** A body that is sent as it is. */
interface Csv {
  readonly csv: Uint8Array;
}

const answerSchema = z.union([
  z.object({ status: z.literal('success'), data: z.unknown() }),
  z.object({ status: z.literal('error'), error: z.string() }),
]);

export function openCloudApi(argv: readonly string[]): CloudApi {
  const { url, key } = loadConfig(schema, { argv, env: process.env, variablePrefix });
  if (key === '')
    throw refused(
      '--key',
      'no key is given',
      'run `. data/cloud/keys/_operator.key`, or give --key ID:SECRET',
    );
  const authorization = `Basic ${Buffer.from(key).toString('base64')}`;
  return {
    url,
    call: async (method, path, body) => {
      const isCsv = body !== undefined && 'csv' in body;
      const type = isCsv ? 'text/csv' : 'application/json';
      const request = { method, headers: { authorization, 'content-type': type } };
      const sent = isCsv ? (body.csv as Uint8Array<ArrayBuffer>) : JSON.stringify(body);
      const target = new URL(path, url);
      const response = await fetch(target, { ...request, ...(body && { body: sent }) }).catch(
        (cause: unknown) => {
          const why =
            cause instanceof Error && cause.cause !== undefined ? messageOf(cause.cause) : messageOf(cause);
          throw refused(
            url,
            `the cloud does not answer: ${why}`,
            'give the address of its HTTP port by --url',
          );
        },
      );
      const text = await response.text();
      const answer = answerSchema.safeParse(parsed(text));
      if (!answer.success)
        throw refused(
          url,
          `it answers ${response.status} with something else than Firn does`,
          'is it the cloud’s HTTP port?',
        );
      if (answer.data.status === 'error') throw refused(target.pathname, answer.data.error);
      return answer.data.data;
    },
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const refused = (subject: string, message: string, hint?: string): FirnError =>
  new FirnError({
    ...{ code: 'invalid', operation: 'ask the cloud', subject, message },
    ...(hint !== undefined && { hint }),
  });
