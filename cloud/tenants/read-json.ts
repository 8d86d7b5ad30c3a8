import type { Context } from 'hono';
import type { z } from 'zod';
import { FirnError } from '../../lake/base/errors.ts';

const bodyBytesDefault = 64 * 1024;

/** The body of a request by a schema; no body is an empty object. Throws FirnError `invalid` that names the field. */
export async function readJson<Schema extends z.ZodType>(
  c: Context,
  schema: Schema,
  bodyBytesMax = bodyBytesDefault,
): Promise<z.infer<Schema>> {
  if (Number(c.req.header('content-length') ?? 0) > bodyBytesMax)
    throw refused('body', `more than ${bodyBytesMax} bytes (bodyBytesMax)`);
  const text = await c.req.text();
  if (text.length > bodyBytesMax) throw refused('body', `more than ${bodyBytesMax} bytes (bodyBytesMax)`);
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
