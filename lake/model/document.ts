import type { z } from 'zod';
import { FirnError } from '../base/errors.ts';

/**
 * Reads a JSON document that comes from outside (a manifest, a receipt). Throws FirnError `invalid` that names the
 * field; `what` is the document's name for people.
 */
export function parseDocument<T>(schema: z.ZodType<T>, text: string, what: string, key: string): T {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalidDocument(what, key, 'it is not JSON', cause);
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const why = `${issue?.path.join('.') || what}: ${issue?.message ?? 'not valid'}`;
  throw invalidDocument(what, key, why, result.error);
}

export function invalidDocument(what: string, key: string, why: string, cause?: unknown): FirnError {
  return new FirnError({
    code: 'invalid',
    operation: `read ${what}`,
    subject: key,
    message: `${what} ${key} is refused: ${why}`,
    cause,
  });
}
