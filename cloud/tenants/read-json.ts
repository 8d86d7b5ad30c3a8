import type { Context } from 'hono';
import type { z } from 'zod';
import { readBody } from '../../lake/api/receive/read-body.ts';
import { FirnError } from '../../lake/base/errors.ts';

const bodyBytesDefault = 64 * 1024;
export const bodyLimitName = 'bodyBytesMax';

/** The body of a request by a schema; no body is an empty object. Throws FirnError `invalid` that names the field, `limit`. */
export async function readJson<Schema extends z.ZodType>(
  c: Context,
  schema: Schema,
  bodyBytesMax = bodyBytesDefault,
): Promise<z.infer<Schema>> {
  const body = await readBody(c, bodyBytesMax);
  if (body === 'too-large')
    throw new FirnError({
      ...{ code: 'limit', operation: 'read request', subject: bodyLimitName },
      message: `the body is larger than ${bodyBytesMax} bytes (${bodyLimitName})`,
    });
  if (body === 'cut-off') throw refused('body', 'it ends before its end');
  const text = Buffer.from(body).toString();
  let value: unknown;
  try {
    value = text.trim() === '' ? {} : JSON.parse(text);
  } catch {
    throw refused('body', 'it is not JSON');
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const isUnknown = issue?.code === 'unrecognized_keys' && issue.path.length === 0;
  const hint = isUnknown ? `fields are ${fieldsOf(schema).join(', ')}` : undefined;
  throw refused(issue?.path.join('.') || 'body', issue?.message ?? 'not valid', hint);
}

const fieldsOf = (schema: z.ZodType): string[] =>
  'shape' in schema ? Object.keys(schema.shape as object) : [];

const refused = (subject: string, why: string, hint?: string): FirnError =>
  new FirnError({
    ...{ code: 'invalid', operation: 'read request', subject, message: `${subject}: ${why}` },
    ...(hint !== undefined && { hint }),
  });
